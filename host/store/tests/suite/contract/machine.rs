//! The store against a model of itself: random sequences of claims, takeovers, expiries and writes, each answer and
//! each resulting state foretold by a few plain fields.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sandboxer_model::{
    ledger::Body,
    ports::store::{Begun, Ending, Right, Store, StoreError},
    sandbox::{Actor, Claim, Desired, OperationKind, OperationState, Sandbox, State},
};
use tokio::runtime::Runtime;

use super::{
    Fixture,
    sample::{denied, intent, late, new, opened, outcome, worker},
};

const CASES: u32 = 96;
const WORKERS: [&str; 3] = ["ada", "bob", "eve"];

/// Plays random games, and says how many steps did what they asked for; a run in which nothing could be done proves
/// nothing.
pub fn play<F: Fixture>(fresh: impl Fn() -> F) {
    let runtime = Runtime::new().unwrap();
    let done = std::cell::Cell::new(0_usize);
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let games = proptest::collection::vec(step(), 20..60);
    let result = runner.run(&games, |steps| {
        let fixture = fresh();
        let mut game = Game { store: fixture.store(), sandboxes: Vec::new() };
        for step in &steps {
            if runtime.block_on(game.play(step))? {
                done.set(done.get() + 1);
            }
        }
        for known in &game.sandboxes {
            let entries = runtime.block_on(game.store.ledger(&known.row.id)).unwrap();
            let head = runtime.block_on(game.store.head(&known.row.id)).unwrap();
            prop_assert_eq!(fixture.verify(&entries, head.as_ref()).len(), known.entries);
        }
        runtime.block_on(game.store.check()).unwrap();
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    println!("{} steps of {CASES} games did what they asked for", done.get());
    assert!(done.get() > CASES as usize * 4, "only {} steps did anything", done.get());
}

/// One step; indices are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Open { worker: usize, late: bool },
    Begin { sandbox: usize, kind: OperationKind, worker: usize, late: bool },
    Expire { sandbox: usize, worker: usize },
    Use { sandbox: usize, claim: usize, how: Use },
    Access { sandbox: usize },
    Deny { sandbox: usize },
}

/// What is done with a claim.
#[derive(Debug, Clone)]
enum Use {
    Renew { worker: usize, late: bool },
    Transition(State),
    Progress,
    Intend,
    Outcome,
    Note,
    Finish(OperationState, State, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(OperationKind::Create), Just(OperationKind::Destroy)];
    let late = prop::bool::weighted(0.3);
    // The newest claim is the likeliest to be used, as it is in life; old ones come often enough.
    let claim = prop_oneof![3 => Just(0_usize), 2 => 1..4_usize];
    prop_oneof![
        1 => (0..3_usize, late).prop_map(|(worker, late)| Step::Open { worker, late }),
        4 => (0..3_usize, kind, 0..3_usize, late)
            .prop_map(|(sandbox, kind, worker, late)| Step::Begin { sandbox, kind, worker, late }),
        2 => (0..3_usize, 0..3_usize).prop_map(|(sandbox, worker)| Step::Expire { sandbox, worker }),
        8 => (0..3_usize, claim, using()).prop_map(|(sandbox, claim, how)| Step::Use { sandbox, claim, how }),
        1 => (0..3_usize).prop_map(|sandbox| Step::Access { sandbox }),
        1 => (0..3_usize).prop_map(|sandbox| Step::Deny { sandbox }),
    ]
}

fn using() -> impl Strategy<Value = Use> {
    let states = prop::sample::select(State::ALL);
    let ends = prop_oneof![Just(OperationState::Done), Just(OperationState::Failed)];
    prop_oneof![
        4 => (0..3_usize, prop::bool::weighted(0.2)).prop_map(|(worker, late)| Use::Renew { worker, late }),
        4 => states.clone().prop_map(Use::Transition),
        4 => Just(Use::Progress),
        4 => Just(Use::Intend),
        4 => Just(Use::Outcome),
        4 => Just(Use::Note),
        3 => (ends, states, any::<bool>()).prop_map(|(end, state, closes)| Use::Finish(end, state, closes)),
    ]
}

/// The model of one sandbox: its row as it was last told, and what decides.
struct Known {
    row: Sandbox,
    open: Option<Open>,
    fence: u64,
    entries: usize,
    closed: bool,
    events: usize,
    claims: Vec<Claim>,
    intents: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Open {
    id: u64,
    kind: OperationKind,
    owner: String,
    held: bool,
    fence: u64,
    attempt: u32,
}

struct Game<S> {
    store: S,
    sandboxes: Vec<Known>,
}

impl<S: Store> Game<S> {
    /// Plays a step; answers whether it did what it asked for.
    async fn play(&mut self, step: &Step) -> Result<bool, TestCaseError> {
        let store = &self.store;
        if let Step::Open { worker, late } = step {
            let new = new(store).await;
            let body = opened(&new);
            let (row, claim) = store.open(new, body, &at_work(*worker, *late)).await.unwrap();
            let open = holding(&claim, *worker, *late);
            let known = Known {
                row,
                open: Some(open),
                fence: 1,
                entries: 1,
                closed: false,
                events: 1,
                claims: vec![claim],
                intents: vec![],
            };
            self.sandboxes.push(known);
            return Ok(true);
        }
        let count = self.sandboxes.len();
        let (Step::Begin { sandbox, .. }
        | Step::Expire { sandbox, .. }
        | Step::Use { sandbox, .. }
        | Step::Access { sandbox }
        | Step::Deny { sandbox }) = step
        else {
            return Ok(false);
        };
        if count == 0 {
            return Ok(false);
        }
        let known = &mut self.sandboxes[sandbox % count];
        let did = match step {
            Step::Begin { kind, worker, late, .. } => known.begin(store, *kind, *worker, *late).await?,
            Step::Expire { worker, .. } => known.expire(store, *worker).await,
            Step::Use { claim, how, .. } => known.make_use(store, *claim, how).await?,
            Step::Access { .. } => known.access(store).await?,
            Step::Deny { .. } => {
                let denied = store.deny(&known.row.id, denied("x")).await;
                known.appended(denied.map(|sequence| sequence as usize))?
            }
            Step::Open { .. } => false,
        };
        known.compare(store).await?;
        Ok(did)
    }
}

impl Known {
    async fn begin<S: Store>(
        &mut self,
        store: &S,
        kind: OperationKind,
        who: usize,
        late: bool,
    ) -> Result<bool, TestCaseError> {
        let begun = store.begin(&self.row.id, kind, Actor::Agent, "x", &at_work(who, late)).await.unwrap();
        if self.row.state == State::Destroyed {
            prop_assert_eq!(begun, Begun::AlreadyDestroyed);
            return Ok(false);
        }
        let newly = kind == OperationKind::Destroy && self.row.desired == Desired::Present;
        if newly {
            self.row.desired = Desired::Absent;
            self.row.version += 1;
        }
        let held = self.open.as_ref().is_some_and(|open| open.held);
        if held {
            self.events += usize::from(newly);
            let open = self.open.as_ref().unwrap();
            let same = matches!(&begun, Begun::Busy { operation, kind, owner, .. }
                if (*operation, *kind, owner) == (open.id, open.kind, &open.owner));
            prop_assert!(same, "{begun:?} for {open:?}");
            return Ok(false);
        }
        let takes_over = self.open.as_ref().is_some_and(|open| open.kind == kind);
        if kind == OperationKind::Create && !takes_over {
            prop_assert_eq!(begun, Begun::NothingOpen);
            return Ok(false);
        }
        let Begun::Claimed(claim) = begun else { return Err(TestCaseError::fail(format!("{begun:?}"))) };
        self.fence += 1;
        prop_assert_eq!((claim.fence, claim.kind), (self.fence, kind));
        // A stale create that is given up is told of, too.
        self.events += if !takes_over && self.open.is_some() { 2 } else { 1 };
        if takes_over {
            let open = self.open.as_ref().unwrap();
            prop_assert_eq!((claim.operation, claim.attempt), (open.id, open.attempt + 1));
        } else {
            prop_assert_eq!(claim.attempt, 1);
        }
        self.open = Some(holding(&claim, who, late));
        self.claims.insert(0, claim);
        Ok(true)
    }

    async fn expire<S: Store>(&mut self, store: &S, who: usize) -> bool {
        let Some(open) = &mut self.open else { return false };
        store.expire_lease(open.id, WORKERS[who]).await.unwrap();
        let ends = open.held && open.owner == WORKERS[who];
        open.held &= !ends;
        ends
    }

    fn holds(&self, claim: &Claim) -> bool {
        self.open.as_ref().is_some_and(|open| open.held && (open.id, open.fence) == (claim.operation, claim.fence))
    }

    async fn make_use<S: Store>(&mut self, store: &S, claim: usize, how: &Use) -> Result<bool, TestCaseError> {
        let claim = self.claims[claim % self.claims.len()].clone();
        let holds = self.holds(&claim);
        let lost = Err(StoreError::LeaseLost);
        match how {
            Use::Renew { worker, late } => {
                let renewed = store.renew(&claim, &at_work(*worker, *late)).await.map(drop);
                let own = self.open.as_ref().is_some_and(|open| open.owner == WORKERS[*worker]);
                prop_assert_eq!(&renewed, if holds && own { &Ok(()) } else { &lost });
                if let (true, Some(open)) = (holds && own, &mut self.open) {
                    open.held = !late;
                }
                Ok(holds && own)
            }
            Use::Transition(State::Destroyed) => {
                let moved = store.transition(&claim, State::Destroyed, "x").await;
                prop_assert!(matches!(moved, Err(StoreError::Internal(_))) == holds, "{moved:?}");
                Ok(false)
            }
            Use::Transition(state) => {
                let moved = store.transition(&claim, *state, "x").await;
                self.changed(holds, moved)
            }
            Use::Progress => {
                let said = store.progress(&claim, "x").await;
                prop_assert_eq!(&said, if holds { &Ok(()) } else { &lost });
                self.events += usize::from(holds);
                Ok(holds)
            }
            Use::Note => {
                let noted = store.set_note(&claim, "k", "v").await;
                prop_assert_eq!(&noted, if holds { &Ok(()) } else { &lost });
                Ok(holds)
            }
            Use::Intend => {
                let intended = store.intend(&Right::Operation(claim.clone()), intent("x"), None).await;
                if !holds {
                    prop_assert_eq!(intended, Err(StoreError::LeaseLost));
                    return Ok(false);
                }
                if claim.kind == OperationKind::Create && self.row.desired == Desired::Absent {
                    prop_assert_eq!(intended, Err(StoreError::Unwanted));
                    return Ok(false);
                }
                self.intends(intended)
            }
            Use::Outcome => {
                let Some(of) = self.intents.last() else { return Ok(false) };
                let said = store.outcome(&Right::Operation(claim), outcome(*of), None).await;
                if !self.closed && !holds {
                    prop_assert_eq!(said, lost);
                    self.entries += 1;
                    return Ok(false);
                }
                let next = self.entries;
                self.appended(said.map(|()| next))
            }
            Use::Finish(end, state, closes) => {
                // A chain is closed only where everything is gone, as the service does it.
                let closing = (*closes && *state == State::Destroyed).then(|| Body::Closed { reason: "x".to_owned() });
                let closes = closing.is_some();
                let ending = Ending { operation: *end, state: *state, reason: "x".to_owned(), facts: None, closing };
                let finished = store.finish(&claim, ending).await;
                let did = self.changed(holds, finished)?;
                if did {
                    self.open = None;
                    self.entries += usize::from(closes);
                    self.closed = closes;
                }
                Ok(did)
            }
        }
    }

    /// The sandbox changed exactly when the claim held.
    fn changed(&mut self, holds: bool, told: Result<Sandbox, StoreError>) -> Result<bool, TestCaseError> {
        let version = self.row.version;
        match told {
            Ok(row) => {
                prop_assert!(holds);
                prop_assert_eq!((row.version, row.desired), (version + 1, self.row.desired));
                self.events += 1;
                self.row = row;
                Ok(true)
            }
            Err(error) => {
                prop_assert_eq!((holds, error), (false, StoreError::LeaseLost));
                Ok(false)
            }
        }
    }

    /// The chain grew by one, unless it is closed.
    fn appended(&mut self, sequence: Result<usize, StoreError>) -> Result<bool, TestCaseError> {
        if self.closed {
            prop_assert!(matches!(sequence, Err(StoreError::Internal(_))), "{sequence:?}");
            return Ok(false);
        }
        prop_assert_eq!(sequence, Ok(self.entries));
        self.entries += 1;
        Ok(true)
    }

    /// Likewise, and outcomes may name the new entry.
    fn intends(&mut self, sequence: Result<u64, StoreError>) -> Result<bool, TestCaseError> {
        self.intents.extend(sequence.iter().copied());
        self.appended(sequence.map(|sequence| sequence as usize))
    }

    async fn access<S: Store>(&mut self, store: &S) -> Result<bool, TestCaseError> {
        let allowed = store.intend(&Right::Access(self.row.id.clone()), intent("x"), None).await;
        let refused = match (self.row.state, self.row.desired) {
            (State::Ready, Desired::Present) => return self.intends(allowed),
            (State::Ready, Desired::Absent) => State::Destroying,
            (other, _) => other,
        };
        prop_assert_eq!(allowed, Err(StoreError::NotReady(refused)));
        Ok(false)
    }

    /// The store says what the model says.
    async fn compare<S: Store>(&self, store: &S) -> Result<(), TestCaseError> {
        let row = store.sandbox(&self.row.id).await.unwrap().unwrap();
        prop_assert_eq!((row.state, row.desired, row.version), (self.row.state, self.row.desired, self.row.version));
        let open = store.open_operation(&self.row.id).await.unwrap();
        let told = open.map(|open| (open.id, open.kind, open.owner, open.held, open.attempt));
        let known = self.open.clone().map(|open| (open.id, open.kind, open.owner, open.held, open.attempt));
        prop_assert_eq!(told, known);
        prop_assert_eq!(store.events(Some(&self.row.id), 0, 1000).await.unwrap().len(), self.events);
        prop_assert_eq!(store.ledger(&self.row.id).await.unwrap().len(), self.entries);
        Ok(())
    }
}

fn at_work(who: usize, is_late: bool) -> sandboxer_model::ports::store::Worker {
    if is_late { late(WORKERS[who]) } else { worker(WORKERS[who]) }
}

fn holding(claim: &Claim, who: usize, late: bool) -> Open {
    Open {
        id: claim.operation,
        kind: claim.kind,
        owner: WORKERS[who].to_owned(),
        held: !late,
        fence: claim.fence,
        attempt: claim.attempt,
    }
}
