//! `recreate`: a new sandbox from what an old one was asked for with, after the old one is gone.

use std::sync::Arc;

use sandboxer_guard::calls::Narrator;
use sandboxer_model::{
    Result,
    id::SandboxId,
    sandbox::{Actor, Sandbox},
};
use tokio_util::sync::CancellationToken;

use crate::{Service, create::CreateRequest};

impl Service {
    /// Destroys the sandbox and creates one anew with the same profile, inputs, name, labels and host. The profile is
    /// read afresh, so one that changed since is honoured.
    ///
    /// # Errors
    /// As for [`Service::destroy`] and [`Service::create`]. When the old one cannot be removed, no new one is made.
    pub async fn recreate(
        &self,
        id: &SandboxId,
        actor: Actor,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Sandbox> {
        let old = self.known(id).await?;
        self.destroy(id, actor, "it is recreated", Arc::clone(&narrator), cancel).await?;
        let request = CreateRequest {
            profile: old.plan.profile.clone(),
            inputs: old.plan.inputs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            name: old.name.clone(),
            project: old.project.clone(),
            actor,
            labels: old.labels.clone(),
            host: Some(old.plan.host.clone()),
        };
        self.create(request, narrator, cancel).await
    }
}
