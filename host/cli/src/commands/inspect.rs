//! `inspect host`: what a host is and has, and our sandboxes on it.

use std::collections::BTreeSet;

use sandboxer_model::{
    Result,
    id::HostName,
    ports::{hosts::HostFacts, store::Filter},
};
use serde::Serialize;

use super::compose;
use crate::{
    args::Inspect,
    output::{Printer, clean},
    settings::Settings,
};

/// What the bundled extensions and the transports want to know of a host.
pub(super) const PROGRAMS: &[&str] =
    &["bwrap", "nsenter", "unshare", "prlimit", "setpriv", "setsid", "flock", "mkfifo", "tar", "git"];

#[derive(Serialize)]
struct HostReport {
    host: String,
    #[serde(flatten)]
    facts: HostFacts,
    /// Our sandboxes that the store places on this host.
    ours: Vec<String>,
    /// Directories there that no sandbox of this store accounts for.
    unaccounted: Vec<String>,
    /// Sandboxes that the store has there and that have no directory.
    missing: Vec<String>,
}

pub(super) async fn run(args: &Inspect, settings: &Settings, printer: Printer) -> Result<u8> {
    let Inspect::Host { host } = args;
    let host: HostName = host.clone().unwrap_or_else(|| settings.default_host.clone());
    let service = compose::service(settings).await?;
    let facts = service.hosts.probe(&host, &names()).await?;
    let filter = Filter { host: Some(host.clone()), limit: u32::MAX, ..Filter::default() };
    let known = service.store.list(&filter).await.map_err(sandboxer_service::store_error)?;
    let ours: BTreeSet<String> = known.iter().map(|sandbox| sandbox.plan.reference.to_string()).collect();
    let there: BTreeSet<String> = facts.sandboxes.iter().cloned().collect();
    let report = HostReport {
        host: host.to_string(),
        unaccounted: there.difference(&ours).cloned().collect(),
        missing: ours.difference(&there).cloned().collect(),
        ours: ours.into_iter().collect(),
        facts,
    };
    printer.result(&report, |report| vec![report.host.clone()], human)?;
    Ok(0)
}

pub(super) fn names() -> Vec<String> {
    PROGRAMS.iter().map(|name| (*name).to_owned()).collect()
}

fn human(report: &HostReport) -> String {
    let facts = &report.facts;
    let mib = |bytes: u64| format!("{} MiB", bytes / (1024 * 1024));
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(" ") };
    let lines = [
        ("host", report.host.clone()),
        ("os", facts.os.clone()),
        ("kernel", facts.kernel.clone()),
        ("cpus", facts.cpus.to_string()),
        ("memory", format!("{}, {} available", mib(facts.memory.0), mib(facts.memory.1))),
        ("disk", format!("{}, {} available", mib(facts.disk.0), mib(facts.disk.1))),
        ("user", format!("uid {}", facts.uid)),
        ("root", facts.root.clone()),
        ("programs", list(&facts.programs)),
        ("engines", list(&facts.container_engines)),
        ("user namespaces", if facts.user_namespaces { "yes" } else { "no" }.to_owned()),
        ("latency", format!("{} ms", facts.latency_ms)),
        ("sandboxes", list(&report.ours)),
        ("not in store", list(&report.unaccounted)),
        ("not on host", list(&report.missing)),
    ];
    lines.iter().map(|(name, value)| format!("{name:<15}  {}\n", clean(value))).collect()
}
