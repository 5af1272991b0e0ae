//! The choke point. Every call to the outside world passes `Guard::authorize`: it resolves the call, types the holes,
//! checks grant, phase and condition, writes the intent durably, and only then makes the [`Permit`].
//!
//! What is refused is written down too, and the answer never says what would have been allowed.

use std::{sync::Arc, time::Instant};

use sandboxer_model::{
    call::{CallError, CallOutput, CallRequest, JobStatus},
    id::{Digest, ResourceRef},
    ledger::{Body, CallRecord, OutcomeResult},
    ports::{
        milestones::Milestones,
        store::{Right, Store, StoreError},
    },
    sandbox::ResourceState,
};
use sha2::{Digest as _, Sha256};

use crate::{
    asked::{Asked, Occasion, Use},
    broker::SshBroker,
    permit::Permit,
    resolve::{self, Checked},
};

/// Kept by the guard while a call is under way; settles it in the ledger.
#[derive(Debug)]
pub(crate) struct Receipt {
    right: Right,
    intent: u64,
    begun: Instant,
    resource: Option<ResourceRef>,
}

/// The guard: the only way to the brokers.
pub struct Guard {
    store: Arc<dyn Store>,
    broker: Arc<dyn SshBroker>,
    milestones: Arc<dyn Milestones>,
}

impl Guard {
    /// A guard over this ledger and these brokers. Nobody else gets the brokers.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, broker: Arc<dyn SshBroker>, milestones: Arc<dyn Milestones>) -> Self {
        Self { store, broker, milestones }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn broker(&self) -> &dyn SshBroker {
        &*self.broker
    }

    /// Checks a call, writes its intent, and makes its permit.
    ///
    /// # Errors
    /// `Denied` or `Invalid` with one ledger line; `Cancelled` when the right no longer holds; `Unavailable` when the ledger
    /// cannot be written. In every case nothing is sent.
    pub(crate) async fn authorize(
        &self,
        occasion: &Occasion,
        asked: Asked<'_>,
    ) -> Result<(Permit, Receipt), CallError> {
        let name = asked.name();
        let checked = match resolve::check(occasion, asked) {
            Ok(checked) => checked,
            Err(error) => {
                self.write_denial(occasion, &name, &error).await?;
                return Err(error);
            }
        };
        let Checked { call, target, digest, mut terms, resource } = checked;
        let record = CallRecord {
            actor: occasion.actor,
            phase: occasion.phase,
            call,
            host: terms.host.to_string(),
            target,
            target_digest: digest,
        };
        let reference = resource.as_ref().map(|resource| resource.reference.clone());
        let intent = self
            .store
            .intend(&occasion.right, Body::Intent { call: record }, resource)
            .await
            .map_err(|error| right_error(&error))?;
        if !terms.launch.job {
            terms.launch.record = format!("{}.{intent}", terms.launch.record);
        }
        self.milestones.reached(&format!("guard.pass {} before", terms.call));
        let receipt = Receipt { right: occasion.right.clone(), intent, begun: Instant::now(), resource: reference };
        Ok((Permit::grant(terms), receipt))
    }

    async fn write_denial(&self, occasion: &Occasion, name: &str, error: &CallError) -> Result<(), CallError> {
        let body = Body::Denied {
            call: CallRecord {
                actor: occasion.actor,
                phase: occasion.phase,
                call: name.to_owned(),
                host: occasion.warrant.plan().host.to_string(),
                target: String::new(),
                target_digest: Digest::new(Sha256::digest(b"").into()),
            },
            reason: error.to_string(),
        };
        self.store.deny(occasion.right.sandbox(), body).await.map(drop).map_err(|error| right_error(&error))
    }

    /// Writes down what came of a call. A lost lease is reported after the ledger has the truth.
    pub(crate) async fn settle(
        &self,
        receipt: Receipt,
        result: OutcomeResult,
        (sent, received): (u64, u64),
        state: Option<ResourceState>,
    ) -> Result<(), CallError> {
        let duration_ms = u64::try_from(receipt.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let body = Body::Outcome { of: receipt.intent, result, duration_ms, sent, received };
        let resource = receipt.resource.zip(state);
        self.store.outcome(&receipt.right, body, resource).await.map_err(|error| right_error(&error))
    }

    /// Runs an authorized command to its end and settles it.
    pub(crate) async fn run(&self, occasion: &Occasion, asked: Asked<'_>) -> Result<CallOutput, CallError> {
        let (permit, receipt) = self.authorize(occasion, asked).await?;
        let name = permit.call().to_owned();
        let result = self.broker.run(permit).await;
        self.milestones.reached(&format!("guard.pass {name} after"));
        match result {
            Ok(output) => {
                let received = (output.stdout.len() + output.stderr.len()) as u64;
                // A failed maker may still have made something, so its resource stays an intent until it is looked up.
                let live = output.exit.success().then_some(ResourceState::Live);
                self.settle(receipt, OutcomeResult::Exited { exit: output.exit }, (0, received), live).await?;
                Ok(output)
            }
            Err(error) => self.settle_error(receipt, error).await,
        }
    }

    /// Starts an authorized command as a job and settles it.
    pub(crate) async fn start(&self, occasion: &Occasion, request: &CallRequest) -> Result<(), CallError> {
        let (permit, receipt) = self.authorize(occasion, Asked::Prepared(request, Use::Start)).await?;
        let name = permit.call().to_owned();
        let result = self.broker.start(permit).await;
        self.milestones.reached(&format!("guard.pass {name} after"));
        match result {
            Ok(()) => self.settle(receipt, OutcomeResult::Started, (0, 0), Some(ResourceState::Live)).await,
            Err(error) => self.settle_error(receipt, error).await,
        }
    }

    /// Asks after a job and settles the question.
    pub(crate) async fn poll(&self, occasion: &Occasion, request: &CallRequest) -> Result<JobStatus, CallError> {
        let (permit, receipt) = self.authorize(occasion, Asked::Prepared(request, Use::Poll)).await?;
        let name = permit.call().to_owned();
        let result = self.broker.poll(permit).await;
        self.milestones.reached(&format!("guard.pass {name} after"));
        match result {
            Ok(status) => {
                self.settle(
                    receipt,
                    OutcomeResult::Exited { exit: sandboxer_model::call::Exit::Status(0) },
                    (0, 0),
                    None,
                )
                .await?;
                Ok(status)
            }
            Err(error) => self.settle_error(receipt, error).await,
        }
    }

    pub(crate) async fn settle_error<T>(&self, receipt: Receipt, error: CallError) -> Result<T, CallError> {
        self.settle(receipt, outcome_of(&error), (0, 0), None).await?;
        Err(error)
    }
}

/// How the ledger names an error of a broker.
pub(crate) fn outcome_of(error: &CallError) -> OutcomeResult {
    match error {
        CallError::TimedOut(_) => OutcomeResult::TimedOut,
        CallError::Cancelled => OutcomeResult::Cancelled,
        CallError::Lost(_) | CallError::Failed(_) => OutcomeResult::Lost,
        CallError::Denied(_) | CallError::Invalid(_) | CallError::NotConfigured(_) | CallError::Unavailable(_) => {
            OutcomeResult::Unavailable
        }
    }
}

/// What a refusal of the store means for a call that was not sent.
pub(crate) fn right_error(error: &StoreError) -> CallError {
    match error {
        StoreError::LeaseLost | StoreError::Unwanted => CallError::Cancelled,
        StoreError::NotReady(state) => CallError::Unavailable(format!("the sandbox is {state}, not ready")),
        StoreError::Unavailable { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Foreign { .. }
        | StoreError::Full { .. }
        | StoreError::NameTaken { .. }
        | StoreError::NoSandbox(_)
        | StoreError::NoteRefused(_)
        | StoreError::Internal(_) => CallError::Unavailable(format!("the ledger cannot be written: {error}")),
    }
}
