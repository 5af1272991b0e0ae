//! `destroy`: idempotent, from every state. Done is reported only after absence was confirmed.

use std::{sync::Arc, time::Duration};

use sandboxer_guard::calls::Narrator;
use sandboxer_model::{
    Error, ErrorCode, Result,
    id::SandboxId,
    ports::store::{Begun, Ending},
    sandbox::{Actor, Claim, OperationKind, OperationState, Sandbox, State},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Service, failures,
    hold::{Interrupted, hold},
    worker,
};

/// How long `destroy` waits for a worker that is just now making the sandbox to notice that it is no longer wanted.
const PATIENCE: Duration = Duration::from_secs(60);

impl Service {
    /// Removes a sandbox. One that is destroyed already is answered as it is.
    ///
    /// # Errors
    /// `operation.busy` when another worker does not let go; `teardown.incomplete` when something could not be removed: the
    /// sandbox then stays listed, and `destroy` may be asked for again.
    pub async fn destroy(
        &self,
        id: &SandboxId,
        actor: Actor,
        reason: &str,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Sandbox> {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let sandbox = self.known(id).await?;
            if sandbox.state.is_final() {
                return Ok(sandbox);
            }
            if let Some(claim) = self.claim(&sandbox, OperationKind::Destroy, actor, reason).await? {
                return self.remove_or_fail(sandbox, claim, reason, narrator, cancel).await;
            }
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorCode::Cancelled, format!("destroying sandbox {id} was cancelled")));
            }
            if tokio::time::Instant::now() >= patience {
                return Err(Error::new(
                    ErrorCode::OperationBusy,
                    format!("another worker holds sandbox {id} and did not let go within {} s", PATIENCE.as_secs()),
                ));
            }
            narrator.step("waiting for the worker that holds it");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn remove_or_fail(
        &self,
        sandbox: Sandbox,
        claim: Claim,
        reason: &str,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Sandbox> {
        let work = self.remove(&sandbox, &claim, reason, narrator);
        let error = match hold(&self.store, &self.worker, &claim, cancel, work).await {
            Ok(Ok(gone)) => return Ok(gone),
            Ok(Err(error)) => error,
            Err(Interrupted::Cancelled) => {
                Error::new(ErrorCode::Cancelled, format!("destroying sandbox {} was cancelled", sandbox.id))
                    .hint(format!("it is not finished: run `sandboxer destroy {}` again", sandbox.id))
            }
            Err(Interrupted::LeaseLost) => {
                return Err(Error::new(ErrorCode::LeaseLost, "the lease on this operation is lost"));
            }
        };
        if error.code == ErrorCode::LeaseLost {
            return Err(error);
        }
        let ending = Ending {
            operation: OperationState::Failed,
            state: State::Failed,
            reason: error.to_string(),
            facts: None,
            closing: None,
        };
        if let Err(unwritten) = self.store.finish(&claim, ending).await {
            tracing::warn!(%unwritten, sandbox = %sandbox.id, "the failed destroy could not be closed");
        }
        Err(error)
    }

    /// Claims the sandbox for an operation; `None` when a live worker holds it, or when there is nothing to take over.
    pub(crate) async fn claim(
        &self,
        sandbox: &Sandbox,
        kind: OperationKind,
        actor: Actor,
        reason: &str,
    ) -> Result<Option<Claim>> {
        // Twice: the second time after a dead holder's lease was ended.
        for _ in 0..2 {
            let begun =
                self.store.begin(&sandbox.id, kind, actor, reason, &self.worker).await.map_err(failures::of_store)?;
            match begun {
                Begun::Claimed(claim) => return Ok(Some(claim)),
                Begun::AlreadyDestroyed | Begun::NothingOpen => return Ok(None),
                Begun::Busy { operation, owner, .. } => {
                    if !worker::is_dead(&owner) {
                        return Ok(None);
                    }
                    self.store.expire_lease(operation, &owner).await.map_err(failures::of_store)?;
                }
            }
        }
        Ok(None)
    }
}
