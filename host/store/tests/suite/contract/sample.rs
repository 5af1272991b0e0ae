//! Samples to fill a store with, and a picture of all that a store says about a sandbox.

use std::{collections::BTreeMap, time::Duration};

use sandboxer_model::{
    call::Exit,
    event::Event,
    id::{Digest, HostName, ResourceRef, SandboxId, SandboxRef},
    ledger::{Body, CallRecord, Entry, Head, OutcomeResult, Phase},
    plan::{Grant, Plan, Site},
    ports::store::{Begun, Ending, NewSandbox, OpenOperation, ResourceIntent, Store, Worker},
    sandbox::{Actor, Claim, Identity, OperationKind, OperationState, Resource, ResourceState, Sandbox, State},
};

/// A worker with a lease that outlives every test.
pub fn worker(name: &str) -> Worker {
    Worker { owner: name.to_owned(), lease: Duration::from_secs(600) }
}

/// A worker whose lease has run out by the time that anybody looks.
pub fn late(name: &str) -> Worker {
    Worker { owner: name.to_owned(), lease: Duration::ZERO }
}

/// A sandbox to open, with values that need care on their way through a database.
pub async fn new<S: Store>(store: &S) -> NewSandbox {
    let id = SandboxId::random().unwrap();
    let reference = SandboxRef::new(&store.installation().await.unwrap(), &id);
    NewSandbox {
        name: None,
        project: "default".parse().unwrap(),
        actor: Actor::Agent,
        labels: BTreeMap::from([
            ("team".to_owned(), "blue".to_owned()),
            ("od'd \"key\" %_ü\u{1f980}".to_owned(), "line\nbreak, \\ and ';--".to_owned()),
        ]),
        plan: Plan {
            reference,
            profile: "sandbox-canary".parse().unwrap(),
            profile_version: 1,
            extension: "canary".parse().unwrap(),
            extension_version: "0.1.0".to_owned(),
            component: Digest::new([1; 32]),
            grants_digest: Digest::new([2; 32]),
            grants: BTreeMap::from([("host".parse().unwrap(), Grant { commands: vec!["up".parse().unwrap()] })]),
            inputs: BTreeMap::new(),
            host: HostName::local(),
            site: Site {
                root: "/var/lib/sandboxes".to_owned(),
                uid: 1000,
                sandbox_uid: None,
                programs: BTreeMap::from([("host.up".to_owned(), vec!["docker".to_owned(), "compose".to_owned()])]),
            },
            uploads: Vec::new(),
            ready_within_s: 60,
        },
        reason: "asked for".to_owned(),
        id,
    }
}

/// The first entry of its chain.
pub fn opened(new: &NewSandbox) -> Body {
    Body::Opened {
        actor: new.actor,
        profile: new.plan.profile_title(),
        extension: new.plan.extension_title(),
        component: new.plan.component,
        grants: new.plan.grants_digest,
        host: new.plan.host.to_string(),
    }
}

/// Opens a sandbox for this worker.
pub async fn open<S: Store>(store: &S, worker: &Worker) -> (Sandbox, Claim) {
    let new = new(store).await;
    let body = opened(&new);
    store.open(new, body, worker).await.unwrap()
}

/// Opens a sandbox and makes it ready.
pub async fn ready<S: Store>(store: &S) -> Sandbox {
    let (_, claim) = open(store, &worker("maker")).await;
    store.finish(&claim, ending(OperationState::Done, State::Ready)).await.unwrap()
}

/// Opens a sandbox and destroys it.
pub async fn destroyed<S: Store>(store: &S, new: NewSandbox) -> Sandbox {
    let body = opened(&new);
    let (sandbox, create) = store.open(new, body, &worker("maker")).await.unwrap();
    store.finish(&create, ending(OperationState::Failed, State::Failed)).await.unwrap();
    let claim = claimed(
        store.begin(&sandbox.id, OperationKind::Destroy, Actor::Agent, "enough", &worker("breaker")).await.unwrap(),
    );
    let closing = Some(Body::Closed { reason: "gone".to_owned() });
    let ending = Ending { closing, ..ending(OperationState::Done, State::Destroyed) };
    store.finish(&claim, ending).await.unwrap()
}

/// The claim that was begun.
pub fn claimed(begun: Begun) -> Claim {
    match begun {
        Begun::Claimed(claim) => claim,
        Begun::Busy { .. } | Begun::NothingOpen | Begun::AlreadyDestroyed => panic!("not claimed: {begun:?}"),
    }
}

/// A plain ending.
pub fn ending(operation: OperationState, state: State) -> Ending {
    Ending { operation, state, reason: format!("now {state}"), facts: None, closing: None }
}

/// A call.
pub fn call(name: &str) -> CallRecord {
    CallRecord {
        actor: Actor::Agent,
        phase: Phase::Provision,
        call: name.to_owned(),
        host: "local".to_owned(),
        target: "mkdir '/it''s here'".to_owned(),
        target_digest: Digest::new([9; 32]),
    }
}

/// An intent.
pub fn intent(name: &str) -> Body {
    Body::Intent { call: call(name) }
}

/// A denial.
pub fn denied(name: &str) -> Body {
    Body::Denied { call: call(name), reason: "not granted".to_owned() }
}

/// An outcome.
pub fn outcome(of: u64) -> Body {
    let result = OutcomeResult::Exited { exit: Exit::Status(0) };
    Body::Outcome { of, result, duration_ms: 3, sent: 5, received: 7 }
}

/// A resource of the sandbox.
pub fn resource(sandbox: &Sandbox, slot: &str, state: ResourceState) -> ResourceIntent {
    let slot = slot.parse().unwrap();
    ResourceIntent {
        reference: ResourceRef::new(&sandbox.plan.reference, &slot),
        slot,
        host: HostName::local(),
        identity: Identity::Name,
        state,
    }
}

/// All that a store says about one sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its row.
    pub sandbox: Sandbox,
    /// Its open operation.
    pub operation: Option<OpenOperation>,
    /// Its resources.
    pub resources: Vec<Resource>,
    /// Its story.
    pub events: Vec<Event>,
    /// Its chain.
    pub entries: Vec<Entry>,
    /// Its head.
    pub head: Option<Head>,
    /// The note `k`.
    pub note: Option<String>,
}

impl Picture {
    /// What the store says now.
    pub async fn of<S: Store>(store: &S, id: &SandboxId) -> Self {
        Self {
            sandbox: store.sandbox(id).await.unwrap().unwrap(),
            operation: store.open_operation(id).await.unwrap(),
            resources: store.resources(id).await.unwrap(),
            events: store.events(Some(id), 0, 1000).await.unwrap(),
            entries: store.ledger(id).await.unwrap(),
            head: store.head(id).await.unwrap(),
            note: store.note(id, "k").await.unwrap(),
        }
    }

    /// The story without moments and numbers: kind, state, version, reason.
    pub fn story(&self) -> Vec<(&str, &str, u64, &str)> {
        self.events.iter().map(|e| (e.kind.as_str(), e.state.as_str(), e.version, e.reason.as_str())).collect()
    }
}
