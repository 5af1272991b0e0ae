//! What the choke point costs without the durable write: the grant, the phase, the types of the holes, rendering, quoting
//! and digesting, the permit, and settling the outcome. `cargo bench -p sandboxer-guard`.
//!
//! Measured through the public path, because `authorize` is not public: `GuardedCalls::run` and `Guard::access`, over a
//! store that answers at once and a broker that does nothing. So each figure holds more than an authorization: it holds
//! both ledger bodies, the boxed futures of both ports, and for an access the refusal of the broker. The floor is an empty
//! call through the same two ports.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "benchmarks")]

mod fakes;

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use criterion::{Criterion, criterion_group, criterion_main};
use sandboxer_guard::{
    Guard,
    asked::Occasion,
    calls::{GuardedCalls, Silent},
    manifest::Manifest,
    warrant::Warrant,
};
use sandboxer_model::{
    call::{Argument, CallError, CallRequest, Value},
    id::{Digest, HostName, InstallationId, SandboxId, SandboxRef},
    ledger::{Body, Phase},
    plan::{Plan, Site},
    ports::{
        calls::Calls,
        milestones::Unobserved,
        store::{Right, Store},
    },
    profile::Profile,
    sandbox::Actor,
};

use fakes::{Idle, Instant};

const MANIFEST: &str = include_str!("../../../extensions-wasm/bubblewrap/extension.toml");
const PROFILE: &str = include_str!("../../../profiles/agent-dev.toml");

/// The fakes are never pending, so one poll is the whole call and no executor is measured.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a fake was pending"),
    }
}

/// What an `agent-dev` sandbox may do, in this phase.
fn occasion(phase: Phase) -> Occasion {
    let profile: Profile = toml::from_str(PROFILE).unwrap();
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let id = SandboxId::random().unwrap();
    let plan = Plan {
        reference: SandboxRef::new(&InstallationId::random().unwrap(), &id),
        profile: profile.name.clone(),
        profile_version: profile.version,
        extension: profile.extension.clone(),
        extension_version: manifest.version.clone(),
        component: Digest::new([0; 32]),
        grants_digest: Digest::new([0; 32]),
        grants: profile.grants.clone(),
        inputs: sandboxer_model::input::resolve(&profile.inputs, &[]).unwrap(),
        uploads: Vec::new(),
        host: HostName::local(),
        site: Site {
            root: "/var/lib/sandboxer".to_owned(),
            uid: 0,
            sandbox_uid: Some(1_900_000_001),
            programs: std::collections::BTreeMap::new(),
        },
        ready_within_s: profile.ready_within_s,
    };
    let warrant = Warrant::new(Arc::new(plan), Arc::new(manifest)).unwrap();
    Occasion { warrant, right: Right::Access(id), phase, actor: Actor::Agent }
}

fn request(call: &str, arguments: Vec<Argument>) -> CallRequest {
    CallRequest { grant: "host".to_owned(), call: call.to_owned(), arguments }
}

fn authorization(criterion: &mut Criterion) {
    let store: Arc<dyn Store> = Arc::new(Instant);
    let guard = Arc::new(Guard::new(Arc::clone(&store), Arc::new(Idle), Arc::new(Unobserved)));
    let calls = |phase| GuardedCalls::new(Arc::clone(&guard), occasion(phase), Arc::new(Silent));
    let mut group = criterion.benchmark_group("authorization without the durable write");

    let right = Right::Access(SandboxId::random().unwrap());
    group.bench_function("floor: empty calls through the ports", |bencher| {
        bencher.iter(|| {
            let body = || Body::Closed { reason: String::new() };
            now(async {
                store.intend(&right, body(), None).await.unwrap();
                fakes::idle().await.unwrap();
                store.outcome(&right, body(), None).await.unwrap();
            });
        });
    });

    let ready = calls(Phase::WaitReady);
    let (trouble, check) = (request("trouble", Vec::new()), request("check", Vec::new()));
    now(ready.run(trouble.clone())).unwrap();
    now(ready.run(check.clone())).unwrap();
    group.bench_function("a named program (host.trouble)", |bencher| {
        bencher.iter(|| now(ready.run(black_box(trouble.clone()))).unwrap());
    });
    group.bench_function("a script (host.check)", |bencher| {
        bencher.iter(|| now(ready.run(black_box(check.clone()))).unwrap());
    });

    let inside = occasion(Phase::Exec);
    let text = |hole: &str, value: &str| Argument { hole: hole.to_owned(), value: Value::Text(value.to_owned()) };
    let words = ["sh", "-c", "echo hello"].map(str::to_owned).to_vec();
    let command = Argument { hole: "command".to_owned(), value: Value::List(words) };
    let exec = request("exec", vec![text("directory", "/workspace"), command]);
    let begin = || now(guard.access(black_box(&inside), black_box(&exec), None)).err();
    assert_eq!(begin(), Some(CallError::Unavailable(fakes::NOTHING.to_owned())), "it got as far as the broker");
    group.bench_function("a consumer's exec (host.exec)", |bencher| bencher.iter(|| begin().unwrap()));

    let denied = request("init", Vec::new());
    assert!(matches!(now(ready.run(denied.clone())), Err(CallError::Denied(_))));
    group.bench_function("a denial", |bencher| {
        bencher.iter(|| now(ready.run(black_box(denied.clone()))).unwrap_err());
    });
    group.finish();
}

criterion_group!(benches, authorization);
criterion_main!(benches);
