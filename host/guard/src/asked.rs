//! What may be asked of the guard, and on which occasion.

use sandboxer_model::{
    call::{CallError, CallRequest},
    id::{HostName, Slot},
    ledger::Phase,
    ports::store::Right,
    sandbox::Actor,
};

use crate::{permit::Terminal, warrant::Warrant};

/// Where a call comes from and under which right it is made.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// What the sandbox may do.
    pub warrant: Warrant,
    /// The operation's claim, or a consumer's access.
    pub right: Right,
    /// The phase of the sandbox's life.
    pub phase: Phase,
    /// Who is behind it.
    pub actor: Actor,
}

/// What is done with a prepared command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Run it to its end.
    Run,
    /// Start it as a job.
    Start,
    /// Ask after the job that it started.
    Poll,
    /// Run it with its streams passed through, perhaps on a terminal.
    Stream(Option<Terminal>),
}

/// What is asked of the guard.
#[derive(Debug, Clone)]
pub enum Asked<'a> {
    /// A prepared call of the adapter.
    Prepared(&'a CallRequest, Use),
    /// The host finds what lies in a slot.
    Lookup(&'a Slot),
    /// The host removes what lies in a slot.
    Destroy(&'a Slot),
    /// The host's own work on the workspace.
    Workspace(WorkspaceCall),
}

/// The host's own calls: the workspace is a resource of the host's, not of the adapter's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceCall {
    /// Makes the sandbox's directory.
    Prepare,
    /// Takes a tar stream into the workspace.
    Unpack,
    /// Whether the sandbox's directory is there.
    Present,
    /// Stops what runs in the sandbox's name and removes its directory.
    Remove,
}

impl WorkspaceCall {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Prepare => "workspace.prepare",
            Self::Unpack => "workspace.unpack",
            Self::Present => "workspace.present",
            Self::Remove => "workspace.remove",
        }
    }
}

/// The slot that holds the sandbox's directory.
///
/// # Errors
/// Never for this constant; the type has no constant constructor.
pub fn workspace_slot() -> Result<Slot, CallError> {
    "workspace".parse().map_err(|_| CallError::Failed("the workspace slot has no name".to_owned()))
}

impl Occasion {
    /// The placement host.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.warrant.plan().host
    }
}

impl Asked<'_> {
    /// The call's name in the ledger. What a guest chose is shortened and escaped.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Prepared(request, usage) => {
                let shown = |text: &str| text.chars().take(40).flat_map(char::escape_default).collect::<String>();
                let suffix = if *usage == Use::Poll { "#poll" } else { "" };
                format!("{}.{}{suffix}", shown(&request.grant), shown(&request.call))
            }
            Self::Lookup(slot) => format!("{slot}#lookup"),
            Self::Destroy(slot) => format!("{slot}#destroy"),
            Self::Workspace(call) => call.name().to_owned(),
        }
    }
}
