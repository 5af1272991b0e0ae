//! Removing, under a claim: the adapter is asked first, and then the host finds and removes whatever is left, alone.
//!
//! Nothing is marked gone that was not looked for and not found. An error is never taken for absence.

use std::sync::Arc;

use sandboxer_guard::{
    asked::Occasion,
    calls::{GuardedCalls, Narrator},
    host_work::Presence,
};
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::CallError,
    ledger::{Body, Phase},
    ports::store::{Ending, Right},
    sandbox::{Claim, OperationState, Resource, ResourceState, Sandbox, State},
};

use crate::{Service, failures};

impl Service {
    /// Removes everything the sandbox consists of and closes its ledger.
    pub(crate) async fn remove(
        &self,
        sandbox: &Sandbox,
        claim: &Claim,
        reason: &str,
        narrator: Arc<dyn Narrator>,
    ) -> Result<Sandbox> {
        self.store.transition(claim, State::Destroying, reason).await.map_err(failures::of_store)?;
        let left = self.standing(sandbox).await?;
        if !left.is_empty() {
            let warrant = self.warrant(sandbox)?;
            let occasion = self.occasion(&warrant, Right::Operation(claim.clone()), Phase::Teardown, claim.actor);
            self.ask_adapter(sandbox, &occasion, &left, &narrator).await;
            narrator.step("removing what is left");
            self.clear(claim, &occasion, left).await?;
        }
        let ending = Ending {
            operation: OperationState::Done,
            state: State::Destroyed,
            reason: format!("{reason}; nothing is left"),
            facts: None,
            closing: Some(Body::Closed { reason: reason.to_owned() }),
        };
        self.store.finish(claim, ending).await.map_err(failures::of_store)
    }

    /// What may still be out there.
    async fn standing(&self, sandbox: &Sandbox) -> Result<Vec<Resource>> {
        let mut resources = self.store.resources(&sandbox.id).await.map_err(failures::of_store)?;
        resources.retain(|resource| resource.state != ResourceState::Gone);
        // What lives in the workspace goes before the workspace.
        resources.sort_by_key(|resource| resource.slot.as_str() == "workspace");
        Ok(resources)
    }

    /// The adapter may remove its things more gracefully. Whatever it answers, the host looks for itself.
    async fn ask_adapter(
        &self,
        sandbox: &Sandbox,
        occasion: &Occasion,
        left: &[Resource],
        narrator: &Arc<dyn Narrator>,
    ) {
        if left.iter().all(|resource| resource.state == ResourceState::Quarantined) {
            return;
        }
        narrator.step("asking the extension to take it down");
        let calls = Arc::new(GuardedCalls::new(Arc::clone(&self.guard), occasion.clone(), Arc::clone(narrator)));
        let view = occasion.warrant.view();
        if let Err(error) = self.extensions.teardown(&sandbox.plan.component, &view, calls).await {
            narrator.log(&format!("the extension's teardown failed; the host goes on alone: {error}"));
            if let Right::Operation(claim) = &occasion.right {
                let text = format!("the extension's teardown failed: {error}");
                drop(self.store.progress(claim, &text).await);
            }
        }
    }

    async fn clear(&self, claim: &Claim, occasion: &Occasion, left: Vec<Resource>) -> Result<()> {
        let mut failed = Vec::new();
        for resource in left {
            match self.clear_one(occasion, &resource).await {
                Ok(()) => self
                    .store
                    .mark(claim, &resource.reference, ResourceState::Gone, "looked for and not found")
                    .await
                    .map_err(failures::of_store)?,
                Err(CallError::Cancelled) => {
                    return Err(Error::new(ErrorCode::LeaseLost, "the lease on this operation is lost"));
                }
                Err(error) => {
                    self.store
                        .mark(claim, &resource.reference, ResourceState::Quarantined, &error.to_string())
                        .await
                        .map_err(failures::of_store)?;
                    failed.push(format!("{}: {error}", resource.reference));
                }
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::TeardownIncomplete,
            format!("not everything could be removed: {}", failed.join("; ")),
        ))
    }

    async fn clear_one(&self, occasion: &Occasion, resource: &Resource) -> Result<(), CallError> {
        let workspace = resource.slot.as_str() == "workspace";
        let presence = async || {
            if workspace {
                self.guard.workspace_presence(occasion).await
            } else {
                self.guard.slot_presence(occasion, &resource.slot).await
            }
        };
        if !workspace && presence().await? == Presence::Absent {
            return Ok(());
        }
        // The workspace is always cleared: processes may run in the sandbox's name although its directory is gone.
        if workspace {
            self.guard.remove_workspace(occasion).await?;
        } else {
            self.guard.destroy_slot(occasion, &resource.slot).await?;
        }
        match presence().await? {
            Presence::Absent => Ok(()),
            Presence::Present => Err(CallError::Failed("it is still there".to_owned())),
        }
    }
}
