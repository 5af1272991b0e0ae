//! The port behind the choke point: what brokers implement. Every method takes a [`Permit`], which only
//! the guard makes, so a broker cannot be asked to do what was not checked and written down.

use std::sync::Arc;

use async_trait::async_trait;
use sandboxer_model::{
    call::{CallError, CallOutput, JobStatus},
    plan::Upload,
    ports::stream::Stream,
};

use crate::permit::Permit;

/// Bytes and files that a transfer moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Commands on placement hosts, over whichever transport the host has.
#[async_trait]
pub trait SshBroker: Send + Sync {
    /// Runs the permitted command to its end, its output kept up to the permit's limit; stops it at the permit's time
    /// limit.
    async fn run(&self, permit: Permit) -> Result<CallOutput, CallError>;

    /// Starts the permitted command as a job, or finds the one that is there.
    async fn start(&self, permit: Permit) -> Result<(), CallError>;

    /// Asks after the job that a permitted command started.
    async fn poll(&self, permit: Permit) -> Result<JobStatus, CallError>;

    /// Runs the permitted command with its streams passed through.
    async fn stream(&self, permit: Permit) -> Result<Stream, CallError>;

    /// Sends a directory's or a file's content to the permitted command as a tar stream.
    async fn upload(&self, permit: Permit, upload: &Upload) -> Result<Transferred, CallError>;
}

#[async_trait]
impl<T: SshBroker + ?Sized> SshBroker for Arc<T> {
    async fn run(&self, permit: Permit) -> Result<CallOutput, CallError> {
        (**self).run(permit).await
    }
    async fn start(&self, permit: Permit) -> Result<(), CallError> {
        (**self).start(permit).await
    }
    async fn poll(&self, permit: Permit) -> Result<JobStatus, CallError> {
        (**self).poll(permit).await
    }
    async fn stream(&self, permit: Permit) -> Result<Stream, CallError> {
        (**self).stream(permit).await
    }
    async fn upload(&self, permit: Permit, upload: &Upload) -> Result<Transferred, CallError> {
        (**self).upload(permit, upload).await
    }
}
