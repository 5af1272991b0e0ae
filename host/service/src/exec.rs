//! `exec` and `logs`: the adapter names the prepared call, the guard checks it like any other, and the streams pass through.

use sandboxer_guard::{access::Access, permit::Terminal};
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::{ExecRequest, LogsRequest},
    ledger::Phase,
    ports::store::Right,
    sandbox::{Actor, Sandbox, State},
};

use crate::{Service, failures};

impl Service {
    /// Begins to run something in a sandbox.
    ///
    /// # Errors
    /// `sandbox.state`, `call.denied`, `extension.*`, `host.*`.
    pub async fn exec(
        &self,
        sandbox: &Sandbox,
        request: &ExecRequest,
        terminal: Option<Terminal>,
        actor: Actor,
    ) -> Result<Access> {
        ready(sandbox)?;
        let warrant = self.warrant(sandbox)?;
        let call = self
            .extensions
            .exec(&sandbox.plan.component, &warrant.view(), request)
            .await
            .map_err(|error| failures::of_hook("the extension did not say how to run this", error))?;
        let occasion = self.occasion(&warrant, Right::Access(sandbox.id.clone()), Phase::Exec, actor);
        self.guard
            .access(&occasion, &call, terminal)
            .await
            .map_err(|error| failures::of_call("it was not started", error))
    }

    /// Begins to read a sandbox's logs.
    ///
    /// # Errors
    /// As for [`Service::exec`].
    pub async fn logs(&self, sandbox: &Sandbox, request: &LogsRequest, actor: Actor) -> Result<Access> {
        ready(sandbox)?;
        let warrant = self.warrant(sandbox)?;
        let call = self
            .extensions
            .logs(&sandbox.plan.component, &warrant.view(), request)
            .await
            .map_err(|error| failures::of_hook("the extension did not say where the logs are", error))?;
        let occasion = self.occasion(&warrant, Right::Access(sandbox.id.clone()), Phase::Logs, actor);
        self.guard
            .access(&occasion, &call, None)
            .await
            .map_err(|error| failures::of_call("the logs cannot be read", error))
    }
}

fn ready(sandbox: &Sandbox) -> Result<()> {
    if sandbox.state == State::Ready {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::SandboxState,
        format!("sandbox {} is {}, not ready: {}", sandbox.id, sandbox.state, sandbox.reason),
    ))
}

/// What a failed stream means to a user.
#[must_use]
pub fn stream_error(error: sandboxer_model::call::CallError) -> Error {
    failures::of_call("the connection to the command broke", error)
}
