//! The manifest as it stands in the file. Unknown keys are refused everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use sandboxer_model::{
    id::{Slot, Symbol},
    ledger::Phase,
    profile::parse_extension_name,
    sandbox::Identity,
};
use serde::Deserialize;

use super::{Absent, CallPath, Command, Program, Resource, RunAs, SshSection, When};
use crate::{
    hole::HoleType,
    template::{self, RawWord},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Manifest {
    name: String,
    version: String,
    world: String,
    summary: String,
    #[serde(default)]
    ssh: BTreeMap<Symbol, RawSection>,
    #[serde(default)]
    resources: BTreeMap<Slot, RawResource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSection {
    reason: String,
    run_as: RawRunAs,
    #[serde(default)]
    needs: Vec<String>,
    commands: BTreeMap<Symbol, RawCommand>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum RawRunAs {
    Connection,
    Sandbox,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawProgram {
    One(String),
    Alternatives(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCommand {
    about: String,
    program: Option<RawProgram>,
    script: Option<String>,
    #[serde(default)]
    argv: Vec<RawWord>,
    #[serde(default)]
    holes: BTreeMap<Symbol, HoleType>,
    phases: Option<Vec<Phase>>,
    when: Option<RawWhen>,
    creates: Option<Slot>,
    #[serde(default)]
    job: bool,
    timeout: Option<String>,
    output_limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWhen {
    input: Symbol,
    is: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawResource {
    identity: Identity,
    created_by: String,
    lookup: String,
    absent: RawAbsent,
    destroyed_by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAbsent {
    stdout: RawEmpty,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawEmpty {
    Empty,
}

impl Manifest {
    /// Turns text into types; what that alone can find wrong is reported, all of it.
    pub(super) fn read(self) -> Result<super::Manifest, Vec<String>> {
        let mut problems = Vec::new();
        if self.world != super::WORLD {
            problems.push(format!("it is written for `{}`, but this build speaks `{}`", self.world, super::WORLD));
        }
        let name = match self.name.strip_prefix("ext.").map(|_| parse_extension_name(&self.name)) {
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => {
                problems.push(error.to_string());
                None
            }
            None => {
                problems.push("the name must begin with `ext.`".to_owned());
                None
            }
        };
        let mut ssh = BTreeMap::new();
        for (grant, raw) in self.ssh {
            let mut commands = BTreeMap::new();
            for (command, raw) in raw.commands {
                match raw.read() {
                    Ok(read) => drop(commands.insert(command, read)),
                    Err(why) => problems.push(format!("ssh.{grant}.commands.{command}: {why}")),
                }
            }
            let run_as = match raw.run_as {
                RawRunAs::Connection => RunAs::Connection,
                RawRunAs::Sandbox => RunAs::Sandbox,
            };
            ssh.insert(grant, SshSection { reason: raw.reason, run_as, needs: raw.needs, commands });
        }
        let mut resources = BTreeMap::new();
        for (slot, raw) in self.resources {
            match raw.read() {
                Ok(read) => drop(resources.insert(slot, read)),
                Err(why) => problems.push(format!("resources.{slot}: {why}")),
            }
        }
        match name {
            Some(name) if problems.is_empty() => {
                Ok(super::Manifest { name, version: self.version, summary: self.summary, ssh, resources })
            }
            Some(_) | None => Err(problems),
        }
    }
}

impl RawCommand {
    fn read(self) -> Result<Command, String> {
        let program = match (self.program, self.script) {
            (Some(RawProgram::One(one)), None) => Program::Named(vec![words(&one)?]),
            (Some(RawProgram::Alternatives(all)), None) => {
                Program::Named(all.iter().map(|text| words(text)).collect::<Result<_, _>>()?)
            }
            (None, Some(script)) => Program::Script(script),
            (Some(_), Some(_)) => return Err("has both `program` and `script`".to_owned()),
            (None, None) => return Err("needs `program` or `script`".to_owned()),
        };
        let phases = self.phases.unwrap_or_else(|| vec![Phase::Provision, Phase::WaitReady, Phase::Teardown]);
        Ok(Command {
            about: self.about,
            program,
            argv: self.argv.iter().map(template::parse).collect::<Result<_, _>>()?,
            holes: self.holes,
            phases,
            when: self.when.map(|when| When { input: when.input, is: when.is }),
            creates: self.creates,
            job: self.job,
            timeout: self.timeout.as_deref().map_or(Ok(Duration::from_secs(30)), seconds)?,
            output_limit: self.output_limit.unwrap_or(64 * 1024),
        })
    }
}

/// A program's own words: separated by single spaces, nothing to quote, no holes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let plain = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'+'))
    };
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    if words.iter().all(|word| plain(word)) {
        Ok(words)
    } else {
        Err(format!("`{}` is not the name of a program", text.escape_default()))
    }
}

/// `30s`, `15m`, `2h`; at most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is not a duration such as 30s, 15m or 2h", text.escape_default());
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let total = count.checked_mul(factor).ok_or_else(wrong)?;
    if total == 0 || total > 86_400 {
        return Err(format!("`{text}` is not between 1s and 24h"));
    }
    Ok(Duration::from_secs(total))
}

impl RawResource {
    fn read(self) -> Result<Resource, String> {
        let RawAbsent { stdout: RawEmpty::Empty } = self.absent;
        Ok(Resource {
            identity: self.identity,
            created_by: path(&self.created_by)?,
            lookup: path(&self.lookup)?,
            absent: Absent::EmptyStdout,
            destroyed_by: path(&self.destroyed_by)?,
        })
    }
}

fn path(text: &str) -> Result<CallPath, String> {
    let parsed = text
        .split_once('.')
        .and_then(|(grant, command)| Some(CallPath { grant: grant.parse().ok()?, command: command.parse().ok()? }));
    parsed.ok_or_else(|| format!("`{}` is not `grant.command`", text.escape_default()))
}
