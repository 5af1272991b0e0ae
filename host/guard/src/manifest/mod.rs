//! Manifests: everything that an adapter could ever ask for, as its author declares it and as a reviewer reads it.
//!
//! [`Manifest::parse`] is the only way to one, and it refuses whatever it does not understand: unknown keys, holes in
//! program text, resources that the host could not remove by itself.

mod check;
mod raw;

use std::{collections::BTreeMap, time::Duration};

use sandboxer_model::{
    id::{ExtensionName, Slot, Symbol},
    ledger::Phase,
    sandbox::Identity,
};

use crate::{
    hole::{HoleType, HostHole},
    template::{Piece, Word},
};

/// The WIT package that this build speaks.
pub const WORLD: &str = "sandboxer:extension@0.1.0";

/// A manifest, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `ext.NAME` without its prefix.
    pub name: ExtensionName,
    /// The author's version.
    pub version: String,
    /// One line for a person.
    pub summary: String,
    /// The `ssh` sections by the name of their grant.
    pub ssh: BTreeMap<Symbol, SshSection>,
    /// What the adapter makes.
    pub resources: BTreeMap<Slot, Resource>,
}

/// Prepared commands under one grant.
#[derive(Debug, Clone, PartialEq)]
pub struct SshSection {
    /// Why the adapter needs it.
    pub reason: String,
    /// As whom the commands run.
    pub run_as: RunAs,
    /// Programs that must be on the placement host.
    pub needs: Vec<String>,
    /// The commands by name.
    pub commands: BTreeMap<Symbol, Command>,
}

/// As whom commands run on the placement host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs {
    /// As the user of the operator's connection.
    Connection,
    /// As a user id of the sandbox's own when the connection's user is root; as the connection's user otherwise.
    Sandbox,
}

/// What a command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program, as alternatives of words of which the first that is there is taken: `docker compose`, `docker-compose`.
    Named(Vec<Vec<String>>),
    /// A literal shell script; the command's arguments are its positional parameters.
    Script(String),
}

/// One prepared command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What it is for.
    pub about: String,
    /// What it starts.
    pub program: Program,
    /// Its arguments.
    pub argv: Vec<Word>,
    /// The types of the holes that the adapter fills.
    pub holes: BTreeMap<Symbol, HoleType>,
    /// When the adapter may call it.
    pub phases: Vec<Phase>,
    /// Only when this input has this value.
    pub when: Option<When>,
    /// The slot that it fills.
    pub creates: Option<Slot>,
    /// Whether it is a job: detached, surviving us.
    pub job: bool,
    /// How long it may take; not for jobs and accesses, which last as long as they last.
    pub timeout: Duration,
    /// Bytes of each output stream that are kept.
    pub output_limit: usize,
}

/// A condition on an input, judged by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The input.
    pub input: Symbol,
    /// Its value.
    pub is: String,
}

/// Something that the adapter makes, and how the host finds and removes it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// How it is told apart.
    pub identity: Identity,
    /// The call that makes it.
    pub created_by: CallPath,
    /// The call that finds it; without any hole for the adapter.
    pub lookup: CallPath,
    /// How the lookup says that it is not there.
    pub absent: Absent,
    /// The call that removes it; without any hole for the adapter.
    pub destroyed_by: CallPath,
}

/// How a lookup says "not there".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It succeeds and prints nothing.
    EmptyStdout,
}

/// `grant.command`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallPath {
    /// The grant.
    pub grant: Symbol,
    /// The command.
    pub command: Symbol,
}

impl std::fmt::Display for CallPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.grant, self.command)
    }
}

/// A manifest that is refused, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is refused: {}", .0.join("; "))]
pub struct ManifestRefused(pub Vec<String>);

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestRefused`] with everything that is wrong.
    pub fn parse(text: &str) -> Result<Self, ManifestRefused> {
        let raw: raw::Manifest =
            toml::from_str(text).map_err(|error| ManifestRefused(vec![error.message().to_owned()]))?;
        let manifest = raw.read().map_err(ManifestRefused)?;
        let problems = check::problems(&manifest);
        if problems.is_empty() { Ok(manifest) } else { Err(ManifestRefused(problems)) }
    }

    /// The command of this path.
    #[must_use]
    pub fn command(&self, path: &CallPath) -> Option<(&SshSection, &Command)> {
        let section = self.ssh.get(&path.grant)?;
        section.commands.get(&path.command).map(|command| (section, command))
    }

    /// Every command with its path, in order.
    pub fn commands(&self) -> impl Iterator<Item = (CallPath, &SshSection, &Command)> {
        self.ssh.iter().flat_map(|(grant, section)| {
            section.commands.iter().map(move |(name, command)| {
                (CallPath { grant: grant.clone(), command: name.clone() }, section, command)
            })
        })
    }

    /// The inputs that the manifest's templates and conditions mention.
    #[must_use]
    pub fn inputs(&self) -> std::collections::BTreeSet<Symbol> {
        let mut inputs = std::collections::BTreeSet::new();
        for (_, _, command) in self.commands() {
            inputs.extend(command.when.iter().map(|when| when.input.clone()));
            for piece in command.argv.iter().flat_map(Word::holes) {
                if let Piece::Host(HostHole::Input(name)) = piece {
                    inputs.insert(name);
                }
            }
        }
        inputs
    }

    /// The wide list: every hole whose content the host cannot check, as `(command, hole)`.
    #[must_use]
    pub fn wide(&self) -> Vec<(CallPath, Symbol)> {
        let mut wide = Vec::new();
        for (path, _, command) in self.commands() {
            for (hole, kind) in &command.holes {
                if kind.is_wide() {
                    wide.push((path.clone(), hole.clone()));
                }
            }
        }
        wide
    }
}

#[cfg(test)]
mod tests;
