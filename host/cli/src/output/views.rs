//! The shapes that `--output json` prints, and the same for people. The shapes are stable: fields are added, never renamed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_model::{
    call::Fact,
    event::Event,
    ports::store::OpenOperation,
    sandbox::{Desired, Resource, Sandbox, State},
};
use serde::Serialize;

use super::{ago, clean, table};

/// A sandbox.
#[derive(Debug, Serialize)]
pub(crate) struct SandboxJson {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) state: State,
    pub(crate) desired: Desired,
    pub(crate) reason: String,
    pub(crate) profile: String,
    pub(crate) extension: String,
    pub(crate) host: String,
    pub(crate) project: String,
    pub(crate) actor: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) reference: String,
    pub(crate) component: String,
    pub(crate) grants: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) ready_at: Option<Timestamp>,
}

impl From<&Sandbox> for SandboxJson {
    fn from(sandbox: &Sandbox) -> Self {
        let plan = &sandbox.plan;
        Self {
            id: sandbox.id.to_string(),
            name: sandbox.name.as_ref().map(ToString::to_string),
            state: sandbox.state,
            desired: sandbox.desired,
            reason: sandbox.reason.clone(),
            profile: plan.profile_title(),
            extension: plan.extension_title(),
            host: plan.host.to_string(),
            project: sandbox.project.to_string(),
            actor: sandbox.actor.to_string(),
            labels: sandbox.labels.clone(),
            inputs: plan.inputs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            facts: sandbox.facts.iter().map(|Fact { name, value }| (name.to_string(), value.clone())).collect(),
            reference: plan.reference.to_string(),
            component: plan.component.to_string(),
            grants: plan.grants_digest.to_string(),
            created_at: sandbox.created_at,
            updated_at: sandbox.updated_at,
            ready_at: sandbox.ready_at,
        }
    }
}

/// A sandbox with what belongs to it.
#[derive(Debug, Serialize)]
pub(crate) struct DetailJson {
    #[serde(flatten)]
    pub(crate) sandbox: SandboxJson,
    pub(crate) resources: Vec<ResourceJson>,
    pub(crate) operation: Option<OperationJson>,
}

/// What a sandbox consists of.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceJson {
    pub(crate) reference: String,
    pub(crate) slot: String,
    pub(crate) state: String,
}

/// An open operation.
#[derive(Debug, Serialize)]
pub(crate) struct OperationJson {
    pub(crate) kind: String,
    pub(crate) held: bool,
    pub(crate) lease_until: Timestamp,
    pub(crate) attempt: u32,
}

impl DetailJson {
    pub(crate) fn new(
        sandbox: &Sandbox,
        resources: &[Resource],
        operation: Option<&OpenOperation>,
        held: bool,
    ) -> Self {
        Self {
            sandbox: sandbox.into(),
            resources: resources
                .iter()
                .map(|resource| ResourceJson {
                    reference: resource.reference.to_string(),
                    slot: resource.slot.to_string(),
                    state: resource.state.to_string(),
                })
                .collect(),
            operation: operation.map(|operation| OperationJson {
                kind: operation.kind.to_string(),
                held,
                lease_until: operation.lease_until,
                attempt: operation.attempt,
            }),
        }
    }

    pub(crate) fn human(&self) -> String {
        let sandbox = &self.sandbox;
        let mut lines = vec![
            ("id", sandbox.id.clone()),
            ("name", sandbox.name.clone().unwrap_or_default()),
            ("state", format!("{} ({})", sandbox.state, sandbox.reason)),
            ("profile", sandbox.profile.clone()),
            ("extension", sandbox.extension.clone()),
            ("host", sandbox.host.clone()),
            ("project", sandbox.project.clone()),
            ("actor", sandbox.actor.clone()),
            ("created", format!("{} ({})", sandbox.created_at, ago(sandbox.created_at))),
        ];
        let pairs = |map: &BTreeMap<String, String>| {
            map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("  ")
        };
        lines.push(("labels", pairs(&sandbox.labels)));
        lines.push(("inputs", pairs(&sandbox.inputs)));
        for (name, value) in &sandbox.facts {
            lines.push((name, value.clone()));
        }
        for resource in &self.resources {
            lines.push(("resource", format!("{} {}", resource.reference, resource.state)));
        }
        if let Some(operation) = &self.operation {
            let held = if operation.held {
                "a worker is on it"
            } else {
                "interrupted; `sandboxer wait` or `sandboxer destroy` goes on with it"
            };
            lines.push(("operation", format!("{}: {held}", operation.kind)));
        }
        lines.retain(|(_, value)| !value.is_empty());
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines.iter().map(|(name, value)| format!("{name:width$}  {}\n", clean(value))).collect()
    }
}

/// A page of sandboxes.
#[derive(Debug, Serialize)]
pub(crate) struct PageJson {
    pub(crate) sandboxes: Vec<SandboxJson>,
    /// What to give to `--before` for the next page; absent on the last.
    pub(crate) next: Option<String>,
}

impl PageJson {
    pub(crate) fn human(&self) -> String {
        if self.sandboxes.is_empty() {
            return "no sandboxes".to_owned();
        }
        let rows = self
            .sandboxes
            .iter()
            .map(|sandbox| {
                vec![
                    sandbox.id.clone(),
                    sandbox.name.clone().unwrap_or_else(|| "-".to_owned()),
                    sandbox.state.to_string(),
                    sandbox.profile.clone(),
                    sandbox.host.clone(),
                    ago(sandbox.created_at),
                ]
            })
            .collect();
        let mut text = table(&["ID", "NAME", "STATE", "PROFILE", "HOST", "CREATED"], rows);
        if let Some(next) = &self.next {
            text.push_str(&format!("\nmore: --before {next}"));
        }
        text
    }
}

/// One event on one line.
pub(crate) fn event_line(event: &Event) -> String {
    format!(
        "{:>5}  {}  {}  {:<12} {:<9} {}  {}",
        event.sequence,
        event.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ"),
        event.sandbox,
        event.state.as_str(),
        event.kind.as_str(),
        event.actor,
        clean(&event.reason)
    )
}
