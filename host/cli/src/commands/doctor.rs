//! `doctor`: everything that a first run needs, each with its remedy.

use sandboxer_model::{Error, ErrorCode, Result, error::Problem, id::HostName, ports::hosts::Hosts};
use sandboxer_service::{catalog::Catalog, lint};
use serde::Serialize;

use super::{compose, inspect};
use crate::{
    catalog::BundledCatalog,
    output::{Printer, clean},
    settings::Settings,
};

#[derive(Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    check: String,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn good(check: &str, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), ok: true, found: found.into(), remedy: None }
    }

    fn bad(check: &str, error: &Error) -> Self {
        Self { check: check.to_owned(), ok: false, found: error.to_string(), remedy: Some(error.advice().to_owned()) }
    }
}

pub(super) async fn run(settings: &Settings, printer: Printer) -> Result<u8> {
    let mut findings = vec![Finding::good("configuration", settings.config_dir.display().to_string())];
    findings.push(match compose::service(settings).await {
        Ok(service) => match service.store.check().await.map_err(sandboxer_service::store_error) {
            Ok(()) => Finding::good("store", settings.store().display().to_string()),
            Err(error) => Finding::bad("store", &error),
        },
        Err(error) => Finding::bad("store", &error),
    });
    findings.push(profiles());
    findings.extend(hosts(settings).await);
    let report = Report { healthy: findings.iter().all(|finding| finding.ok), findings };
    printer.result(&report, |_| Vec::new(), human)?;
    if report.healthy {
        return Ok(0);
    }
    let problems = report
        .findings
        .iter()
        .filter(|finding| !finding.ok)
        .map(|finding| Problem::new(finding.check.clone(), finding.remedy.clone().unwrap_or_default()))
        .collect();
    Err(Error::new(ErrorCode::CheckFailed, "something is not as a first run needs it").problems(problems))
}

fn profiles() -> Finding {
    let names = BundledCatalog.profiles();
    let checked = names.iter().try_for_each(|name| lint::check(&BundledCatalog.profile(name)?, &BundledCatalog));
    match checked {
        Ok(()) => {
            let names: Vec<String> = names.iter().map(|name| format!("profile.{name}")).collect();
            Finding::good("profiles", names.join(" "))
        }
        Err(error) => Finding::bad("profiles", &error),
    }
}

async fn hosts(settings: &Settings) -> Vec<Finding> {
    let brokers = match compose::brokers(settings) {
        Ok(brokers) => brokers,
        Err(error) => return vec![Finding::bad("connections", &error)],
    };
    let mut findings = Vec::new();
    for entry in brokers.list() {
        let check = format!("host {}", entry.name);
        findings.push(match brokers.probe(&entry.name, &inspect::names()).await {
            Ok(facts) => judge(&check, &entry.name, &facts),
            Err(error) => Finding::bad(&check, &error),
        });
    }
    findings
}

fn judge(check: &str, host: &HostName, facts: &sandboxer_model::ports::hosts::HostFacts) -> Finding {
    let missing: Vec<&str> = inspect::PROGRAMS
        .iter()
        .copied()
        .filter(|program| *program != "git" && !facts.programs.iter().any(|found| found == program))
        .collect();
    let mut remedies = Vec::new();
    if missing.contains(&"bwrap") {
        remedies.push("`apt-get install bubblewrap` there");
    }
    if missing.iter().any(|program| *program != "bwrap") {
        remedies.push("`apt-get install util-linux coreutils tar` there");
    }
    if !facts.user_namespaces {
        remedies.push(
            "allow unprivileged user namespaces there (`sysctl kernel.unprivileged_userns_clone=1`; on Ubuntu 24.04 an AppArmor profile for bwrap)",
        );
    }
    if remedies.is_empty() {
        return Finding::good(check, format!("{}, {}, uid {}", facts.os, facts.kernel, facts.uid));
    }
    let mut found = if missing.is_empty() { String::new() } else { format!("missing: {}", missing.join(" ")) };
    if !facts.user_namespaces {
        found.push_str(" no user namespaces for unprivileged users");
    }
    Finding {
        check: check.to_owned(),
        ok: false,
        found: format!("{host} serves profile.sandbox-canary but not profile.agent-dev; {}", found.trim()),
        remedy: Some(remedies.join("; ")),
    }
}

fn human(report: &Report) -> String {
    report
        .findings
        .iter()
        .map(|finding| {
            let mark = if finding.ok { "ok  " } else { "FAIL" };
            let remedy =
                finding.remedy.as_ref().map(|text| format!("      remedy: {}\n", clean(text))).unwrap_or_default();
            format!("{mark}  {}: {}\n{remedy}", finding.check, clean(&finding.found))
        })
        .collect()
}
