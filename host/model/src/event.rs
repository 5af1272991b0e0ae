//! Events: the append-only story of a sandbox, each with a reason and an actor.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::SandboxId,
    sandbox::{Actor, State},
};

/// One line of a sandbox's story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the story of all sandboxes; grows, with gaps.
    pub sequence: u64,
    /// Which sandbox.
    pub sandbox: SandboxId,
    /// The sandbox's version after it.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// The state after it.
    pub state: State,
    /// Why, in a sentence.
    pub reason: String,
    /// Who caused it.
    pub actor: Actor,
}

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The sandbox came to another state.
    State,
    /// An operation was opened, taken over or ended.
    Operation,
    /// A resource came to another state.
    Resource,
    /// The adapter or the host reports a step.
    Progress,
}

impl EventKind {
    /// The name that stores and wires use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Operation => "operation",
            Self::Resource => "resource",
            Self::Progress => "progress",
        }
    }

    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::State, Self::Operation, Self::Resource, Self::Progress];
}
