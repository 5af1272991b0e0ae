//! Placement: whether a host is fit for an extension, and what is frozen of it in the plan.

use std::collections::BTreeMap;

use sandboxer_guard::manifest::{Manifest, Program};
use sandboxer_model::{
    Error, ErrorCode, Result,
    id::{HostName, SandboxId},
    plan::{Grant, Site},
    ports::hosts::HostFacts,
};

use crate::Service;

/// User ids of sandboxes on hosts where we are root: a range that neither login users, nor `subuid` allocations, nor systemd's
/// dynamic and container ranges use (they end below 1,879,048,192), and that ends below 2^31.
const FIRST_UID: u32 = 1_900_000_000;
const UIDS: u32 = 200_000_000;

impl Service {
    /// Looks at a host and settles what the plan needs to know of it.
    ///
    /// # Errors
    /// `host.unknown`, `host.unreachable` and its kin; `host.unfit` with everything that is missing.
    pub(crate) async fn place(
        &self,
        host: &HostName,
        manifest: &Manifest,
        grants: &BTreeMap<sandboxer_model::id::Symbol, Grant>,
        id: &SandboxId,
    ) -> Result<Site> {
        let facts = self.hosts.probe(host, &programs(manifest)).await?;
        let missing = missing(manifest, &facts);
        if !missing.is_empty() {
            let named = missing.join(", ");
            return Err(Error::new(
                ErrorCode::HostUnfit,
                format!("the host {host} lacks what ext.{} needs: {named}", manifest.name),
            )
            .hint(remedy(&missing)));
        }
        Ok(Site {
            root: facts.root.clone(),
            uid: facts.uid,
            sandbox_uid: (facts.uid == 0).then(|| FIRST_UID + id.spread(UIDS)),
            programs: settled(manifest, grants, &facts)?,
        })
    }
}

/// Every program that the manifest needs or offers as an alternative.
fn programs(manifest: &Manifest) -> Vec<String> {
    let mut programs = std::collections::BTreeSet::new();
    for (_, section, command) in manifest.commands() {
        programs.extend(section.needs.iter().cloned());
        if let Program::Named(alternatives) = &command.program
            && alternatives.len() > 1
        {
            programs.extend(alternatives.iter().filter_map(|words| words.first()).cloned());
        }
    }
    programs.into_iter().collect()
}

fn missing(manifest: &Manifest, facts: &HostFacts) -> Vec<String> {
    let mut missing: Vec<String> = manifest
        .ssh
        .values()
        .flat_map(|section| &section.needs)
        .filter(|program| !facts.programs.contains(program))
        .cloned()
        .collect();
    missing.dedup();
    if manifest.ssh.values().any(|section| section.needs.iter().any(|program| program == "bwrap"))
        && !facts.user_namespaces
    {
        missing.push("user namespaces for unprivileged users".to_owned());
    }
    missing
}

fn remedy(missing: &[String]) -> String {
    let package = |program: &str| match program {
        "bwrap" => Some("bubblewrap"),
        "nsenter" | "unshare" | "prlimit" | "setpriv" | "setsid" | "flock" => Some("util-linux"),
        "mkfifo" => Some("coreutils"),
        "tar" => Some("tar"),
        _ => None,
    };
    let packages: std::collections::BTreeSet<&str> = missing.iter().filter_map(|program| package(program)).collect();
    let mut remedies = Vec::new();
    if !packages.is_empty() {
        let list: Vec<&str> = packages.into_iter().collect();
        remedies.push(format!("there, run `apt-get install {}`", list.join(" ")));
    }
    if missing.iter().any(|what| what.starts_with("user namespaces")) {
        remedies.push(
            "allow user namespaces there: `sysctl kernel.unprivileged_userns_clone=1` on Debian; an AppArmor profile for bwrap on Ubuntu 24.04"
                .to_owned(),
        );
    }
    remedies.push("`sandboxer doctor` checks again".to_owned());
    remedies.join("; ")
}

/// For each granted command with a choice of programs: the first that is there.
fn settled(
    manifest: &Manifest,
    grants: &BTreeMap<sandboxer_model::id::Symbol, Grant>,
    facts: &HostFacts,
) -> Result<BTreeMap<String, Vec<String>>> {
    let mut settled = BTreeMap::new();
    for (path, _, command) in manifest.commands() {
        let Program::Named(alternatives) = &command.program else {
            continue;
        };
        let granted = grants.get(&path.grant).is_some_and(|grant| grant.commands.contains(&path.command));
        if alternatives.len() < 2 || !granted {
            continue;
        }
        let there = |words: &&Vec<String>| words.first().is_some_and(|program| facts.programs.contains(program));
        let Some(words) = alternatives.iter().find(there) else {
            let names: Vec<String> = alternatives.iter().map(|words| words.join(" ")).collect();
            return Err(Error::new(ErrorCode::HostUnfit, format!("the host has none of {}", names.join(", "))));
        };
        settled.insert(path.to_string(), words.clone());
    }
    Ok(settled)
}
