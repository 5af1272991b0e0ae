//! The plan: everything that is decided when a sandbox is asked for. It is frozen in the sandbox's row, so that a worker
//! that takes over after a crash, and the host that tears down without the adapter, decide nothing anew.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, ExtensionName, HostName, ProfileName, SandboxRef, Symbol},
    input::InputValue,
};

/// Everything that was decided at create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the sandbox is called out there.
    pub reference: SandboxRef,
    /// The profile and its version.
    pub profile: ProfileName,
    /// The profile's version.
    pub profile_version: u32,
    /// The extension.
    pub extension: ExtensionName,
    /// The extension's version, for people.
    pub extension_version: String,
    /// The component, manifest included. Kept by digest as long as a sandbox refers to it.
    pub component: Digest,
    /// The SHA-256 of the canonical grants.
    pub grants_digest: Digest,
    /// What the adapter may do, by grant name.
    pub grants: BTreeMap<Symbol, Grant>,
    /// The resolved inputs.
    pub inputs: BTreeMap<Symbol, InputValue>,
    /// What goes into the workspace, in this order.
    pub uploads: Vec<Upload>,
    /// The placement host.
    pub host: HostName,
    /// What was found on the placement host.
    pub site: Site,
    /// Seconds that create may take until the sandbox is ready.
    pub ready_within_s: u32,
}

impl Plan {
    /// `profile.agent-dev@1`.
    #[must_use]
    pub fn profile_title(&self) -> String {
        format!("profile.{}@{}", self.profile, self.profile_version)
    }

    /// `ext.bubblewrap@0.1.0`.
    #[must_use]
    pub fn extension_title(&self) -> String {
        format!("ext.{}@{}", self.extension, self.extension_version)
    }
}

/// A directory or a file of the consumer's machine that goes into the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// The input that names it.
    pub input: Symbol,
    /// Where it lies: an absolute path.
    pub source: PathBuf,
    /// Whether a directory's files that `.gitignore` excludes go too.
    pub include_ignored: bool,
}

/// What one profile gives one extension under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The prepared commands, by exact name.
    pub commands: Vec<Symbol>,
}

/// What was found on the placement host when the sandbox was placed, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The directory that holds all of our sandboxes there; absolute, of characters that need no quoting.
    pub root: String,
    /// The user id that we are there.
    pub uid: u32,
    /// The user id that sandboxes of this plan run under when we are root there.
    pub sandbox_uid: Option<u32>,
    /// For every granted command with a choice of programs: the one that is there.
    pub programs: BTreeMap<String, Vec<String>>,
}

impl Site {
    /// The directory of one sandbox: `<root>/<reference>`.
    #[must_use]
    pub fn home(&self, reference: &SandboxRef) -> String {
        format!("{}/{reference}", self.root)
    }

    /// The sandbox's workspace on the placement host.
    #[must_use]
    pub fn workspace(&self, reference: &SandboxRef) -> String {
        format!("{}/workspace", self.home(reference))
    }

    /// Where the adapter's commands may keep what they need between calls.
    #[must_use]
    pub fn state(&self, reference: &SandboxRef) -> String {
        format!("{}/state", self.home(reference))
    }

    /// Where the fixed wrapper keeps its records; out of reach of the sandbox's own user when we are root there.
    #[must_use]
    pub fn control(&self, reference: &SandboxRef) -> String {
        format!("{}/control", self.home(reference))
    }
}
