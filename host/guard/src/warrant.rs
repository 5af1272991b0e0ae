//! The warrant: what one sandbox may do, from its frozen plan and its component's manifest.
//!
//! It is made anew whenever a worker or an access starts, from what the store and the component hold, and it fails when
//! the two do not fit: a plan that grants more than the manifest declares is refused, not trimmed.

use std::sync::Arc;

use sandboxer_model::{
    call::SandboxView,
    error::Problem,
    id::{Digest, Slot, Symbol},
    input::InputValue,
    plan::{Grant, Plan},
};
use sha2::{Digest as _, Sha256};

use crate::{
    hole::{self, HostHole},
    manifest::{CallPath, Command, Manifest, Program, RunAs, SshSection},
    template::{Piece, Word},
};

/// A plan and a manifest that do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The profile grants something that the manifest does not declare.
    #[error("it grants `{0}`, which the extension's manifest does not declare")]
    GrantsTooMuch(String),
    /// The plan is for another extension than the manifest's.
    #[error("it is for ext.{plan}, but the component is ext.{component}")]
    OtherExtension {
        /// The plan's.
        plan: String,
        /// The component's.
        component: String,
    },
    /// A granted command uses an input that the profile neither requires nor gives a default.
    #[error("the command `{command}` needs the input `{input}`, which the profile does not always give")]
    InputMissing {
        /// The command.
        command: CallPath,
        /// The input.
        input: Symbol,
    },
    /// The program alternatives of a command were not settled at placement.
    #[error("the program of `{0}` was not settled when the sandbox was placed")]
    Unsettled(CallPath),
}

/// What one sandbox may do.
#[derive(Debug, Clone)]
pub struct Warrant {
    plan: Arc<Plan>,
    manifest: Arc<Manifest>,
}

impl Warrant {
    /// Joins a plan and a manifest.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn new(plan: Arc<Plan>, manifest: Arc<Manifest>) -> Result<Self, Unfit> {
        if plan.extension != manifest.name {
            return Err(Unfit::OtherExtension {
                plan: plan.extension.to_string(),
                component: manifest.name.to_string(),
            });
        }
        within(&manifest, &plan.grants)?;
        Ok(Self { plan, manifest })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the adapter is told about the sandbox.
    #[must_use]
    pub fn view(&self) -> SandboxView {
        SandboxView {
            reference: self.plan.reference.to_string(),
            profile: self.plan.profile_title(),
            inputs: self.plan.inputs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }

    /// Whether the profile grants this command.
    #[must_use]
    pub fn grants(&self, path: &CallPath) -> bool {
        self.plan.grants.get(&path.grant).is_some_and(|grant| grant.commands.contains(&path.command))
    }

    /// Whether the manifest's condition on the command holds for this sandbox.
    #[must_use]
    pub fn condition_holds(&self, command: &Command) -> bool {
        command
            .when
            .as_ref()
            .is_none_or(|when| self.plan.inputs.get(&when.input).is_some_and(|value| value.to_string() == when.is))
    }

    /// The user id that commands of this section run under; `None` for the connection's own.
    #[must_use]
    pub fn run_as(&self, section: &SshSection) -> Option<u32> {
        match section.run_as {
            RunAs::Connection => None,
            RunAs::Sandbox => self.plan.site.sandbox_uid,
        }
    }

    /// The user id that owns the workspace: the sandbox's own when any section runs under it.
    #[must_use]
    pub fn workspace_owner(&self) -> Option<u32> {
        self.manifest.ssh.values().find_map(|section| self.run_as(section))
    }

    /// What a host-filled hole holds.
    #[must_use]
    pub fn fill(&self, hole: &HostHole) -> Option<String> {
        let Plan { reference, site, inputs, .. } = &*self.plan;
        match hole {
            HostHole::Sandbox => Some(reference.to_string()),
            HostHole::Workspace => Some(site.workspace(reference)),
            HostHole::State => Some(site.state(reference)),
            HostHole::Input(name) => inputs.get(name).map(|value| match value {
                // What went up lies in the workspace; the consumer's own path means nothing on the host.
                InputValue::Directory(_) | InputValue::File(_) => site.workspace(reference),
                InputValue::String(_) | InputValue::Integer(_) | InputValue::Enum(_) => value.to_string(),
            }),
        }
    }

    /// The words that start this command's program: the alternative that placement settled, or the shell for a script.
    ///
    /// # Errors
    /// [`Unfit::Unsettled`].
    pub fn program(&self, path: &CallPath, command: &Command) -> Result<Vec<String>, Unfit> {
        match &command.program {
            Program::Script(script) => {
                Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone(), path.to_string()])
            }
            Program::Named(alternatives) => match alternatives.as_slice() {
                [only] => Ok(only.clone()),
                several => self
                    .plan
                    .site
                    .programs
                    .get(&path.to_string())
                    .filter(|settled| several.contains(settled))
                    .cloned()
                    .ok_or_else(|| Unfit::Unsettled(path.clone())),
            },
        }
    }

    /// The slots that a granted command may fill, with their resources.
    pub fn slots(&self) -> impl Iterator<Item = (&Slot, &crate::manifest::Resource)> {
        self.manifest.resources.iter().filter(|(_, resource)| self.grants(&resource.created_by))
    }
}

/// Whether the grants lie within the manifest.
///
/// # Errors
/// [`Unfit::GrantsTooMuch`], for the first that does not.
pub fn within(manifest: &Manifest, grants: &std::collections::BTreeMap<Symbol, Grant>) -> Result<(), Unfit> {
    for (grant, given) in grants {
        let section = manifest.ssh.get(grant).ok_or_else(|| Unfit::GrantsTooMuch(grant.to_string()))?;
        for command in &given.commands {
            if !section.commands.contains_key(command) {
                return Err(Unfit::GrantsTooMuch(format!("{grant}.{command}")));
            }
        }
    }
    Ok(())
}

/// Whether every granted command finds its inputs: `given` holds those that the profile requires or gives a default.
///
/// # Errors
/// [`Unfit::InputMissing`], for the first that does not.
pub fn inputs_suffice(
    manifest: &Manifest,
    grants: &std::collections::BTreeMap<Symbol, Grant>,
    given: &dyn Fn(&Symbol) -> bool,
) -> Result<(), Unfit> {
    for (path, _, command) in manifest.commands() {
        if !grants.get(&path.grant).is_some_and(|grant| grant.commands.contains(&path.command)) {
            continue;
        }
        for word in &command.argv {
            // An optional group may do without its input.
            if matches!(word, Word::Group(_)) {
                continue;
            }
            for hole in word.holes() {
                if let Piece::Host(HostHole::Input(input)) = hole
                    && !given(&input)
                {
                    return Err(Unfit::InputMissing { command: path, input });
                }
            }
        }
    }
    Ok(())
}

/// The problems that inputs would cause in a command line, found before anything is written down.
#[must_use]
pub fn input_problems(manifest: &Manifest, inputs: &std::collections::BTreeMap<Symbol, InputValue>) -> Vec<Problem> {
    manifest
        .inputs()
        .iter()
        .filter_map(|name| {
            let why = match inputs.get(name)? {
                InputValue::String(text) | InputValue::Enum(text) => hole::check_plain(text, false).err()?,
                InputValue::Integer(number) if *number < 0 => "is negative, so it could be taken for a flag".to_owned(),
                InputValue::Integer(_) | InputValue::Directory(_) | InputValue::File(_) => return None,
            };
            Some(Problem::new(format!("input.{name}"), why))
        })
        .collect()
}

/// The SHA-256 of the grants in their canonical form: one line `grant.command` each, sorted.
#[must_use]
pub fn grants_digest(grants: &std::collections::BTreeMap<Symbol, Grant>) -> Digest {
    let mut lines: Vec<String> = grants
        .iter()
        .flat_map(|(grant, given)| given.commands.iter().map(move |command| format!("ssh {grant}.{command}\n")))
        .collect();
    lines.sort();
    let mut hasher = Sha256::new();
    hasher.update("sandboxer grants v1\n");
    for line in lines {
        hasher.update(line);
    }
    Digest::new(hasher.finalize().into())
}
