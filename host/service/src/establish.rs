//! Establishing: from the first durable row to `ready`, under a claim. A worker that takes over goes through the same
//! steps; each of them finds what is there already.

use std::{sync::Arc, time::Duration};

use sandboxer_guard::{
    asked::Occasion,
    calls::{GuardedCalls, Narrator},
    host_work::Presence,
    warrant::Warrant,
};
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::{Fact, Readiness},
    ledger::Phase,
    ports::store::{Ending, Right},
    sandbox::{Actor, Claim, OperationState, ResourceState, Sandbox, State},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Service, failures,
    hold::{Interrupted, hold},
};

impl Service {
    /// Establishes the sandbox; when that fails, or is cancelled, removes what was made.
    pub(crate) async fn establish_or_remove(
        &self,
        sandbox: Sandbox,
        claim: Claim,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Sandbox> {
        let work = self.establish(&sandbox, &claim, Arc::clone(&narrator));
        let error = match hold(&self.store, &self.worker, &claim, cancel, work).await {
            Ok(Ok(ready)) => return Ok(ready),
            Ok(Err(error)) => error,
            Err(Interrupted::Cancelled) => {
                Error::new(ErrorCode::Cancelled, format!("creating sandbox {} was cancelled", sandbox.id))
            }
            Err(Interrupted::LeaseLost) => {
                return Err(failures::of_store(sandboxer_model::ports::store::StoreError::LeaseLost));
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
            // Somebody else may hold the sandbox now: then nothing is ours to remove.
            tracing::warn!(%unwritten, sandbox = %sandbox.id, "the failed create could not be closed");
            return Err(error);
        }
        narrator.step("removing what was made");
        match self.destroy(&sandbox.id, claim.actor, "its create failed", narrator, &CancellationToken::new()).await {
            Ok(_) => Err(error),
            Err(left) => {
                let message = format!("{error}; and removing what was made failed: {left}");
                Err(Error { message, ..error }
                    .hint(format!("run `sandboxer destroy {}` once the host answers", sandbox.id)))
            }
        }
    }

    async fn establish(&self, sandbox: &Sandbox, claim: &Claim, narrator: Arc<dyn Narrator>) -> Result<Sandbox> {
        let warrant = self.warrant(sandbox)?;
        let right = Right::Operation(claim.clone());
        let occasion = self.occasion(&warrant, right, Phase::Provision, claim.actor);
        self.store.transition(claim, State::Provisioning, "making it").await.map_err(failures::of_store)?;
        if claim.attempt > 1 {
            self.adopt(sandbox, claim, &warrant).await?;
        }
        narrator.step("making the workspace");
        self.guard
            .prepare_workspace(&occasion)
            .await
            .map_err(|error| failures::of_call("the workspace could not be made", error))?;
        self.fill(&occasion, &*narrator).await?;
        let view = warrant.view();
        let calls = Arc::new(GuardedCalls::new(Arc::clone(&self.guard), occasion.clone(), Arc::clone(&narrator)));
        self.extensions
            .provision(&sandbox.plan.component, &view, calls)
            .await
            .map_err(|error| failures::of_hook("the sandbox could not be made", error))?;
        self.store
            .transition(claim, State::Waiting, "made; waiting until it can be reached")
            .await
            .map_err(failures::of_store)?;
        narrator.step("waiting until it can be reached");
        let waiting = Occasion { phase: Phase::WaitReady, ..occasion };
        let facts = self.await_ready(sandbox, waiting, narrator).await?;
        let ending = Ending {
            operation: OperationState::Done,
            state: State::Ready,
            reason: "reachability was confirmed".to_owned(),
            facts: Some(facts),
            closing: None,
        };
        self.store.finish(claim, ending).await.map_err(failures::of_store)
    }

    /// A predecessor may have made things and died before it could say so: look before making anything again.
    async fn adopt(&self, sandbox: &Sandbox, claim: &Claim, warrant: &Warrant) -> Result<()> {
        let occasion = self.occasion(warrant, Right::Operation(claim.clone()), Phase::Teardown, claim.actor);
        for resource in self.store.resources(&sandbox.id).await.map_err(failures::of_store)? {
            if resource.state != ResourceState::Intent || resource.slot.as_str() == "workspace" {
                continue;
            }
            let found = self
                .guard
                .slot_presence(&occasion, &resource.slot)
                .await
                .map_err(|error| failures::of_call(&format!("looking for `{}` failed", resource.slot), error))?;
            if found == Presence::Present {
                self.store
                    .mark(claim, &resource.reference, ResourceState::Live, "found after its maker was interrupted")
                    .await
                    .map_err(failures::of_store)?;
            }
        }
        Ok(())
    }

    /// Sends what the consumer gave into the workspace: a directory's content as the workspace itself, a file under its
    /// own name.
    async fn fill(&self, occasion: &Occasion, narrator: &dyn Narrator) -> Result<()> {
        for upload in &occasion.warrant.plan().uploads {
            narrator.step(&format!("sending {}", upload.input));
            self.guard
                .fill_workspace(occasion, upload)
                .await
                .map_err(|error| failures::of_call(&format!("sending {} failed", upload.input), error))?;
        }
        Ok(())
    }

    /// Asks until the adapter says ready. The host owns deadline and back-off.
    async fn await_ready(
        &self,
        sandbox: &Sandbox,
        occasion: Occasion,
        narrator: Arc<dyn Narrator>,
    ) -> Result<Vec<Fact>> {
        let view = occasion.warrant.view();
        let within = Duration::from_secs(u64::from(sandbox.plan.ready_within_s));
        let deadline = tokio::time::Instant::now() + within;
        let mut waiting_for = "an answer".to_owned();
        loop {
            let calls = Arc::new(GuardedCalls::new(Arc::clone(&self.guard), occasion.clone(), Arc::clone(&narrator)));
            let asked = self.extensions.wait_ready(&sandbox.plan.component, &view, calls);
            let late = |what: &str| {
                Error::new(
                    ErrorCode::TimedOut,
                    format!("the sandbox was not ready within {} s; it waited for {what}", within.as_secs()),
                )
            };
            let answer = tokio::time::timeout_at(deadline, asked).await.map_err(|_| late(&waiting_for))?;
            match answer.map_err(|error| failures::of_hook("the sandbox did not become ready", error))? {
                Readiness::Ready(facts) => return Ok(facts),
                Readiness::Pending { retry_after_ms, what } => {
                    let pause = Duration::from_millis(u64::from(retry_after_ms.clamp(5, 5_000)));
                    if tokio::time::Instant::now() + pause >= deadline {
                        return Err(late(&what));
                    }
                    waiting_for = what;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Takes over a create whose worker is gone and finishes it.
    pub(crate) async fn resume_create(
        &self,
        sandbox: &Sandbox,
        actor: Actor,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Option<Sandbox>> {
        match self.claim(sandbox, sandboxer_model::sandbox::OperationKind::Create, actor, "taken over").await? {
            Some(claim) => self.establish_or_remove(sandbox.clone(), claim, narrator, cancel).await.map(Some),
            None => Ok(None),
        }
    }
}
