//! Running an adapter's hooks. Implemented by the runtime; each call gets a fresh instance that is thrown away after it.

use std::sync::Arc;

use async_trait::async_trait;

use super::calls::Calls;
use crate::{
    call::{CallError, CallRequest, ExecRequest, LogsRequest, Readiness, SandboxView},
    id::Digest,
};

/// A limit that an adapter ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The wall clock around one call of a hook.
    Time,
    /// All of an instance's memories and tables together.
    Memory,
    /// Nested calls.
    Stack,
    /// Bytes that cross between guest and host in one call.
    Transfer,
    /// Handles that are open at once.
    Handles,
    /// Size, nesting or number of parts of a component.
    Component,
    /// Time or memory of the compiler.
    Compile,
}

impl Limit {
    /// What ran out, for a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Stack => "stack depth",
            Self::Transfer => "data passed to the host in one call",
            Self::Handles => "open handles",
            Self::Component => "component size or nesting",
            Self::Compile => "compile time or memory",
        }
    }
}

/// Why a hook gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The adapter does not export this hook.
    #[error("the extension does not offer `{0}`")]
    Unsupported(&'static str),
    /// The adapter answered with an error of its own.
    #[error("{0}")]
    Failed(CallError),
    /// The adapter trapped.
    #[error("the extension trapped: {0}")]
    Trapped(String),
    /// The adapter went over a limit and was stopped.
    #[error("the extension went over its limit of {}: {detail}", limit.as_str())]
    Limit {
        /// Which.
        limit: Limit,
        /// The figure, for a sentence.
        detail: String,
    },
    /// The component cannot be used: its digest, its imports, its compiled form.
    #[error("the component is refused: {0}")]
    Refused(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// Runs adapters.
#[async_trait]
pub trait Extensions: Send + Sync {
    /// Makes sure that the component is compiled and cached, so that the first hook does not pay for it.
    ///
    /// # Errors
    /// [`HookError`].
    async fn prepare(&self, component: &Digest) -> Result<(), HookError>;

    /// Makes the sandbox.
    ///
    /// # Errors
    /// [`HookError`].
    async fn provision(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        calls: Arc<dyn Calls>,
    ) -> Result<(), HookError>;

    /// Asks once whether it is ready.
    ///
    /// # Errors
    /// [`HookError`].
    async fn wait_ready(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        calls: Arc<dyn Calls>,
    ) -> Result<Readiness, HookError>;

    /// Removes it gracefully. The host removes what is left, whatever this answers.
    ///
    /// # Errors
    /// [`HookError`].
    async fn teardown(&self, component: &Digest, sandbox: &SandboxView, calls: Arc<dyn Calls>)
    -> Result<(), HookError>;

    /// Asks which prepared call runs this in the sandbox.
    ///
    /// # Errors
    /// [`HookError`].
    async fn exec(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        request: &ExecRequest,
    ) -> Result<CallRequest, HookError>;

    /// Asks which prepared call shows the sandbox's logs.
    ///
    /// # Errors
    /// [`HookError`].
    async fn logs(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        request: &LogsRequest,
    ) -> Result<CallRequest, HookError>;
}
