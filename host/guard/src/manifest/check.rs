//! What makes a manifest refusable beyond its form.

use std::collections::BTreeSet;

use sandboxer_model::{id::Symbol, ledger::Phase};

use super::{CallPath, Command, Manifest, Program};
use crate::{
    hole::HoleType,
    program_text,
    template::{Piece, Word},
};

pub(super) fn problems(manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    texts(manifest, &mut problems);
    for (path, _, command) in manifest.commands() {
        for problem in command_problems(command) {
            problems.push(format!("ssh.{}.commands.{}: {problem}", path.grant, path.command));
        }
        if let Some(slot) = &command.creates
            && manifest.resources.get(slot).is_none_or(|resource| resource.created_by != path)
        {
            problems.push(format!(
                "ssh.{}.commands.{}: creates `{slot}`, but no resource of that name is created by it",
                path.grant, path.command
            ));
        }
    }
    resources(manifest, &mut problems);
    problems
}

fn texts(manifest: &Manifest, problems: &mut Vec<String>) {
    let mut lines = vec![("version".to_owned(), &manifest.version), ("summary".to_owned(), &manifest.summary)];
    for (grant, section) in &manifest.ssh {
        lines.push((format!("ssh.{grant}.reason"), &section.reason));
        for (name, command) in &section.commands {
            lines.push((format!("ssh.{grant}.commands.{name}.about"), &command.about));
        }
        if section.needs.iter().any(|program| {
            program.is_empty()
                || !program.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
        }) {
            problems.push(format!("ssh.{grant}.needs must list names of programs"));
        }
    }
    for (what, text) in lines {
        if text.trim().is_empty() || text.len() > 300 || text.chars().any(char::is_control) {
            problems.push(format!("{what} must be one line of 1 to 300 bytes"));
        }
    }
}

fn command_problems(command: &Command) -> Vec<String> {
    let mut problems = Vec::new();
    let used: BTreeSet<Symbol> = command
        .argv
        .iter()
        .flat_map(Word::holes)
        .filter_map(|piece| match piece {
            Piece::Guest(name) => Some(name),
            Piece::Literal(_) | Piece::Host(_) => None,
        })
        .collect();
    for hole in &used {
        if !command.holes.contains_key(hole) {
            problems.push(format!("the hole `{hole}` has no type"));
        }
    }
    for (hole, kind) in &command.holes {
        if !used.contains(hole) {
            problems.push(format!("the hole `{hole}` is typed but stands nowhere"));
        }
        problems.extend(hole_problem(kind).map(|why| format!("the hole `{hole}` {why}")));
    }
    problems.extend(rest_problem(command));
    problems.extend(text_problem(command));
    if command.phases.is_empty() {
        problems.push("phases is empty".to_owned());
    }
    let access = command.phases.iter().any(|phase| matches!(phase, Phase::Exec | Phase::Logs));
    if access && command.phases.len() > 1 {
        problems.push("a command for exec or logs belongs to that phase alone".to_owned());
    }
    if access && (command.job || command.creates.is_some()) {
        problems.push("a command for exec or logs is neither a job nor creates anything".to_owned());
    }
    if command.output_limit > 4 * 1024 * 1024 {
        problems.push("output-limit is over 4 MiB".to_owned());
    }
    problems
}

fn hole_problem(kind: &HoleType) -> Option<&'static str> {
    match kind {
        HoleType::Integer { min, max } if min > max => Some("has a min over its max"),
        HoleType::Enum { values } if values.is_empty() => Some("lists no words"),
        HoleType::Enum { values } if values.iter().any(|word| crate::hole::check_plain(word, false).is_err()) => {
            Some("lists a word that begins with a dash or holds control characters")
        }
        HoleType::Text { max_bytes } | HoleType::Assignment { max_bytes } if *max_bytes == 0 || *max_bytes > 65_536 => {
            Some("needs max-bytes from 1 to 65536")
        }
        HoleType::Argv { max_items } if *max_items == 0 || *max_items > 4096 => Some("needs max-items from 1 to 4096"),
        HoleType::Name {}
        | HoleType::RelativePath {}
        | HoleType::Integer { .. }
        | HoleType::Enum { .. }
        | HoleType::Digest {}
        | HoleType::Text { .. }
        | HoleType::Assignment { .. }
        | HoleType::Argv { .. } => None,
    }
}

/// Rest arguments stand last, are the only ones, and have the type `argv`; nothing else has that type.
fn rest_problem(command: &Command) -> Option<String> {
    let last = command.argv.len().saturating_sub(1);
    for (at, word) in command.argv.iter().enumerate() {
        if let Word::Rest(name) = word {
            if at != last {
                return Some(format!("`{{{name}...}}` must stand last"));
            }
            if !matches!(command.holes.get(name), Some(HoleType::Argv { .. })) {
                return Some(format!("`{{{name}...}}` must have the type argv"));
            }
        }
        let plain = |piece: &Piece| match piece {
            Piece::Guest(name) => matches!(command.holes.get(name), Some(HoleType::Argv { .. })),
            Piece::Literal(_) | Piece::Host(_) => false,
        };
        let misplaced = match word {
            Word::One(pieces) => pieces.iter().any(plain),
            Word::Group(words) => words.iter().flatten().any(plain),
            Word::Rest(_) => false,
        };
        if misplaced {
            return Some("a hole of type argv must be written with three dots, as the last word".to_owned());
        }
    }
    None
}

fn text_problem(command: &Command) -> Option<String> {
    let judged = match &command.program {
        Program::Script(script) => {
            program_text::check_script(script).and_then(|()| program_text::check(&[], &command.argv))
        }
        Program::Named(alternatives) if alternatives.is_empty() => Err("program lists no alternative".to_owned()),
        Program::Named(alternatives) => alternatives.iter().try_for_each(|words| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            program_text::check(&words, &command.argv)
        }),
    };
    judged.err()
}

fn resources(manifest: &Manifest, problems: &mut Vec<String>) {
    for (slot, resource) in &manifest.resources {
        let mut wrong = |what: &str| problems.push(format!("resources.{slot}: {what}"));
        if slot.as_str() == "workspace" {
            wrong("`workspace` is the host's own slot");
        }
        match manifest.command(&resource.created_by) {
            Some((_, command)) if command.creates.as_ref() == Some(slot) => {}
            Some(_) => wrong(&format!("`{}` does not say that it creates it", resource.created_by)),
            None => wrong(&format!("created-by names `{}`, which is no command", resource.created_by)),
        }
        for (role, path) in [("lookup", &resource.lookup), ("destroyed-by", &resource.destroyed_by)] {
            removal(manifest, role, path).unwrap_or_else(|why| wrong(&why));
        }
    }
}

/// What the host must be able to call by itself, in every state of the sandbox.
fn removal(manifest: &Manifest, role: &str, path: &CallPath) -> Result<(), String> {
    let Some((_, command)) = manifest.command(path) else {
        return Err(format!("{role} names `{path}`, which is no command"));
    };
    if !command.holes.is_empty() {
        return Err(format!("{role} `{path}` has holes that only the adapter could fill"));
    }
    if command.when.is_some() {
        return Err(format!("{role} `{path}` has a condition, so the host could not always call it"));
    }
    if command.job || command.creates.is_some() {
        return Err(format!("{role} `{path}` must be a plain command"));
    }
    if !command.phases.contains(&Phase::Teardown) {
        return Err(format!("{role} `{path}` must belong to the teardown phase"));
    }
    Ok(())
}
