//! `hosts add|list|check`.

use sandboxer_brokers::connections::{HostConnection, add_host};
use sandboxer_model::{
    Error, ErrorCode, Result,
    error::Problem,
    id::HostName,
    ports::hosts::{HostEntry, Hosts},
};
use serde::Serialize;

use super::{compose, inspect};
use crate::{
    args::{HostAdd, Hosts as Verb},
    output::{Printer, clean, table},
    settings::Settings,
};

#[derive(Serialize)]
struct HostList {
    hosts: Vec<HostEntry>,
}

#[derive(Serialize)]
struct Added {
    added: String,
    file: String,
}

#[derive(Serialize)]
struct Checked {
    checked: Vec<CheckedOne>,
}

#[derive(Serialize)]
struct CheckedOne {
    host: String,
    usable: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
}

pub(super) async fn run(args: &Verb, settings: &Settings, printer: Printer) -> Result<u8> {
    match args {
        Verb::Add(add) => {
            add_host(&settings.connections(), &add.name, &connection(add)?)?;
            let added = Added { added: add.name.to_string(), file: settings.connections().display().to_string() };
            printer.result(
                &added,
                |added| vec![added.added.clone()],
                |added| {
                    format!(
                        "declared {} in {}; `sandboxer hosts check {}` tries it",
                        added.added, added.file, added.added
                    )
                },
            )?;
            Ok(0)
        }
        Verb::List => {
            let list = HostList { hosts: compose::brokers(settings)?.list() };
            printer.result(&list, |list| list.hosts.iter().map(|host| host.name.to_string()).collect(), human)?;
            Ok(0)
        }
        Verb::Check { hosts } => check(hosts, settings, printer).await,
    }
}

fn connection(add: &HostAdd) -> Result<HostConnection> {
    if add.name.is_local() {
        return Err(Error::new(ErrorCode::UsageInvalid, "`local` is this machine and always there")
            .hint("to move its sandboxes, set `root` under [hosts.local] in connections.toml; `sandboxer doctor` then checks it"));
    }
    Ok(HostConnection {
        address: add.address.clone(),
        port: add.port,
        user: add.user.clone(),
        key: add.key.clone(),
        root: add.root.clone(),
        identity_file: add.identity_file.clone(),
        known_hosts: None,
    })
}

fn human(list: &HostList) -> String {
    let rows = list
        .hosts
        .iter()
        .map(|host| {
            let key = host
                .key
                .clone()
                .unwrap_or_else(|| if host.name.is_local() { "-".to_owned() } else { "known_hosts".to_owned() });
            vec![host.name.to_string(), host.address.clone(), host.user.clone().unwrap_or_else(|| "-".to_owned()), key]
        })
        .collect();
    table(&["HOST", "ADDRESS", "USER", "KEY"], rows)
}

async fn check(names: &[HostName], settings: &Settings, printer: Printer) -> Result<u8> {
    let brokers = compose::brokers(settings)?;
    let all: Vec<HostName> =
        if names.is_empty() { brokers.list().into_iter().map(|host| host.name).collect() } else { names.to_vec() };
    let mut checked = Vec::new();
    let mut first_failure = None;
    for name in all {
        checked.push(match brokers.probe(&name, &inspect::names()).await {
            Ok(facts) => CheckedOne {
                host: name.to_string(),
                usable: true,
                found: format!("{}, {}, uid {}, root {}", facts.os, facts.kernel, facts.uid, facts.root),
                code: None,
                remedy: None,
                latency_ms: Some(facts.latency_ms),
            },
            Err(error) => {
                let one = CheckedOne {
                    host: name.to_string(),
                    usable: false,
                    found: error.to_string(),
                    code: Some(error.code),
                    remedy: Some(error.advice().to_owned()),
                    latency_ms: None,
                };
                first_failure.get_or_insert(error);
                one
            }
        });
    }
    let problems: Vec<Problem> = checked
        .iter()
        .filter(|one| !one.usable)
        .map(|one| Problem::new(one.host.clone(), one.remedy.clone().unwrap_or_default()))
        .collect();
    let checked = Checked { checked };
    printer.result(
        &checked,
        |all| all.checked.iter().filter(|one| one.usable).map(|one| one.host.clone()).collect(),
        |all| {
            all.checked
                .iter()
                .map(|one| {
                    let mark = if one.usable { "ok  " } else { "FAIL" };
                    format!("{mark}  {}: {}\n", one.host, clean(&one.found))
                })
                .collect()
        },
    )?;
    match (first_failure, problems.len()) {
        (None, _) => Ok(0),
        (Some(only), 1) => Err(only),
        (Some(first), count) => Err(Error::new(first.code, format!("{count} hosts cannot be used")).problems(problems)),
    }
}
