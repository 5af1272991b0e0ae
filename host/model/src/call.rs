//! What an adapter asks for and what it gets back: the vocabulary of prepared calls, as both sides of the guard see it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Symbol;

/// A value for one hole of a prepared call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Text, for every type of hole but integers and lists.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A list: rest arguments, or the repetitions of an optional group.
    List(Vec<String>),
}

/// A named value for one hole of a prepared call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// The hole, as the manifest names it.
    pub hole: String,
    /// What goes into it.
    pub value: Value,
}

/// A prepared call that an adapter names, with the values for its guest-filled holes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRequest {
    /// The grant, as the profile names it: `host`.
    pub grant: String,
    /// The prepared call, as the manifest names it: `up`.
    pub call: String,
    /// The values.
    pub arguments: Vec<Argument>,
}

/// How a program on the far side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It exited with this status.
    Status(u8),
    /// A signal killed it.
    Signal(u8),
}

impl Exit {
    /// The status as a shell shows it: 128 + n for signal n.
    #[must_use]
    pub fn shell_status(self) -> u8 {
        match self {
            Self::Status(status) => status,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }

    /// Whether it exited with status 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Status(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a prepared command left: its exit and its output, each stream up to the call's output limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutput {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Whether something was cut off at the output limit.
    pub truncated: bool,
}

/// The state of a detached job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It runs.
    Running,
    /// It ended.
    Ended(Exit),
    /// There is no trace of it: it never started, or its directory is gone.
    Absent,
}

/// Why a prepared call did not give an output. The three ways in which a failure can leave the world are told apart,
/// because recovery depends on them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guard refused it; nothing was sent. The sentence never echoes what would have been allowed.
    #[error("denied: {0}")]
    Denied(String),
    /// A value does not fit its hole; nothing was sent.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Something optional that the call needs is not configured; nothing was sent.
    #[error("not configured: {0}")]
    NotConfigured(String),
    /// Certainly not sent.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It may have happened.
    #[error("lost: {0}")]
    Lost(String),
    /// It ran into its time limit and was stopped.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// The operation was cancelled or its lease was lost.
    #[error("cancelled")]
    Cancelled,
    /// The far side answered with a failure.
    #[error("failed: {0}")]
    Failed(String),
}

/// What an adapter is told about the sandbox that it works for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxView {
    /// The sandbox's name out there: `sbx-<installation>-<id>`.
    pub reference: String,
    /// The profile's name and version: `profile.agent-dev@1`.
    pub profile: String,
    /// The inputs, by name.
    pub inputs: Vec<(String, String)>,
}

/// What an adapter found out and the host keeps beside the sandbox: the canary's telemetry, a version, an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about: `kernel`.
    pub name: Symbol,
    /// What was found, shortened and without control characters.
    pub value: String,
}

/// The answer of an adapter to "is it ready?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Reachability is confirmed.
    Ready(Vec<Fact>),
    /// Not yet: ask again after so many milliseconds.
    Pending {
        /// Milliseconds until the next question; the host bounds it.
        retry_after_ms: u32,
        /// What is waited for.
        what: String,
    },
}

/// What a consumer wants to run in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables for it, as `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts, relative to the workspace or absolute inside the sandbox.
    pub cwd: Option<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
}

/// What a consumer wants to see of a sandbox's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogsRequest {
    /// Whether to go on as more is written.
    pub follow: bool,
}
