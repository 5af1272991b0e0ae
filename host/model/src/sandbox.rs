//! The sandbox, its operations and its resources, as the store keeps them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    call::Fact,
    id::{HostName, InvalidId, ProjectName, ResourceRef, SandboxId, SandboxName, Slot},
    plan::Plan,
};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for it, in stores, on wires and on screens.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(word: &str) -> Result<Self, InvalidId> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| InvalidId {
                    value: word.chars().take(64).flat_map(char::escape_default).collect(),
                    what: $what,
                    rule: $rule,
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(word: String) -> Result<Self, InvalidId> {
                word.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.as_str().to_owned()
            }
        }
    };
}

words!(
    /// Who asks. In embedded use a label; a server enforces it with tokens.
    Actor, "an actor", "adm (administrator), agt (agent) or atm (automation)" {
        /// An administrator.
        Administrator = "adm",
        /// An agent.
        Agent = "agt",
        /// Automation.
        Automation = "atm",
    }
);

words!(
    /// What a sandbox has come to. Desired and actual state are apart; see [`Desired`].
    State, "a state", "requested, provisioning, waiting, ready, destroying, destroyed or failed" {
        /// Its row is there; nothing has been made.
        Requested = "requested",
        /// It is being made.
        Provisioning = "provisioning",
        /// It is made; its reachability is not confirmed yet.
        Waiting = "waiting",
        /// Its reachability was confirmed.
        Ready = "ready",
        /// It is being removed.
        Destroying = "destroying",
        /// The backend confirmed that nothing is left.
        Destroyed = "destroyed",
        /// Making or removing it failed; something may be left, and its teardown stays open.
        Failed = "failed",
    }
);

impl State {
    /// Whether nothing is left and nothing will happen any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self == Self::Destroyed
    }
}

words!(
    /// What the consumer wants to be true.
    Desired, "a desired state", "present or absent" {
        /// It shall be there.
        Present = "present",
        /// It shall be gone.
        Absent = "absent",
    }
);

words!(
    /// A unit of lifecycle work.
    OperationKind, "a kind of operation", "create or destroy" {
        /// Make the sandbox and confirm that it is reachable.
        Create = "create",
        /// Remove all that it consists of.
        Destroy = "destroy",
    }
);

words!(
    /// What has come of an operation.
    OperationState, "a state of an operation", "running, done or failed" {
        /// A worker holds it, or held it when it died.
        Running = "running",
        /// It did what it was for.
        Done = "done",
        /// It did not.
        Failed = "failed",
    }
);

words!(
    /// What has come of a resource.
    ResourceState, "a state of a resource", "intent, live, deleting, gone or quarantined" {
        /// About to be made; whether it was is not known.
        Intent = "intent",
        /// Made.
        Live = "live",
        /// About to be removed, or being removed.
        Deleting = "deleting",
        /// Its absence was observed.
        Gone = "gone",
        /// It could not be removed; it is retried and reported.
        Quarantined = "quarantined",
    }
);

words!(
    /// How a resource is told apart from another one of the same kind.
    Identity, "an identity", "name" {
        /// The backend refuses a second one of that name, so making it may be asked for again freely.
        Name = "name",
    }
);

/// A sandbox as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// What a person calls it.
    pub name: Option<SandboxName>,
    /// Whose it is.
    pub project: ProjectName,
    /// Who asked for it.
    pub actor: Actor,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Everything that was decided when it was asked for, frozen.
    pub plan: Plan,
    /// What shall be true.
    pub desired: Desired,
    /// What is true.
    pub state: State,
    /// Grows with every change.
    pub version: u64,
    /// Why it is in this state.
    pub reason: String,
    /// What its adapter found out.
    pub facts: Vec<Fact>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its reachability was confirmed.
    pub ready_at: Option<Timestamp>,
}

/// A right to work on one operation until a moment, with the fence that every write repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The operation.
    pub operation: u64,
    /// Its sandbox.
    pub sandbox: SandboxId,
    /// What it is for.
    pub kind: OperationKind,
    /// Who asked for it.
    pub actor: Actor,
    /// Grows with every claim; a write that carries an older one changes nothing.
    pub fence: u64,
    /// When the right ends unless it is renewed.
    pub lease_until: Timestamp,
    /// How often it has been claimed.
    pub attempt: u32,
}

/// A resource as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its deterministic name out there.
    pub reference: ResourceRef,
    /// The sandbox that it belongs to.
    pub sandbox: SandboxId,
    /// Which of the sandbox's resources it is.
    pub slot: Slot,
    /// The placement host.
    pub host: HostName,
    /// How it is told apart.
    pub identity: Identity,
    /// What has come of it.
    pub state: ResourceState,
    /// When it last changed.
    pub updated_at: Timestamp,
}
