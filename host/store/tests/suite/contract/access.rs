//! Who may call what when, and that the ledger hears of it.

use std::sync::Arc;

use sandboxer_model::{
    id::SandboxId,
    ledger::Body,
    ports::store::{Begun, Ending, Right, Store, StoreError},
    sandbox::{Actor, OperationKind, OperationState, ResourceState, State},
};

use super::{
    Fixture,
    sample::{Picture, claimed, denied, destroyed, ending, intent, new, open, outcome, ready, resource, worker},
};

/// A consumer's call needs a sandbox that is ready and wanted.
pub async fn only_a_ready_and_wanted_sandbox_is_accessible<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, claim) = open(&store, &worker("w")).await;
    let access = Right::Access(sandbox.id.clone());
    let closed = async |state: State| {
        let before = Picture::of(&store, &sandbox.id).await;
        assert_eq!(store.intend(&access, intent("host.exec"), None).await, Err(StoreError::NotReady(state)));
        assert_eq!(Picture::of(&store, &sandbox.id).await, before);
    };
    closed(State::Requested).await;
    for state in [State::Provisioning, State::Waiting, State::Destroying, State::Failed] {
        store.transition(&claim, state, "on").await.unwrap();
        closed(state).await;
    }
    store.finish(&claim, ending(OperationState::Done, State::Ready)).await.unwrap();
    assert_eq!(store.intend(&access, intent("host.exec"), None).await, Ok(1));
    let tree = resource(&sandbox, "tree", ResourceState::Intent);
    let made = store.intend(&access, intent("host.exec"), Some(tree.clone())).await;
    assert!(matches!(made, Err(StoreError::Internal(_))), "a consumer's access makes no resource: {made:?}");
    let made = store.outcome(&access, outcome(1), Some((tree.reference, ResourceState::Live))).await;
    assert!(matches!(made, Err(StoreError::Internal(_))), "{made:?}");
    store.outcome(&access, outcome(1), None).await.unwrap();

    store.begin(&sandbox.id, OperationKind::Destroy, Actor::Agent, "enough", &worker("w2")).await.unwrap();
    assert_eq!(store.sandbox(&sandbox.id).await.unwrap().unwrap().state, State::Ready);
    closed(State::Destroying).await;
    let gone = destroyed(&store, new(&store).await).await;
    let refused = store.intend(&Right::Access(gone.id), intent("host.exec"), None).await;
    assert_eq!(refused, Err(StoreError::NotReady(State::Destroyed)));
    let nobody = SandboxId::random().unwrap();
    let refused = store.intend(&Right::Access(nobody.clone()), intent("host.exec"), None).await;
    assert_eq!(refused, Err(StoreError::NoSandbox(nobody)));
}

/// When a destroy comes in during a create, the create starts nothing more, and may still say what it made.
pub async fn an_unwanted_create_may_only_say_what_it_did<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, create) = open(&store, &worker("maker")).await;
    let right = Right::Operation(create.clone());
    let tree = resource(&sandbox, "tree", ResourceState::Intent);
    store.intend(&right, intent("host.up"), Some(tree.clone())).await.unwrap();
    let begun = store.begin(&sandbox.id, OperationKind::Destroy, Actor::Agent, "stop", &worker("breaker")).await;
    assert!(matches!(begun, Ok(Begun::Busy { .. })));
    let before = Picture::of(&store, &sandbox.id).await;
    assert_eq!(store.intend(&right, intent("host.more"), None).await, Err(StoreError::Unwanted));
    let more = resource(&sandbox, "more", ResourceState::Intent);
    assert_eq!(store.intend(&right, intent("host.more"), Some(more)).await, Err(StoreError::Unwanted));
    assert_eq!(Picture::of(&store, &sandbox.id).await, before);
    store.outcome(&right, outcome(1), Some((tree.reference.clone(), ResourceState::Live))).await.unwrap();
    assert_eq!(store.resources(&sandbox.id).await.unwrap()[0].state, ResourceState::Live);
    store.finish(&create, ending(OperationState::Failed, State::Failed)).await.unwrap();
    // The destroy that follows may call, though the sandbox is unwanted: that is what it is for.
    let begun = store.begin(&sandbox.id, OperationKind::Destroy, Actor::Agent, "stop", &worker("breaker")).await;
    let destroy = claimed(begun.unwrap());
    let down = resource(&sandbox, "tree", ResourceState::Deleting);
    assert_eq!(store.intend(&Right::Operation(destroy), intent("host.down"), Some(down)).await, Ok(3));
}

/// Denials and outcomes need no right; a chain that is closed takes nothing.
pub async fn denials_and_outcomes_are_written_until_the_chain_is_closed<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let sandbox = ready(&store).await;
    let access = Right::Access(sandbox.id.clone());
    assert_eq!(store.deny(&sandbox.id, denied("host.rm")).await, Ok(1));
    assert_eq!(store.intend(&access, intent("host.exec"), None).await, Ok(2));
    let begun = store.begin(&sandbox.id, OperationKind::Destroy, Actor::Agent, "enough", &worker("w")).await.unwrap();
    let destroy = claimed(begun);
    assert_eq!(store.deny(&sandbox.id, denied("host.rm")).await, Ok(3));
    store.outcome(&access, outcome(2), None).await.unwrap();
    let closing = Some(Body::Closed { reason: "gone".to_owned() });
    let end = Ending { closing, ..ending(OperationState::Done, State::Destroyed) };
    store.finish(&destroy, end).await.unwrap();

    let before = Picture::of(&store, &sandbox.id).await;
    assert_eq!(fixture.verify(&before.entries, before.head.as_ref()).len(), 6);
    let closed = |result: Result<(), StoreError>| {
        let Err(StoreError::Internal(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("closed") && why.contains(sandbox.id.as_str()), "{why}");
    };
    closed(store.deny(&sandbox.id, denied("host.rm")).await.map(drop));
    closed(store.outcome(&access, outcome(2), None).await);
    closed(store.outcome(&Right::Operation(destroy), outcome(2), None).await);
    assert_eq!(Picture::of(&store, &sandbox.id).await, before);
    let nobody = SandboxId::random().unwrap();
    assert_eq!(store.deny(&nobody, denied("x")).await, Err(StoreError::NoSandbox(nobody.clone())));
    assert_eq!(store.head(&nobody).await, Ok(None));
}

/// Many writers on one chain: no gap, no fork, nothing lost.
pub async fn chains_stay_whole_under_concurrency<F: Fixture>(fixture: &F) {
    const TASKS: usize = 12;
    const EACH: usize = 20;
    let stores: Vec<_> = (0..3).map(|_| Arc::new(fixture.store())).collect();
    let sandbox = ready(&*stores[0]).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let (store, id) = (Arc::clone(&stores[n % 3]), sandbox.id.clone());
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for m in 0..EACH {
                    let right = Right::Access(id.clone());
                    mine.push(store.intend(&right, intent(&format!("t{n}.c{m}")), None).await.unwrap());
                    // Refused in the same batches; none of the others may suffer from it.
                    let refused = store.deny(&id, intent("wrong")).await;
                    assert!(matches!(refused, Err(StoreError::Internal(_))));
                }
                mine
            })
        })
        .collect();
    let mut sequences = Vec::new();
    for task in tasks {
        let mine = task.await.unwrap();
        assert!(mine.is_sorted());
        sequences.extend(mine);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=(TASKS * EACH) as u64).collect::<Vec<_>>());
    let (entries, head) = (stores[1].ledger(&sandbox.id).await.unwrap(), stores[1].head(&sandbox.id).await.unwrap());
    assert_eq!(fixture.verify(&entries, head.as_ref()).len(), TASKS * EACH + 1);
    stores[2].check().await.unwrap();
}
