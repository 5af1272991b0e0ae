//! Commits: what is announced, what is batched, and what a crash at each of them leaves.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicBool, Ordering},
};

use sandboxer_model::{
    id::SandboxId,
    ledger::Body,
    ports::{
        milestones::Milestones,
        store::{Ending, Right, Store, StoreError},
    },
    sandbox::{Actor, Claim, OperationKind, OperationState, ResourceState, Sandbox, State},
};

use crate::{
    contract::{
        Fixture,
        sample::{Picture, claimed, denied, ending, intent, new, open, opened, outcome, resource, worker},
    },
    fixture::{self, File, Trace, assert_killed, open_observed, other_process, role, verify},
};

/// Every writing method once, in an order that works.
const METHODS: [&str; 16] = [
    "open",
    "renew",
    "transition",
    "intend",
    "outcome",
    "progress",
    "set_note",
    "deny",
    "expire_lease",
    "begin",
    "finish",
    "begin",
    "intend",
    "outcome",
    "mark",
    "finish",
];

async fn live(store: &impl Store, mut on: impl FnMut(&SandboxId)) -> SandboxId {
    let new = new(store).await;
    let id = new.id.clone();
    on(&id);
    let body = opened(&new);
    let (sandbox, claim): (Sandbox, Claim) = store.open(new, body, &worker("w1")).await.unwrap();
    store.renew(&claim, &worker("w1")).await.unwrap();
    store.transition(&claim, State::Provisioning, "on").await.unwrap();
    let right = Right::Operation(claim.clone());
    let tree = resource(&sandbox, "tree", ResourceState::Intent);
    store.intend(&right, intent("host.up"), Some(tree.clone())).await.unwrap();
    store.outcome(&right, outcome(1), Some((tree.reference.clone(), ResourceState::Live))).await.unwrap();
    store.progress(&claim, "on").await.unwrap();
    store.set_note(&claim, "k", "v").await.unwrap();
    store.deny(&id, denied("x")).await.unwrap();
    store.expire_lease(claim.operation, "w1").await.unwrap();
    let begun = store.begin(&id, OperationKind::Create, Actor::Agent, "over", &worker("w2")).await.unwrap();
    store.finish(&claimed(begun), ending(OperationState::Done, State::Ready)).await.unwrap();
    let begun = store.begin(&id, OperationKind::Destroy, Actor::Agent, "enough", &worker("w3")).await.unwrap();
    let claim = claimed(begun);
    let right = Right::Operation(claim.clone());
    let down = resource(&sandbox, "tree", ResourceState::Deleting);
    store.intend(&right, intent("host.down"), Some(down)).await.unwrap();
    store.outcome(&right, outcome(4), None).await.unwrap();
    store.mark(&claim, &tree.reference, ResourceState::Gone, "gone").await.unwrap();
    let closing = Some(Body::Closed { reason: "gone".to_owned() });
    store.finish(&claim, Ending { closing, ..ending(OperationState::Done, State::Destroyed) }).await.unwrap();
    id
}

#[tokio::test]
async fn every_commit_is_announced_before_and_after() {
    let file = File::fresh();
    let trace = Arc::new(Trace::default());
    let store = open_observed(&file.path(), trace.clone());
    live(&store, |_| {}).await;
    let points = [vec!["create-store"], METHODS.to_vec()].concat();
    let expected: Vec<_> = points
        .iter()
        .flat_map(|name| [format!("store.commit {name} before"), format!("store.commit {name} after")])
        .collect();
    assert_eq!(trace.points(), expected);
    // What is refused is not committed, and reading is not writing.
    store.deny(&SandboxId::random().unwrap(), denied("x")).await.unwrap_err();
    store.find("x").await.unwrap();
    store.check().await.unwrap();
    assert_eq!(trace.points(), expected);
}

/// Kills its own process at the nth point.
struct KillAt(std::sync::atomic::AtomicUsize);

impl Milestones for KillAt {
    fn reached(&self, _: &str) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_commit_leaves_all_of_it_or_nothing() {
    if let Some(role) = role() {
        let (point, path) = role.split_once(' ').unwrap();
        let store = open_observed(path.as_ref(), Arc::new(KillAt(point.parse::<usize>().unwrap().into())));
        live(&store, |id| std::fs::write(format!("{path}.id"), id.as_str()).unwrap()).await;
        panic!("it lived on beyond point {point}");
    }
    let test = "commits::a_kill_at_any_commit_leaves_all_of_it_or_nothing";
    // How far a life that is not killed comes, by its events and entries after each method.
    let mut steps = Vec::new();
    for committed in 0..=METHODS.len() {
        for after in [false, true] {
            let point = committed * 2 + usize::from(after);
            let file = File::fresh();
            let role = format!("{point} {}", file.path().display());
            let output =
                tokio::task::spawn_blocking(move || other_process(test, &role).output().unwrap()).await.unwrap();
            assert_killed(&output, &format!("point {point}"));
            if point == 0 {
                assert!(!file.path().exists(), "killed before the new store was in its place");
            }
            let store = file.store();
            store.check().await.unwrap();
            assert!(file.content().keys().all(|name| name.starts_with("store.db") && !name.contains(".new")));
            let done = committed.saturating_sub(usize::from(!after));
            let progress = match std::fs::read_to_string(file.root.path().join("store.db.id")) {
                Ok(id) if store.sandbox(&id.parse().unwrap()).await.unwrap().is_some() => {
                    let picture = Picture::of(&store, &id.parse().unwrap()).await;
                    let bodies = verify(&picture.entries, picture.head.as_ref());
                    Some((picture.events.len(), bodies.len(), picture.note, picture.sandbox.version))
                }
                Ok(_) | Err(_) => None,
            };
            assert_eq!(progress.is_some(), done > 0, "point {point}");
            steps.push((done, progress));
        }
    }
    // The same number of commits, the same state, whether the kill came after the one or before the next.
    for pair in steps[1..].chunks_exact(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let last = steps.last().unwrap().1.clone().unwrap();
    assert_eq!((last.1, last.2.as_deref()), (7, Some("v")));
    let different: std::collections::BTreeSet<_> = steps.iter().map(|(_, progress)| progress.clone()).collect();
    assert!(different.len() >= METHODS.len() - 3, "renewals alone leave no trace in the story: {different:?}");
}

/// Holds the first commit until it is told to go on.
struct Gate {
    closed: AtomicBool,
    barrier: Barrier,
    trace: Trace,
}

impl Milestones for Gate {
    fn reached(&self, point: &str) {
        self.trace.reached(point);
        if self.closed.swap(false, Ordering::SeqCst) {
            self.barrier.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_queues_up_is_committed_together_and_fails_alone() {
    let file = File::fresh();
    drop(file.store());
    let gate = Arc::new(Gate { closed: AtomicBool::new(false), barrier: Barrier::new(2), trace: Trace::default() });
    let store = Arc::new(open_observed(&file.path(), gate.clone()));
    let (sandbox, claim) = open(&*store, &worker("w")).await;
    gate.closed.store(true, Ordering::SeqCst);
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (store, claim, id) = (Arc::clone(&store), claim.clone(), sandbox.id.clone());
        tasks.push(tokio::spawn(async move {
            match n % 4 {
                0 => store.progress(&claim, "fine").await,
                1 => store.deny(&id, denied("x")).await.map(drop),
                2 => store.progress(&Claim { fence: 9, ..claim }, "lost").await,
                _ => store.deny(&id, intent("wrong")).await.map(drop),
            }
        }));
    }
    // All but the first are in the queue when the first commit goes on.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let waiting = gate.clone();
    tokio::task::spawn_blocking(move || waiting.barrier.wait()).await.unwrap();
    for (n, task) in tasks.into_iter().enumerate() {
        let result = task.await.unwrap();
        match n % 4 {
            0 | 1 => assert_eq!(result, Ok(())),
            2 => assert_eq!(result, Err(StoreError::LeaseLost)),
            _ => assert!(matches!(result, Err(StoreError::Internal(_))), "{result:?}"),
        }
    }
    let picture = Picture::of(&*store, &sandbox.id).await;
    assert_eq!(picture.events.len(), 1 + 5);
    assert_eq!(verify(&picture.entries, picture.head.as_ref()).len(), 1 + 5);
    let points = gate.trace.points();
    let longest = points.chunk_by(|a, b| a.ends_with("before") == b.ends_with("before")).map(<[_]>::len).max();
    assert!(longest >= Some(9), "nothing was batched: {points:?}");
    assert_eq!(points.len(), 2 * 11);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_its_transaction() {
    let file = File::fresh();
    let store = file.store();
    let (sandbox, claim) = open(&store, &worker("w")).await;
    for _ in 0..20 {
        let mut asked = Box::pin(store.progress(&claim, "on"));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx))).await;
        assert!(polled.is_pending() || polled == std::task::Poll::Ready(Ok(())));
        drop(asked);
    }
    // The queue is in order: what comes after them is done after them.
    store.progress(&claim, "last").await.unwrap();
    let events = store.events(Some(&sandbox.id), 0, 100).await.unwrap();
    assert_eq!(events.len(), 1 + 20 + 1);
    drop(store);
    fixture::open(&file.path()).unwrap().check().await.unwrap();
}
