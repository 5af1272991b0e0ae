//! The capabilities of one instance: the port that the runtime gets, with the guard behind every method.

use std::sync::Arc;

use async_trait::async_trait;
use sandboxer_model::{
    call::{CallError, CallOutput, CallRequest, JobStatus},
    id::Symbol,
    ports::{
        calls::Calls,
        store::{Right, StoreError},
    },
};

use crate::{
    asked::{Asked, Occasion, Use},
    authorize::{Guard, right_error},
};

/// Where steps and log lines of an adapter go: to the consumer's screen and the operator's log. Cleaned already.
pub trait Narrator: Send + Sync {
    /// A step begins.
    fn step(&self, text: &str);
    /// A line for the log.
    fn log(&self, text: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Narrator for Silent {
    fn step(&self, _text: &str) {}
    fn log(&self, _text: &str) {}
}

/// What one instance may do, frozen when it was made.
pub struct GuardedCalls {
    guard: Arc<Guard>,
    occasion: Occasion,
    narrator: Arc<dyn Narrator>,
}

impl GuardedCalls {
    /// The capabilities of an instance on this occasion.
    #[must_use]
    pub fn new(guard: Arc<Guard>, occasion: Occasion, narrator: Arc<dyn Narrator>) -> Self {
        Self { guard, occasion, narrator }
    }
}

#[async_trait]
impl Calls for GuardedCalls {
    fn granted(&self, grant: &str) -> bool {
        grant.parse::<Symbol>().is_ok_and(|grant| self.occasion.warrant.plan().grants.contains_key(&grant))
    }

    async fn run(&self, request: CallRequest) -> Result<CallOutput, CallError> {
        self.guard.run(&self.occasion, Asked::Prepared(&request, Use::Run)).await
    }

    async fn start(&self, request: CallRequest) -> Result<(), CallError> {
        self.guard.start(&self.occasion, &request).await
    }

    async fn poll(&self, grant: &str, call: &str) -> Result<JobStatus, CallError> {
        let request = CallRequest { grant: grant.to_owned(), call: call.to_owned(), arguments: Vec::new() };
        self.guard.poll(&self.occasion, &request).await
    }

    async fn note(&self, key: &str) -> Result<Option<String>, CallError> {
        self.guard.store().note(self.occasion.right.sandbox(), key).await.map_err(|error| right_error(&error))
    }

    async fn set_note(&self, key: &str, value: &str) -> Result<(), CallError> {
        let Right::Operation(claim) = &self.occasion.right else {
            return Err(CallError::Denied("notes are written in operations only".to_owned()));
        };
        self.guard.store().set_note(claim, key, value).await.map_err(|error| {
            if let StoreError::NoteRefused(why) = error { CallError::Invalid(why) } else { right_error(&error) }
        })
    }

    async fn step(&self, text: &str) {
        self.narrator.step(text);
        if let Right::Operation(claim) = &self.occasion.right {
            // A step is a courtesy: when it cannot be written, the next call will say why.
            drop(self.guard.store().progress(claim, text).await);
        }
    }

    fn log(&self, text: &str) {
        self.narrator.log(text);
    }
}
