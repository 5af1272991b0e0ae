//! Claims, leases and fences.

use std::{sync::Arc, time::Duration};

use sandboxer_model::{
    id::SandboxId,
    ports::store::{Begun, Right, Store, StoreError},
    sandbox::{Actor, Claim, Desired, OperationKind, OperationState, ResourceState, State},
};

use super::{
    Fixture,
    sample::{Picture, claimed, ending, intent, late, new, open, opened, outcome, ready, resource, worker},
};

const CREATE: OperationKind = OperationKind::Create;
const DESTROY: OperationKind = OperationKind::Destroy;

async fn begin<S: Store>(store: &S, id: &SandboxId, kind: OperationKind, owner: &str) -> Begun {
    store.begin(id, kind, Actor::Automation, &format!("{owner} wants it"), &worker(owner)).await.unwrap()
}

/// Every case of `begin`.
pub async fn beginning_answers_as_documented<F: Fixture>(fixture: &F) {
    let store = fixture.store();

    // A create that is held: both are told who holds it; the destroy leaves its wish, once.
    let (sandbox, claim) = open(&store, &worker("maker")).await;
    let id = &sandbox.id;
    let busy =
        Begun::Busy { operation: claim.operation, kind: CREATE, owner: "maker".to_owned(), until: claim.lease_until };
    let before = Picture::of(&store, id).await;
    assert_eq!(begin(&store, id, CREATE, "other").await, busy);
    assert_eq!(Picture::of(&store, id).await, before);
    assert_eq!(begin(&store, id, DESTROY, "breaker").await, busy);
    assert_eq!(begin(&store, id, DESTROY, "breaker").await, busy);
    let after = Picture::of(&store, id).await;
    assert_eq!((after.sandbox.desired, after.sandbox.state), (Desired::Absent, State::Requested));
    assert_eq!(after.story()[1..], [("operation", "requested", 2, "breaker wants it")]);
    assert_eq!(after.events[1].actor, Actor::Automation);
    assert_eq!(after.operation, before.operation);

    // The create ends; the destroy gets its turn, and is held; a create finds nothing.
    store.finish(&claim, ending(OperationState::Failed, State::Failed)).await.unwrap();
    assert_eq!(begin(&store, id, CREATE, "other").await, Begun::NothingOpen);
    let destroy = claimed(begin(&store, id, DESTROY, "breaker").await);
    assert_eq!((destroy.kind, destroy.attempt, destroy.actor), (DESTROY, 1, Actor::Automation));
    assert!(destroy.fence > claim.fence, "the fence grows over all operations of a sandbox");
    let busy = Begun::Busy {
        operation: destroy.operation,
        kind: DESTROY,
        owner: "breaker".to_owned(),
        until: destroy.lease_until,
    };
    assert_eq!(begin(&store, id, CREATE, "other").await, busy);
    assert_eq!(begin(&store, id, DESTROY, "other").await, busy);

    // A destroy whose lease ran out is taken over by a destroy only.
    store.expire_lease(destroy.operation, "breaker").await.unwrap();
    assert_eq!(begin(&store, id, CREATE, "other").await, Begun::NothingOpen);
    let heir = claimed(begin(&store, id, DESTROY, "heir").await);
    assert_eq!((heir.operation, heir.attempt, heir.fence), (destroy.operation, 2, destroy.fence + 1));

    // A create whose lease ran out is taken over by a create …
    let (sandbox, claim) = open(&store, &late("maker")).await;
    let heir = claimed(begin(&store, &sandbox.id, CREATE, "heir").await);
    assert_eq!((heir.operation, heir.kind, heir.attempt), (claim.operation, CREATE, 2));
    assert_eq!((heir.fence, heir.actor), (claim.fence + 1, Actor::Agent), "who asked for it stays");
    let picture = Picture::of(&store, &sandbox.id).await;
    assert_eq!(picture.story()[1..], [("operation", "requested", 1, "heir wants it")]);
    assert_eq!(picture.operation.unwrap().owner, "heir");
    assert_eq!(picture.sandbox.desired, Desired::Present);

    // … and given up by a destroy.
    store.expire_lease(heir.operation, "heir").await.unwrap();
    let destroy = claimed(begin(&store, &sandbox.id, DESTROY, "breaker").await);
    assert_ne!(destroy.operation, heir.operation);
    assert_eq!((destroy.attempt, destroy.fence), (1, heir.fence + 1));
    let picture = Picture::of(&store, &sandbox.id).await;
    assert_eq!(
        picture.story()[2..],
        [
            ("operation", "requested", 2, "the create is given up: heir no longer holds it"),
            ("operation", "requested", 2, "breaker wants it"),
        ]
    );
    assert_eq!(picture.sandbox.desired, Desired::Absent);
    assert_eq!(store.progress(&heir, "still here").await, Err(StoreError::LeaseLost));
}

/// `expire_lease` needs the number and the owner, and does nothing twice.
pub async fn a_lease_ends_early_only_for_its_owner<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, claim) = open(&store, &worker("maker")).await;
    let before = Picture::of(&store, &sandbox.id).await;
    store.expire_lease(claim.operation, "somebody").await.unwrap();
    store.expire_lease(claim.operation + 1, "maker").await.unwrap();
    assert_eq!(Picture::of(&store, &sandbox.id).await, before);
    store.progress(&claim, "still mine").await.unwrap();
    store.expire_lease(claim.operation, "maker").await.unwrap();
    assert!(!store.open_operation(&sandbox.id).await.unwrap().unwrap().held);
    assert_eq!(store.progress(&claim, "mine?").await, Err(StoreError::LeaseLost));
    let heir = claimed(begin(&store, &sandbox.id, CREATE, "heir").await);
    store.expire_lease(claim.operation, "maker").await.unwrap();
    store.progress(&heir, "the dead owner's name expires nothing any more").await.unwrap();
}

/// `renew` prolongs a lease that runs, keeps its fence, and revives none.
pub async fn a_lease_is_renewed_only_while_it_runs<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let mut short = worker("maker");
    short.lease = Duration::from_secs(30);
    let (sandbox, claim) = open(&store, &short).await;
    let renewed = store.renew(&claim, &worker("maker")).await.unwrap();
    assert!(renewed.lease_until > claim.lease_until);
    assert_eq!(Claim { lease_until: claim.lease_until, ..renewed.clone() }, claim);
    assert_eq!(store.open_operation(&sandbox.id).await.unwrap().unwrap().lease_until, renewed.lease_until);
    store.progress(&claim, "the claim from before is the same right").await.unwrap();
    let before = Picture::of(&store, &sandbox.id).await;
    assert_eq!(store.renew(&claim, &worker("somebody")).await, Err(StoreError::LeaseLost));
    assert_eq!(Picture::of(&store, &sandbox.id).await, before);
    store.expire_lease(claim.operation, "maker").await.unwrap();
    assert_eq!(store.renew(&claim, &worker("maker")).await, Err(StoreError::LeaseLost));
    let heir = claimed(begin(&store, &sandbox.id, CREATE, "heir").await);
    assert_eq!(store.renew(&claim, &worker("maker")).await, Err(StoreError::LeaseLost));
    assert_eq!(store.renew(&claim, &worker("heir")).await, Err(StoreError::LeaseLost));
    store.renew(&heir, &worker("heir")).await.unwrap();
    store.finish(&heir, ending(OperationState::Done, State::Ready)).await.unwrap();
    assert_eq!(store.renew(&heir, &worker("heir")).await, Err(StoreError::LeaseLost));
}

/// Each method that takes a claim, with each kind of claim that does not hold.
pub async fn a_claim_that_does_not_hold_changes_nothing<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let stand = async |lease| {
        let (sandbox, _) = open(&store, &late("opener")).await;
        let claim = claimed(store.begin(&sandbox.id, CREATE, Actor::Agent, "x", &worker("maker")).await.unwrap());
        let tree = resource(&sandbox, "tree", ResourceState::Intent);
        store.intend(&Right::Operation(claim.clone()), intent("a"), Some(tree)).await.unwrap();
        store.set_note(&claim, "k", "kept").await.unwrap();
        if lease == Lease::Lost {
            store.expire_lease(claim.operation, "maker").await.unwrap();
        }
        (sandbox, claim)
    };
    // Its lease ran out and nobody took over.
    let (sandbox, expired) = stand(Lease::Lost).await;
    refuse_all(fixture, &store, &expired).await;
    // Somebody took over.
    let heir = claimed(begin(&store, &sandbox.id, CREATE, "heir").await);
    refuse_all(fixture, &store, &expired).await;
    // Its number, with a fence that is yet to come; and the right fence with another operation, sandbox or kind.
    refuse_all(fixture, &store, &Claim { fence: heir.fence + 1, ..heir.clone() }).await;
    let (other, held) = stand(Lease::Held).await;
    refuse_all(fixture, &store, &Claim { operation: held.operation, ..heir.clone() }).await;
    refuse_all(fixture, &store, &Claim { sandbox: other.id.clone(), ..heir.clone() }).await;
    refuse_all(fixture, &store, &Claim { kind: DESTROY, ..heir.clone() }).await;
    refuse_all(fixture, &store, &Claim { operation: u64::MAX, ..heir.clone() }).await;
    // The operation ended.
    store.finish(&heir, ending(OperationState::Failed, State::Failed)).await.unwrap();
    refuse_all(fixture, &store, &heir).await;
    // Another operation began.
    claimed(begin(&store, &sandbox.id, DESTROY, "breaker").await);
    refuse_all(fixture, &store, &heir).await;
    // And what holds still holds: the refusals were not for another reason.
    store.transition(&held, State::Provisioning, "on").await.unwrap();
    store.check().await.unwrap();
}

#[derive(Clone, Copy, PartialEq)]
enum Lease {
    Held,
    Lost,
}

async fn refuse_all<F: Fixture, S: Store>(fixture: &F, store: &S, claim: &Claim) {
    let id = &claim.sandbox;
    let before = Picture::of(store, id).await;
    let tree = resource(&before.sandbox, "tree", ResourceState::Deleting);
    let right = Right::Operation(claim.clone());
    let lost = Err(StoreError::LeaseLost);
    assert_eq!(store.renew(claim, &worker("maker")).await, Err(StoreError::LeaseLost));
    assert_eq!(store.transition(claim, State::Ready, "x").await, Err(StoreError::LeaseLost));
    assert_eq!(store.progress(claim, "x").await, lost);
    let end = store.finish(claim, ending(OperationState::Done, State::Ready)).await;
    assert_eq!(end, Err(StoreError::LeaseLost));
    assert_eq!(store.intend(&right, intent("x"), None).await, Err(StoreError::LeaseLost));
    assert_eq!(store.intend(&right, intent("x"), Some(tree.clone())).await, Err(StoreError::LeaseLost));
    assert_eq!(store.mark(claim, &tree.reference, ResourceState::Gone, "x").await, lost);
    assert_eq!(store.set_note(claim, "k", "overwritten").await, lost);
    assert_eq!(store.set_note(claim, "another", "x").await, lost);
    assert_eq!(Picture::of(store, id).await, before);
    // What happened is written down, whoever holds the lease; the resource is not touched.
    let entries = before.entries.len();
    let said = store.outcome(&right, outcome(1), Some((tree.reference, ResourceState::Gone))).await;
    assert_eq!(said, lost);
    let after = Picture::of(store, id).await;
    assert_eq!(after.entries.len(), entries + 1);
    assert_eq!(fixture.verify(&after.entries, after.head.as_ref()).last(), Some(&outcome(1)));
    assert_eq!(Picture { entries: before.entries.clone(), head: before.head.clone(), ..after }, before);
}

/// Of many that ask at once, one gets the operation.
pub async fn one_of_many_takes_over<F: Fixture>(fixture: &F) {
    let stores: Vec<_> = (0..4).map(|_| Arc::new(fixture.store())).collect();
    for kind in [CREATE, DESTROY] {
        let (sandbox, _) = open(&*stores[0], &late("opener")).await;
        let asking: Vec<_> = (0..16)
            .map(|n: usize| {
                let (store, id) = (Arc::clone(&stores[n % 4]), sandbox.id.clone());
                tokio::spawn(async move { begin(&*store, &id, kind, &format!("w{n}")).await })
            })
            .collect();
        let mut winners = Vec::new();
        for asked in asking {
            match asked.await.unwrap() {
                Begun::Claimed(claim) => winners.push(claim),
                Begun::Busy { .. } => {}
                other @ (Begun::NothingOpen | Begun::AlreadyDestroyed) => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 1);
        stores[1].progress(&winners[0], "mine").await.unwrap();
    }
    // Of two opens with one name, likewise.
    let mut asked = new(&*stores[0]).await;
    asked.name = Some("only".parse().unwrap());
    let opening: Vec<_> = (0..8)
        .map(|n: usize| {
            let (store, mut asked) = (Arc::clone(&stores[n % 4]), asked.clone());
            asked.id = SandboxId::random().unwrap();
            let body = opened(&asked);
            tokio::spawn(async move { store.open(asked, body, &worker("w")).await })
        })
        .collect();
    let mut made = Vec::new();
    let mut refused = Vec::new();
    for opened in opening {
        match opened.await.unwrap() {
            Ok((sandbox, _)) => made.push(sandbox.id),
            Err(error) => refused.push(error),
        }
    }
    assert_eq!(made.len(), 1);
    let taken = StoreError::NameTaken { name: "only".parse().unwrap(), holder: made[0].clone() };
    assert_eq!(refused, vec![taken; 7]);
    let _ = ready(&*stores[2]).await;
}
