//! Getting inside: a consumer's exec and logs, as prepared calls whose streams pass through.

use std::sync::Arc;

use async_trait::async_trait;
use sandboxer_model::{
    call::{CallError, CallRequest},
    ledger::OutcomeResult,
    ports::stream::{Chunk, Stream, StreamControl, StreamInput},
};

use crate::{
    asked::{Asked, Occasion, Use},
    authorize::{Guard, Receipt, outcome_of},
    permit::Terminal,
};

/// A running access. Its end is in the ledger once [`AccessOutput::next`] has given it; whoever stops before that says so with
/// [`AccessOutput::abandon`].
pub struct Access {
    /// Towards the command.
    pub input: Box<dyn StreamInput>,
    /// Beside it.
    pub control: Arc<dyn StreamControl>,
    /// From it.
    pub output: AccessOutput,
}

/// From the command, settling the call when it ends.
pub struct AccessOutput {
    guard: Arc<Guard>,
    receipt: Option<Receipt>,
    inner: Box<dyn sandboxer_model::ports::stream::StreamOutput>,
    sent: Arc<std::sync::atomic::AtomicU64>,
    received: u64,
}

struct CountedInput {
    inner: Box<dyn StreamInput>,
    sent: Arc<std::sync::atomic::AtomicU64>,
}

#[async_trait]
impl StreamInput for CountedInput {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.inner.write(bytes).await?;
        self.sent.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), CallError> {
        self.inner.close().await
    }
}

impl Guard {
    /// Begins an access.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn access(
        self: &Arc<Self>,
        occasion: &Occasion,
        request: &CallRequest,
        terminal: Option<Terminal>,
    ) -> Result<Access, CallError> {
        let (permit, receipt) = self.authorize(occasion, Asked::Prepared(request, Use::Stream(terminal))).await?;
        match self.broker().stream(permit).await {
            Ok(Stream { input, output, control }) => {
                let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
                Ok(Access {
                    input: Box::new(CountedInput { inner: input, sent: Arc::clone(&sent) }),
                    control,
                    output: AccessOutput {
                        guard: Arc::clone(self),
                        receipt: Some(receipt),
                        inner: output,
                        sent,
                        received: 0,
                    },
                })
            }
            Err(error) => self.settle_error(receipt, error).await,
        }
    }
}

impl AccessOutput {
    /// The next chunk. The end is written down before it is answered.
    ///
    /// # Errors
    /// [`CallError`], written down too.
    pub async fn next(&mut self) -> Result<Chunk, CallError> {
        let next = self.inner.next().await;
        match &next {
            Ok(Chunk::Stdout(bytes) | Chunk::Stderr(bytes)) => self.received += bytes.len() as u64,
            Ok(Chunk::Ended(exit)) => self.settle(OutcomeResult::Exited { exit: *exit }).await?,
            Err(error) => self.settle(outcome_of(error)).await?,
        }
        next
    }

    /// Says that nobody waits for the end any more. The command is stopped when the access is dropped.
    ///
    /// # Errors
    /// [`CallError`] when the ledger cannot be written.
    pub async fn abandon(mut self) -> Result<(), CallError> {
        self.settle(OutcomeResult::Cancelled).await
    }

    async fn settle(&mut self, result: OutcomeResult) -> Result<(), CallError> {
        let Some(receipt) = self.receipt.take() else {
            return Ok(());
        };
        let sent = self.sent.load(std::sync::atomic::Ordering::Relaxed);
        match self.guard.settle(receipt, result, (sent, self.received), None).await {
            // A destroy that came in meanwhile ends the right to access, not the truth in the ledger.
            Ok(()) | Err(CallError::Cancelled | CallError::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
