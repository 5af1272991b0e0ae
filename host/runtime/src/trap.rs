//! What a call that gave no answer died of. Everything of wasmtime's errors that leaves this crate goes through here:
//! `wasmtime::Error` is no `std::error::Error`, and its text holds guests' words.

use sandboxer_model::ports::extensions::{HookError, Limit};
use wasmtime::{Trap, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use crate::text;

/// How much of a guest's own words an error repeats.
const WORDS: usize = 300;

/// The error that stops a guest at a limit which our own code holds.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {detail}", limit.as_str())]
pub(crate) struct Exceeded {
    pub(crate) limit: Limit,
    pub(crate) detail: String,
}

impl From<Exceeded> for HookError {
    fn from(Exceeded { limit, detail }: Exceeded) -> Self {
        Self::Limit { limit, detail }
    }
}

/// A fault of ours: `what`, and why.
pub(crate) fn internal<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> HookError {
    move |error| HookError::Internal(format!("{what}: {}", text::line(&error.to_string(), WORDS)))
}

/// The component does not fit what it is given.
pub(crate) fn unfit(error: &wasmtime::Error) -> HookError {
    HookError::Refused(reason(error))
}

/// Why a call of a hook failed. `last_words` is what the guest wrote to standard error last: a panic's message.
pub(crate) fn died_of(error: &wasmtime::Error, last_words: Option<&str>) -> HookError {
    let limit = |limit, detail: &str| HookError::Limit { limit, detail: detail.to_owned() };
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return exceeded.clone().into();
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return limit(Limit::Handles, "too many are open at once");
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        return trapped(&format!("it exited with status {status}"), last_words);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => limit(Limit::Stack, "calls nest too deeply"),
        Some(Trap::Interrupt) => limit(Limit::Time, "it was interrupted"),
        Some(trap) => trapped(trap.to_string().trim_start_matches("wasm trap: "), last_words),
        None => match reason(error) {
            // Errors that wasmtime gives no type to; a test for each notices when the words change.
            reason if reason.contains("fuel allocated for hostcalls") => {
                limit(Limit::Transfer, "it passed too much at once")
            }
            reason if reason.contains("store handle limit exceeded") => {
                limit(Limit::Handles, "too many are open at once")
            }
            reason if reason.contains("resource limit exceeded") => {
                limit(Limit::Memory, "too many instances, memories or tables")
            }
            reason => trapped(&reason, last_words),
        },
    }
}

fn trapped(reason: &str, last_words: Option<&str>) -> HookError {
    match last_words.map(|words| text::line(words, WORDS)) {
        Some(words) if !words.is_empty() => HookError::Trapped(format!("{reason}: {words}")),
        Some(_) | None => HookError::Trapped(reason.to_owned()),
    }
}

/// The innermost cause, which says what happened; the outer ones say where in wasmtime.
fn reason(error: &wasmtime::Error) -> String {
    text::line(&error.root_cause().to_string(), WORDS)
}
