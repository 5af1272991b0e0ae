//! A store and a broker that answer at once, so that nothing but the guard is measured.

use async_trait::async_trait;
use sandboxer_guard::{
    broker::{SshBroker, Transferred},
    permit::Permit,
};
use sandboxer_model::{
    call::{CallError, CallOutput, Exit, JobStatus},
    event::Event,
    id::{InstallationId, ResourceRef, SandboxId},
    ledger::{Body, Entry, Head},
    plan::Upload,
    ports::{
        store::{Begun, Ending, Filter, NewSandbox, OpenOperation, ResourceIntent, Right, Store, StoreError, Worker},
        stream::Stream,
    },
    sandbox::{Actor, Claim, OperationKind, Resource, ResourceState, Sandbox, State},
};

/// What the broker says instead of opening a stream.
pub(crate) const NOTHING: &str = "this broker does nothing";

/// A broker that does nothing.
pub(crate) struct Idle;

/// An empty call as a broker's: one boxed future.
pub(crate) fn idle() -> std::pin::Pin<Box<dyn Future<Output = Result<CallOutput, CallError>> + Send>> {
    Box::pin(async { Ok(output()) })
}

fn output() -> CallOutput {
    CallOutput { exit: Exit::Status(0), stdout: Vec::new(), stderr: Vec::new(), truncated: false }
}

#[async_trait]
impl SshBroker for Idle {
    async fn run(&self, permit: Permit) -> Result<CallOutput, CallError> {
        drop(permit);
        Ok(output())
    }
    async fn start(&self, _permit: Permit) -> Result<(), CallError> {
        Ok(())
    }
    async fn poll(&self, _permit: Permit) -> Result<JobStatus, CallError> {
        Ok(JobStatus::Running)
    }
    async fn stream(&self, _permit: Permit) -> Result<Stream, CallError> {
        Err(CallError::Unavailable(NOTHING.to_owned()))
    }
    async fn upload(&self, _permit: Permit, _upload: &Upload) -> Result<Transferred, CallError> {
        Ok(Transferred::default())
    }
}

/// A ledger that keeps nothing, and no other table.
pub(crate) struct Instant;

fn unasked<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("authorizing a call does not need this".to_owned()))
}

#[async_trait]
impl Store for Instant {
    async fn intend(&self, _right: &Right, body: Body, _resource: Option<ResourceIntent>) -> Result<u64, StoreError> {
        drop(body);
        Ok(1)
    }
    async fn deny(&self, _sandbox: &SandboxId, body: Body) -> Result<u64, StoreError> {
        drop(body);
        Ok(1)
    }
    async fn outcome(
        &self,
        _right: &Right,
        body: Body,
        _resource: Option<(ResourceRef, ResourceState)>,
    ) -> Result<(), StoreError> {
        drop(body);
        Ok(())
    }

    async fn installation(&self) -> Result<InstallationId, StoreError> {
        unasked()
    }
    async fn open(&self, _new: NewSandbox, _opened: Body, _worker: &Worker) -> Result<(Sandbox, Claim), StoreError> {
        unasked()
    }
    async fn begin(
        &self,
        _sandbox: &SandboxId,
        _kind: OperationKind,
        _actor: Actor,
        _reason: &str,
        _worker: &Worker,
    ) -> Result<Begun, StoreError> {
        unasked()
    }
    async fn expire_lease(&self, _operation: u64, _owner: &str) -> Result<(), StoreError> {
        unasked()
    }
    async fn renew(&self, _claim: &Claim, _worker: &Worker) -> Result<Claim, StoreError> {
        unasked()
    }
    async fn transition(&self, _claim: &Claim, _to: State, _reason: &str) -> Result<Sandbox, StoreError> {
        unasked()
    }
    async fn progress(&self, _claim: &Claim, _text: &str) -> Result<(), StoreError> {
        unasked()
    }
    async fn finish(&self, _claim: &Claim, _ending: Ending) -> Result<Sandbox, StoreError> {
        unasked()
    }
    async fn mark(
        &self,
        _claim: &Claim,
        _resource: &ResourceRef,
        _state: ResourceState,
        _reason: &str,
    ) -> Result<(), StoreError> {
        unasked()
    }
    async fn note(&self, _sandbox: &SandboxId, _key: &str) -> Result<Option<String>, StoreError> {
        unasked()
    }
    async fn set_note(&self, _claim: &Claim, _key: &str, _value: &str) -> Result<(), StoreError> {
        unasked()
    }
    async fn sandbox(&self, _id: &SandboxId) -> Result<Option<Sandbox>, StoreError> {
        unasked()
    }
    async fn find(&self, _text: &str) -> Result<Vec<Sandbox>, StoreError> {
        unasked()
    }
    async fn list(&self, _filter: &Filter) -> Result<Vec<Sandbox>, StoreError> {
        unasked()
    }
    async fn open_operation(&self, _sandbox: &SandboxId) -> Result<Option<OpenOperation>, StoreError> {
        unasked()
    }
    async fn resources(&self, _sandbox: &SandboxId) -> Result<Vec<Resource>, StoreError> {
        unasked()
    }
    async fn events(&self, _sandbox: Option<&SandboxId>, _after: u64, _limit: u32) -> Result<Vec<Event>, StoreError> {
        unasked()
    }
    async fn ledger(&self, _sandbox: &SandboxId) -> Result<Vec<Entry>, StoreError> {
        unasked()
    }
    async fn head(&self, _sandbox: &SandboxId) -> Result<Option<Head>, StoreError> {
        unasked()
    }
    async fn check(&self) -> Result<(), StoreError> {
        unasked()
    }
}
