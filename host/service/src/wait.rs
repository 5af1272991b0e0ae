//! `wait`: until a sandbox has come to a state. A create whose worker is gone is taken over and finished.

use std::{sync::Arc, time::Duration};

use sandboxer_guard::calls::Narrator;
use sandboxer_model::{
    Error, ErrorCode, Result,
    id::SandboxId,
    ports::store::OpenOperation,
    sandbox::{Actor, OperationKind, Sandbox, State},
};
use tokio_util::sync::CancellationToken;

use crate::{Service, failures, worker};

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Reachability confirmed.
    Ready,
    /// Nothing left.
    Destroyed,
}

impl Service {
    /// Waits; works too, when nobody else does.
    ///
    /// # Errors
    /// `timed-out`; `sandbox.state` when the state can no longer come.
    pub async fn wait(
        &self,
        id: &SandboxId,
        until: Until,
        within: Duration,
        actor: Actor,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Sandbox> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let sandbox = self.known(id).await?;
            if let Some(answer) = settled(&sandbox, until) {
                return answer.map(|()| sandbox);
            }
            let operation = self.store.open_operation(id).await.map_err(failures::of_store)?;
            if let Some(operation) = operation.filter(is_abandoned) {
                narrator.step("taking over from a worker that is gone");
                match operation.kind {
                    OperationKind::Create => {
                        self.resume_create(&sandbox, actor, Arc::clone(&narrator), cancel).await?;
                    }
                    OperationKind::Destroy => {
                        self.destroy(id, actor, "taken over", Arc::clone(&narrator), cancel).await?;
                    }
                }
                continue;
            }
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorCode::Cancelled, "waiting was cancelled; the sandbox goes on as it was"));
            }
            if tokio::time::Instant::now() >= deadline {
                let message = format!("sandbox {id} is still {} after {} s", sandbox.state, within.as_secs());
                return Err(Error::new(ErrorCode::TimedOut, message));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn settled(sandbox: &Sandbox, until: Until) -> Option<Result<()>> {
    let never = |why: &str| {
        Some(Err(Error::new(ErrorCode::SandboxState, format!("sandbox {} {why}: {}", sandbox.id, sandbox.reason))))
    };
    match (until, sandbox.state) {
        (Until::Ready, State::Ready) | (Until::Destroyed, State::Destroyed) => Some(Ok(())),
        (Until::Ready, State::Destroying | State::Destroyed | State::Failed) => never("will not be ready any more"),
        (Until::Destroyed, State::Failed) => never("could not be removed yet"),
        (Until::Ready, State::Requested | State::Provisioning | State::Waiting)
        | (
            Until::Destroyed,
            State::Requested | State::Provisioning | State::Waiting | State::Ready | State::Destroying,
        ) => None,
    }
}

/// Whether nobody works on the operation any more.
#[must_use]
pub fn is_abandoned(operation: &OpenOperation) -> bool {
    !operation.held || worker::is_dead(&operation.owner)
}
