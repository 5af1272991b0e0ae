//! `profiles list|show|lint`.

use std::path::Path;

use sandboxer_model::{
    Error, ErrorCode, Result,
    profile::{Profile, parse_profile_name},
};
use sandboxer_service::{
    catalog::{Catalog, read_profile},
    lint,
};
use serde::Serialize;

use crate::{
    args::Profiles,
    catalog::BundledCatalog,
    output::{Printer, table},
    settings::Settings,
};

#[derive(Serialize)]
struct ProfileList {
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Linted {
    linted: Vec<String>,
}

pub(super) async fn run(args: &Profiles, _settings: &Settings, printer: Printer) -> Result<u8> {
    match args {
        Profiles::List => {
            let profiles = BundledCatalog
                .profiles()
                .iter()
                .map(|name| BundledCatalog.profile(name))
                .collect::<Result<Vec<_>>>()?;
            let list = ProfileList { profiles };
            printer.result(
                &list,
                |list| list.profiles.iter().map(title).collect(),
                |list| {
                    let rows = list
                        .profiles
                        .iter()
                        .map(|profile| {
                            vec![title(profile), format!("ext.{}", profile.extension), profile.summary.clone()]
                        })
                        .collect();
                    table(&["PROFILE", "EXTENSION", "SUMMARY"], rows)
                },
            )?;
        }
        Profiles::Show { profile } => {
            let profile = BundledCatalog.profile(profile)?;
            printer.result(&profile, |profile| vec![title(profile)], human)?;
        }
        Profiles::Lint { profile } => {
            let linted = Linted { linted: lint_all(profile.as_deref())? };
            printer.result(
                &linted,
                |linted| linted.linted.clone(),
                |linted| linted.linted.iter().map(|name| format!("{name}: nothing to complain about\n")).collect(),
            )?;
        }
    }
    Ok(0)
}

fn title(profile: &Profile) -> String {
    format!("profile.{}@{}", profile.name, profile.version)
}

fn lint_all(which: Option<&str>) -> Result<Vec<String>> {
    let profiles = match which {
        None => {
            BundledCatalog.profiles().iter().map(|name| BundledCatalog.profile(name)).collect::<Result<Vec<_>>>()?
        }
        Some(text) if Path::new(text).is_file() => vec![read_profile(&read(text)?, text)?],
        Some(text) => {
            let name = parse_profile_name(text).map_err(|error| {
                Error::new(ErrorCode::ProfileUnknown, format!("there is no file `{text}`, and {error}")).because(error)
            })?;
            vec![BundledCatalog.profile(&name)?]
        }
    };
    for profile in &profiles {
        lint::check(profile, &BundledCatalog)?;
    }
    Ok(profiles.iter().map(title).collect())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorCode::FileUnusable, format!("`{path}` cannot be read: {error}")).because(error)
    })
}

fn human(profile: &Profile) -> String {
    let mut text = format!("{}\n{}\n\nextension  ext.{}\n", title(profile), profile.summary, profile.extension);
    for (grant, given) in &profile.grants {
        let commands: Vec<&str> = given.commands.iter().map(sandboxer_model::id::Symbol::as_str).collect();
        text.push_str(&format!("grants     ssh {grant}: {}\n", commands.join(", ")));
    }
    if profile.inputs.is_empty() {
        text.push_str("inputs     none\n");
        return text;
    }
    text.push('\n');
    let rows = profile
        .inputs
        .iter()
        .map(|(name, input)| {
            let default = match input.kind.default_value() {
                Some(value) => value.to_string(),
                None if input.required => "required".to_owned(),
                None => "-".to_owned(),
            };
            vec![name.to_string(), kind(&input.kind), default, input.help.clone()]
        })
        .collect();
    text.push_str(&table(&["INPUT", "TYPE", "DEFAULT", "HELP"], rows));
    text
}

fn kind(kind: &sandboxer_model::input::InputKind) -> String {
    use sandboxer_model::input::InputKind;
    match kind {
        InputKind::Directory { .. } | InputKind::File => kind.name().to_owned(),
        InputKind::String { pattern, .. } => {
            pattern.as_ref().map_or_else(|| "string".to_owned(), |pattern| format!("string /{pattern}/"))
        }
        InputKind::Integer { min, max, .. } => format!("integer {min}..{max}"),
        InputKind::Enum { values, .. } => values.join("|"),
    }
}
