//! The ledger: what every sandbox's prepared calls were, who asked, under which grant, what was decided, what came of it.
//!
//! One hash chain per sandbox. An entry's hash covers its sequence, the hash before it and its body; the head is signed
//! with the installation's key. The hashing and signing themselves are the guard's (`guard::ledger`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    call::Exit,
    id::{Digest, SandboxId},
    sandbox::Actor,
};

/// What an entry records. Adding a kind is a new version of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Body {
    /// The chain's first entry: what the sandbox may do.
    Opened {
        /// Who asked for the sandbox.
        actor: Actor,
        /// `profile.agent-dev@1`.
        profile: String,
        /// `ext.bubblewrap@0.1.0`.
        extension: String,
        /// The component, manifest included.
        component: Digest,
        /// The grants, resolved and frozen.
        grants: Digest,
        /// The placement host.
        host: String,
    },
    /// A call that the guard allowed, written before anything is sent.
    Intent {
        /// Which call.
        call: CallRecord,
    },
    /// A call that the guard denied; nothing was sent.
    Denied {
        /// Which call.
        call: CallRecord,
        /// Why.
        reason: String,
    },
    /// What came of an allowed call.
    Outcome {
        /// The sequence of the intent.
        of: u64,
        /// What came of it.
        result: OutcomeResult,
        /// Milliseconds from intent to outcome.
        duration_ms: u64,
        /// Bytes that went to the far side.
        sent: u64,
        /// Bytes that came from it.
        received: u64,
    },
    /// The chain's last entry: everything is gone.
    Closed {
        /// Why, in a sentence.
        reason: String,
    },
}

/// One call as the ledger shows it: rendered, redacted and shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRecord {
    /// Who asked.
    pub actor: Actor,
    /// In which phase of the sandbox's life.
    pub phase: Phase,
    /// `host.exec` for a prepared call of the adapter, `workspace.prepare` for one of the host's own.
    pub call: String,
    /// The placement host.
    pub host: String,
    /// The rendered argument vector, quoted as for a shell, shortened.
    pub target: String,
    /// The SHA-256 of the whole rendered argument vector (each argument followed by a NUL byte), so that shortening hides nothing.
    pub target_digest: Digest,
}

/// What came of an allowed call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutcomeResult {
    /// The program ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// A job was started; it goes on.
    Started,
    /// Certainly not sent.
    Unavailable,
    /// It may have happened.
    Lost,
    /// It ran into its time limit and was stopped.
    TimedOut,
    /// It was cancelled and stopped.
    Cancelled,
}

/// The phases of a sandbox's life in which calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// While it is made.
    Provision,
    /// While its readiness is asked for.
    WaitReady,
    /// While it is removed.
    Teardown,
    /// When a consumer runs something in it.
    Exec,
    /// When a consumer reads its logs.
    Logs,
}

impl Phase {
    /// Every phase.
    pub const ALL: &'static [Self] = &[Self::Provision, Self::WaitReady, Self::Teardown, Self::Exec, Self::Logs];

    /// The name in manifests and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::WaitReady => "wait-ready",
            Self::Teardown => "teardown",
            Self::Exec => "exec",
            Self::Logs => "logs",
        }
    }
}

/// One entry of a chain, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The sandbox whose chain it is.
    pub sandbox: SandboxId,
    /// Its place in the chain, from 0, without gaps.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The hash of the entry before it; zeroes at the start.
    pub previous: Digest,
    /// The body as the exact text that was hashed.
    pub body: String,
    /// The hash of this entry.
    pub hash: Digest,
}

/// The signed end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sandbox whose chain it is.
    pub sandbox: SandboxId,
    /// The sequence of the last entry.
    pub sequence: u64,
    /// The hash of the last entry.
    pub hash: Digest,
    /// The ed25519 signature over both, in hexadecimal.
    pub signature: String,
}
