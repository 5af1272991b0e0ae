//! The life of a sandbox, from its opening to the end of its chain.

use sandboxer_model::{
    call::Fact,
    event::EventKind,
    id::SandboxId,
    ledger::Body,
    ports::store::{Begun, Ending, Right, Store, StoreError},
    sandbox::{Actor, Desired, OperationKind, OperationState, ResourceState, State},
};

use super::{
    Fixture,
    sample::{
        Picture, claimed, denied, destroyed, ending, intent, late, new, open, opened, outcome, ready, resource, worker,
    },
};

/// Opening writes the row, the claimed operation, the event and the chain's first entry; or nothing.
pub async fn opening_writes_all_or_nothing<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let mut asked = new(&store).await;
    asked.name = Some("first".parse().unwrap());
    let body = opened(&asked);
    let (sandbox, claim) = store.open(asked.clone(), body.clone(), &worker("w1")).await.unwrap();

    assert_eq!((&sandbox.id, &sandbox.name, &sandbox.project), (&asked.id, &asked.name, &asked.project));
    assert_eq!((sandbox.actor, &sandbox.labels, &sandbox.plan), (asked.actor, &asked.labels, &asked.plan));
    assert_eq!((sandbox.desired, sandbox.state, sandbox.version), (Desired::Present, State::Requested, 1));
    assert_eq!((sandbox.reason.as_str(), &sandbox.facts, sandbox.ready_at), ("asked for", &vec![], None));
    assert_eq!((claim.fence, claim.attempt, claim.kind, claim.actor), (1, 1, OperationKind::Create, Actor::Agent));

    let picture = Picture::of(&fixture.store(), &sandbox.id).await;
    assert_eq!(picture.sandbox, sandbox, "another process reads what the opener was told");
    assert_eq!(picture.story(), [("state", "requested", 1, "asked for")]);
    assert_eq!(fixture.verify(&picture.entries, picture.head.as_ref()), std::slice::from_ref(&body));
    let operation = picture.operation.clone().unwrap();
    assert_eq!((operation.id, operation.owner.as_str(), operation.held), (claim.operation, "w1", true));
    assert_eq!(operation.lease_until, claim.lease_until);

    // The same id again: refused, and nothing of the second is there.
    let error = store.open(asked.clone(), body, &worker("w2")).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    asked.name = None;
    let again = opened(&asked);
    let error = store.open(asked, again, &worker("w2")).await.unwrap_err();
    assert!(matches!(error, StoreError::Internal(_)), "{error}");
    // A chain that does not open: the row that was written before it is gone with it.
    let other = new(&store).await;
    let error = store.open(other.clone(), intent("host.up"), &worker("w2")).await.unwrap_err();
    assert!(matches!(error, StoreError::Internal(_)), "{error}");
    assert_eq!(store.sandbox(&other.id).await.unwrap(), None);
    assert_eq!(Picture::of(&store, &sandbox.id).await, picture);
    store.check().await.unwrap();
}

/// A name belongs to one living sandbox of a project.
pub async fn a_name_is_taken_while_its_holder_lives<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let named = async |project: &str| {
        let mut new = new(&store).await;
        new.name = Some("build".parse().unwrap());
        new.project = project.parse().unwrap();
        new
    };
    let gone = destroyed(&store, named("one").await).await;
    let first = named("one").await;
    let holder = first.id.clone();
    let body = opened(&first);
    store.open(first, body, &worker("w")).await.unwrap();
    let second = named("one").await;
    let (id, body) = (second.id.clone(), opened(&second));
    let error = store.open(second, body, &worker("w")).await.unwrap_err();
    assert_eq!(error, StoreError::NameTaken { name: "build".parse().unwrap(), holder: holder.clone() });
    assert_eq!(store.sandbox(&id).await.unwrap(), None);
    let elsewhere = named("two").await;
    let (id, body) = (elsewhere.id.clone(), opened(&elsewhere));
    store.open(elsewhere, body, &worker("w")).await.unwrap();
    let found: Vec<_> = store.find("build").await.unwrap().into_iter().map(|sandbox| sandbox.id).collect();
    assert_eq!(found, [id, holder, gone.id]);
}

/// Every step of a life, with what is told of it.
pub async fn a_whole_life_is_told_in_order<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, create) = open(&store, &worker("w1")).await;
    let id = &sandbox.id;
    let right = Right::Operation(create.clone());
    let tree = resource(&sandbox, "tree", ResourceState::Intent);
    store.transition(&create, State::Provisioning, "making it").await.unwrap();
    assert_eq!(store.intend(&right, intent("host.up"), Some(tree.clone())).await.unwrap(), 1);
    store.outcome(&right, outcome(1), Some((tree.reference.clone(), ResourceState::Live))).await.unwrap();
    store.progress(&create, "unpacking").await.unwrap();
    store.set_note(&create, "k", "v1").await.unwrap();
    store.set_note(&create, "k", "v2").await.unwrap();
    let facts = vec![Fact { name: "kernel".parse().unwrap(), value: "6.1".to_owned() }];
    let made = Ending { facts: Some(facts.clone()), ..ending(OperationState::Done, State::Ready) };
    let is_ready = store.finish(&create, made).await.unwrap();
    assert_eq!((is_ready.state, is_ready.version, &is_ready.facts), (State::Ready, 3, &facts));
    assert_eq!(is_ready.ready_at, Some(is_ready.updated_at));
    assert_eq!(store.open_operation(id).await.unwrap(), None);
    assert_eq!(store.intend(&Right::Access(id.clone()), intent("host.exec"), None).await.unwrap(), 3);

    let begun = store.begin(id, OperationKind::Destroy, Actor::Administrator, "enough", &worker("w2")).await.unwrap();
    let destroy = claimed(begun);
    assert_eq!((destroy.attempt, destroy.actor, destroy.fence), (1, Actor::Administrator, 2));
    store.transition(&destroy, State::Destroying, "taking it away").await.unwrap();
    let right = Right::Operation(destroy.clone());
    let going = resource(&sandbox, "tree", ResourceState::Deleting);
    assert_eq!(store.intend(&right, intent("host.down"), Some(going)).await.unwrap(), 4);
    store.outcome(&right, outcome(4), None).await.unwrap();
    store.mark(&destroy, &tree.reference, ResourceState::Gone, "its absence was observed").await.unwrap();
    let closing = Body::Closed { reason: "nothing is left".to_owned() };
    let end = Ending { closing: Some(closing.clone()), ..ending(OperationState::Done, State::Destroyed) };
    let end = store.finish(&destroy, end).await.unwrap();
    assert_eq!((end.state, end.desired, &end.facts), (State::Destroyed, Desired::Absent, &facts));

    let picture = Picture::of(&fixture.store(), id).await;
    let tree = tree.reference.as_str();
    assert_eq!(
        picture.story(),
        [
            ("state", "requested", 1, "asked for"),
            ("state", "provisioning", 2, "making it"),
            ("resource", "provisioning", 2, format!("{tree} is intent").as_str()),
            ("resource", "provisioning", 2, format!("{tree} is live").as_str()),
            ("progress", "provisioning", 2, "unpacking"),
            ("state", "ready", 3, "now ready"),
            ("operation", "ready", 4, "enough"),
            ("state", "destroying", 5, "taking it away"),
            ("resource", "destroying", 5, format!("{tree} is deleting").as_str()),
            ("resource", "destroying", 5, "its absence was observed"),
            ("state", "destroyed", 6, "now destroyed"),
        ]
    );
    let actors: Vec<_> = picture.events.iter().map(|event| event.actor).collect();
    assert_eq!(actors[..6], [Actor::Agent; 6]);
    assert_eq!(actors[6..], [Actor::Administrator; 5]);
    assert_eq!(picture.note.as_deref(), Some("v2"));
    assert_eq!(picture.resources.iter().map(|r| r.state).collect::<Vec<_>>(), [ResourceState::Gone]);
    let bodies = fixture.verify(&picture.entries, picture.head.as_ref());
    assert_eq!(bodies.len(), 7);
    assert_eq!(
        bodies[1..],
        [intent("host.up"), outcome(1), intent("host.exec"), intent("host.down"), outcome(4), closing]
    );
    let begun = store.begin(id, OperationKind::Destroy, Actor::Agent, "again", &worker("w3")).await.unwrap();
    assert_eq!(begun, Begun::AlreadyDestroyed);
    store.check().await.unwrap();
}

/// "Destroyed" is believed only when every absence was observed.
pub async fn nothing_is_destroyed_while_something_is_left<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, create) = open(&store, &worker("w1")).await;
    let tree = resource(&sandbox, "tree", ResourceState::Intent);
    store.intend(&Right::Operation(create.clone()), intent("host.up"), Some(tree.clone())).await.unwrap();
    for state in [ResourceState::Intent, ResourceState::Live, ResourceState::Deleting, ResourceState::Quarantined] {
        store.mark(&create, &tree.reference, state, "so it is").await.unwrap();
        let before = Picture::of(&store, &sandbox.id).await;
        let error = store.finish(&create, ending(OperationState::Done, State::Destroyed)).await.unwrap_err();
        let StoreError::Internal(why) = error else { panic!("{error}") };
        assert!(why.contains(tree.reference.as_str()) && why.contains(state.as_str()), "{why}");
        assert_eq!(Picture::of(&store, &sandbox.id).await, before);
    }
    let error = store.transition(&create, State::Destroyed, "no").await.unwrap_err();
    assert!(matches!(error, StoreError::Internal(_)), "{error}");
    store.mark(&create, &tree.reference, ResourceState::Gone, "gone").await.unwrap();
    let end = store.finish(&create, ending(OperationState::Done, State::Destroyed)).await.unwrap();
    assert_eq!(end.state, State::Destroyed);
}

/// An entry of the wrong kind is refused by every method, and changes nothing.
pub async fn each_method_takes_only_its_own_entries<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, claim) = open(&store, &worker("w1")).await;
    let right = Right::Operation(claim.clone());
    let before = Picture::of(&store, &sandbox.id).await;
    let first: Body = serde_json::from_str(&before.entries[0].body).unwrap();
    let closed = Body::Closed { reason: "no".to_owned() };
    let all = [first, intent("a"), denied("a"), outcome(1), closed];
    for body in &all {
        if !matches!(body, Body::Intent { .. }) {
            assert!(matches!(store.intend(&right, body.clone(), None).await, Err(StoreError::Internal(_))));
        }
        if !matches!(body, Body::Denied { .. }) {
            assert!(matches!(store.deny(&sandbox.id, body.clone()).await, Err(StoreError::Internal(_))));
        }
        if !matches!(body, Body::Outcome { .. }) {
            assert!(matches!(store.outcome(&right, body.clone(), None).await, Err(StoreError::Internal(_))));
        }
        if !matches!(body, Body::Closed { .. }) {
            let ending = Ending { closing: Some(body.clone()), ..ending(OperationState::Done, State::Ready) };
            assert!(matches!(store.finish(&claim, ending).await, Err(StoreError::Internal(_))));
        }
    }
    let running = ending(OperationState::Running, State::Ready);
    assert!(matches!(store.finish(&claim, running).await, Err(StoreError::Internal(_))));
    assert_eq!(Picture::of(&store, &sandbox.id).await, before);
}

/// Notes are bounded in number and size, at the bound and beyond it.
pub async fn notes_are_bounded<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, claim) = open(&store, &worker("w1")).await;
    let refused = async |key: &str, value: &str| {
        let error = store.set_note(&claim, key, value).await.unwrap_err();
        assert!(matches!(error, StoreError::NoteRefused(_)), "{error}");
        assert_eq!(store.note(&sandbox.id, key).await.unwrap(), None);
    };
    refused("", "v").await;
    refused(&"k".repeat(65), "v").await;
    refused(&"ü".repeat(33), "v").await;
    refused("big", &"v".repeat(4097)).await;
    store.set_note(&claim, &"k".repeat(64), &"v".repeat(4096)).await.unwrap();
    assert_eq!(store.note(&sandbox.id, &"k".repeat(64)).await.unwrap(), Some("v".repeat(4096)));
    for n in 1..64 {
        store.set_note(&claim, &format!("n{n}"), "it's\0here").await.unwrap();
    }
    refused("one too many", "v").await;
    store.set_note(&claim, "n1", "changed").await.unwrap();
    assert_eq!(store.note(&sandbox.id, "n1").await.unwrap().as_deref(), Some("changed"));
    assert_eq!(store.note(&sandbox.id, "n2").await.unwrap().as_deref(), Some("it's\0here"));
    let other = ready(&store).await;
    assert_eq!(store.note(&other.id, "n1").await.unwrap(), None, "another sandbox's notes are its own");
}

/// A resource belongs to one sandbox, slot and host; only intents make one.
pub async fn resources_stay_where_they_are<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (sandbox, claim) = open(&store, &worker("w1")).await;
    let (other, others) = open(&store, &worker("w2")).await;
    let right = Right::Operation(claim.clone());
    let tree = resource(&sandbox, "tree", ResourceState::Intent);
    store.intend(&right, intent("a"), Some(tree.clone())).await.unwrap();
    store.intend(&right, intent("a"), Some(tree.clone())).await.unwrap();
    let before = (Picture::of(&store, &sandbox.id).await, Picture::of(&store, &other.id).await);
    let (mine, theirs) = (Right::Operation(claim.clone()), Right::Operation(others.clone()));
    let stolen = store.intend(&theirs, intent("a"), Some(tree.clone())).await;
    assert!(matches!(stolen, Err(StoreError::Internal(_))), "{stolen:?}");
    let stolen = store.mark(&others, &tree.reference, ResourceState::Gone, "mine now").await;
    assert!(matches!(stolen, Err(StoreError::Internal(_))), "{stolen:?}");
    let stolen = store.outcome(&theirs, outcome(1), Some((tree.reference.clone(), ResourceState::Gone))).await;
    assert!(matches!(stolen, Err(StoreError::Internal(_))), "{stolen:?}");
    for state in [ResourceState::Live, ResourceState::Gone, ResourceState::Quarantined] {
        let made = store.intend(&mine, intent("a"), Some(resource(&sandbox, "more", state))).await;
        assert!(matches!(made, Err(StoreError::Internal(_))), "{made:?}");
    }
    let unknown = resource(&sandbox, "unknown", ResourceState::Intent).reference;
    let marked = store.mark(&claim, &unknown, ResourceState::Gone, "there is none").await;
    assert!(matches!(marked, Err(StoreError::Internal(_))), "{marked:?}");
    assert_eq!((Picture::of(&store, &sandbox.id).await, Picture::of(&store, &other.id).await), before);
    assert_eq!(before.0.resources.len(), 1, "the second intent found the row of the first");
    let resources = before.0.events.iter().filter(|event| event.kind == EventKind::Resource).count();
    assert_eq!(resources, 1, "nothing is told of what did not change");
    let nobody = SandboxId::random().unwrap();
    assert_eq!(store.sandbox(&nobody).await.unwrap(), None);
    let begun = store.begin(&nobody, OperationKind::Destroy, Actor::Agent, "x", &late("w")).await;
    assert_eq!(begun, Err(StoreError::NoSandbox(nobody)));
}
