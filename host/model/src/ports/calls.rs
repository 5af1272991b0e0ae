//! What one instance of an adapter may do to the outside world. The guard implements it over the brokers; the runtime
//! gets nothing else, so a guest's only way out goes through the one choke point.

use async_trait::async_trait;

use crate::call::{CallError, CallOutput, CallRequest, JobStatus};

/// The capabilities of one instance, frozen when it was made.
#[async_trait]
pub trait Calls: Send + Sync {
    /// Whether a grant of this name is in the instance's table.
    fn granted(&self, grant: &str) -> bool;

    /// Runs a prepared command and waits for its end.
    ///
    /// # Errors
    /// [`CallError`]; a denial is a value like any other.
    async fn run(&self, request: CallRequest) -> Result<CallOutput, CallError>;

    /// Starts a prepared command that the manifest declares as a job; it survives us. Asking again for the same command
    /// of the same sandbox finds the job that is there.
    ///
    /// # Errors
    /// [`CallError`].
    async fn start(&self, request: CallRequest) -> Result<(), CallError>;

    /// Asks after a job by the command that started it.
    ///
    /// # Errors
    /// [`CallError`].
    async fn poll(&self, grant: &str, call: &str) -> Result<JobStatus, CallError>;

    /// Reads one of the adapter's own notes.
    ///
    /// # Errors
    /// [`CallError`].
    async fn note(&self, key: &str) -> Result<Option<String>, CallError>;

    /// Writes one of the adapter's own notes.
    ///
    /// # Errors
    /// [`CallError`]; notes are bounded in number and size.
    async fn set_note(&self, key: &str, value: &str) -> Result<(), CallError>;

    /// Tells the consumer which step is running. Bounded and cleaned by the host.
    async fn step(&self, text: &str);

    /// Writes a line to the operator's log. Bounded and cleaned by the host.
    fn log(&self, text: &str);
}
