//! What a reviewer reads of an extension that nobody ran: wide things first, most dangerous first.
//!
//! The same data serves the screen, JSON and approvals, so that nothing is shown in one and hidden in another.

use sandboxer_model::ledger::Phase;
use serde::Serialize;

use crate::{
    component::Component,
    manifest::{CallPath, Command, Manifest, Program, RunAs},
    template::{Piece, Word},
};

/// Everything about one extension.
#[derive(Debug, Clone, Serialize)]
pub struct Review {
    /// `ext.NAME`.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// Holes whose content the host cannot check.
    pub wide: Vec<WideItem>,
    /// The component's SHA-256, manifest included.
    pub digest: String,
    /// Its size in bytes.
    pub size: usize,
    /// What it imports of sandboxer's own interfaces.
    pub capabilities: Vec<String>,
    /// What else it imports: standard streams, clocks, randomness. No files, no network.
    pub wasi: Vec<String>,
    /// The hooks that it offers.
    pub hooks: Vec<String>,
    /// The prepared commands.
    pub commands: Vec<CommandItem>,
    /// What it makes and how the host removes it alone.
    pub resources: Vec<ResourceItem>,
    /// The grants that it asks for and why.
    pub grants: Vec<GrantItem>,
}

/// One wide hole.
#[derive(Debug, Clone, Serialize)]
pub struct WideItem {
    /// The command, without its grant when there is only one.
    pub command: String,
    /// The hole.
    pub hole: String,
    /// When it is called.
    pub phases: Vec<Phase>,
    /// What goes in.
    pub takes: String,
}

/// One prepared command.
#[derive(Debug, Clone, Serialize)]
pub struct CommandItem {
    /// `grant.command`.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// What it starts, with its holes in braces.
    pub template: String,
    /// The literal script, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The holes that the adapter fills, with their types.
    pub holes: Vec<(String, String)>,
    /// When it may be called.
    pub phases: Vec<Phase>,
    /// Its condition, as `input = value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether it is detached.
    pub job: bool,
    /// Its limit in seconds.
    pub timeout_s: u64,
}

/// One slot.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceItem {
    /// The slot.
    pub slot: String,
    /// The call that makes it.
    pub created_by: String,
    /// The call that finds it.
    pub lookup: String,
    /// The call that removes it.
    pub destroyed_by: String,
}

/// One grant.
#[derive(Debug, Clone, Serialize)]
pub struct GrantItem {
    /// `ssh host`.
    pub name: String,
    /// Why.
    pub reason: String,
    /// As whom.
    pub run_as: &'static str,
    /// Programs that must be on the host.
    pub needs: Vec<String>,
}

/// Reviews a component and its manifest.
#[must_use]
pub fn review(component: &Component, manifest: &Manifest) -> Review {
    let (capabilities, wasi): (Vec<_>, Vec<_>) = component
        .imports
        .iter()
        .map(|import| import.interface.clone())
        .partition(|interface| interface.starts_with("sandboxer:"));
    let mut hooks = component.exports.clone();
    hooks.sort();
    Review {
        name: format!("ext.{}", manifest.name),
        version: manifest.version.clone(),
        summary: manifest.summary.clone(),
        wide: wide(manifest),
        digest: component.digest.to_string(),
        size: component.size,
        capabilities,
        wasi,
        hooks,
        commands: manifest.commands().map(|(path, _, command)| command_item(&path, command)).collect(),
        resources: manifest
            .resources
            .iter()
            .map(|(slot, resource)| ResourceItem {
                slot: slot.to_string(),
                created_by: resource.created_by.to_string(),
                lookup: resource.lookup.to_string(),
                destroyed_by: resource.destroyed_by.to_string(),
            })
            .collect(),
        grants: manifest
            .ssh
            .iter()
            .map(|(name, section)| GrantItem {
                name: format!("ssh {name}"),
                reason: section.reason.clone(),
                run_as: match section.run_as {
                    RunAs::Connection => "the connection's user",
                    RunAs::Sandbox => "the sandbox's own user",
                },
                needs: section.needs.clone(),
            })
            .collect(),
    }
}

fn wide(manifest: &Manifest) -> Vec<WideItem> {
    let single = manifest.ssh.len() == 1;
    let mut items: Vec<(u8, WideItem)> = manifest
        .wide()
        .into_iter()
        .filter_map(|(path, hole)| {
            let (_, command) = manifest.command(&path)?;
            let takes = command.holes.get(&hole)?.to_string();
            // Wide while it is made is worse than wide when a consumer asks: the adapter alone decides what goes in.
            let rank = u8::from(command.phases.iter().all(|phase| matches!(phase, Phase::Exec | Phase::Logs)));
            let name = if single { path.command.to_string() } else { path.to_string() };
            Some((rank, WideItem { command: name, hole: hole.to_string(), phases: command.phases.clone(), takes }))
        })
        .collect();
    items.sort_by(|a, b| (a.0, &a.1.command, &a.1.hole).cmp(&(b.0, &b.1.command, &b.1.hole)));
    items.into_iter().map(|(_, item)| item).collect()
}

fn command_item(path: &CallPath, command: &Command) -> CommandItem {
    let (program, script) = match &command.program {
        Program::Named(alternatives) => {
            (alternatives.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" | "), None)
        }
        Program::Script(script) => ("sh SCRIPT".to_owned(), Some(script.clone())),
    };
    let arguments: Vec<String> = command.argv.iter().map(show_word).collect();
    CommandItem {
        name: path.to_string(),
        about: command.about.clone(),
        template: std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" "),
        script,
        holes: command.holes.iter().map(|(name, kind)| (name.to_string(), kind.to_string())).collect(),
        phases: command.phases.clone(),
        when: command.when.as_ref().map(|when| format!("{} = {}", when.input, when.is)),
        job: command.job,
        timeout_s: command.timeout.as_secs(),
    }
}

fn show_word(word: &Word) -> String {
    let show = |pieces: &[Piece]| -> String {
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Host(hole) => format!("{{{hole}}}"),
                Piece::Guest(name) => format!("{{{name}}}"),
            })
            .collect()
    };
    match word {
        Word::One(pieces) => show(pieces),
        Word::Rest(name) => format!("{{{name}...}}"),
        Word::Group(words) => format!("[{}]", words.iter().map(|pieces| show(pieces)).collect::<Vec<_>>().join(" ")),
    }
}
