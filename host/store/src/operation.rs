//! Operations: who may work on a sandbox, until when, and behind which fence.
//!
//! The fence grows over all operations of a sandbox, not only over the claims of one, so that what two operations wrote
//! can be ordered as well.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use sandboxer_model::{
    event::EventKind,
    id::SandboxId,
    ledger::Body,
    ports::store::{Begun, Ending, OpenOperation, StoreError, Worker},
    sandbox::{Actor, Claim, OperationKind, OperationState, ResourceState, Sandbox, State},
};

use crate::{
    event,
    fault::Fault,
    ledger, resource, row,
    sandbox::{self, Change},
    transaction::{Tx, moment, now},
};

/// A lease that begins later than this from now was granted by a clock that has since been set back, and holds nobody
/// off: otherwise a dead worker's lease would hold for as long as the clock was ahead.
const CLOCK_SLACK_US: i64 = 60_000_000;

/// Begins an operation or takes over the open one; the port's documentation has the rules.
pub(crate) fn begin(
    tx: &Tx<'_>,
    id: &SandboxId,
    kind: OperationKind,
    actor: Actor,
    reason: &str,
    worker: &Worker,
) -> Result<Begun, Fault> {
    let (state, _) = sandbox::status(tx.conn, id)?;
    if state == State::Destroyed {
        return Ok(Begun::AlreadyDestroyed);
    }
    let open = running(tx.conn, id)?;
    match kind {
        OperationKind::Create => match open {
            Some(open) if open.held(tx.now) => open.busy(),
            Some(open) if open.kind == OperationKind::Create => take_over(tx, id, &open, actor, reason, worker),
            Some(_) | None => Ok(Begun::NothingOpen),
        },
        OperationKind::Destroy => {
            let news = sandbox::unwant(tx, id)?;
            match open {
                Some(open) if open.held(tx.now) => {
                    if news {
                        event::tell(tx, id, EventKind::Operation, reason, actor)?;
                    }
                    open.busy()
                }
                Some(open) if open.kind == OperationKind::Destroy => take_over(tx, id, &open, actor, reason, worker),
                Some(stale) => {
                    end(tx, stale.id, OperationState::Failed)?;
                    let told = format!("the {} is given up: {} no longer holds it", stale.kind, stale.owner);
                    event::tell(tx, id, EventKind::Operation, &told, actor)?;
                    destroy(tx, id, actor, reason, worker)
                }
                None => destroy(tx, id, actor, reason, worker),
            }
        }
    }
}

/// Adds an operation, claimed by the worker.
pub(crate) fn insert(
    tx: &Tx<'_>,
    id: &SandboxId,
    kind: OperationKind,
    actor: Actor,
    reason: &str,
    worker: &Worker,
) -> Result<Claim, Fault> {
    let until = lease_end(tx, worker.lease);
    let (operation, fence) = tx
        .conn
        .prepare_cached(
            "INSERT INTO operation (sandbox, kind, actor, state, reason, owner, leased_at, lease_until, fence, attempt,
                 created_at)
             SELECT ?1, ?2, ?3, 'running', ?4, ?5, ?6, ?7, coalesce(max(fence), 0) + 1, 1, ?6
             FROM operation WHERE sandbox = ?1
             RETURNING id, fence",
        )?
        .query_row((id.as_str(), kind.as_str(), actor.as_str(), reason, &worker.owner, tx.now, until), |row| {
            Ok((row::count(row, 0)?, row::count(row, 1)?))
        })?;
    Ok(Claim { operation, sandbox: id.clone(), kind, actor, fence, lease_until: moment(until)?, attempt: 1 })
}

/// Lets through only the claim that still holds: nobody took over, the operation is open, the lease still runs.
pub(crate) fn require(tx: &Tx<'_>, claim: &Claim) -> Result<(), Fault> {
    let holds: bool = tx
        .conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM operation WHERE id = ?1 AND sandbox = ?2 AND kind = ?3 AND fence = ?4
                 AND state = 'running' AND lease_until > ?5)",
        )?
        .query_row(
            (
                row::number(claim.operation),
                claim.sandbox.as_str(),
                claim.kind.as_str(),
                row::number(claim.fence),
                tx.now,
            ),
            |row| row.get(0),
        )?;
    if holds { Ok(()) } else { Err(StoreError::LeaseLost.into()) }
}

/// Ends the lease of an owner who is dead.
pub(crate) fn expire(tx: &Tx<'_>, operation: u64, owner: &str) -> Result<(), Fault> {
    tx.conn
        .prepare_cached(
            "UPDATE operation SET lease_until = ?3
             WHERE id = ?1 AND owner = ?2 AND state = 'running' AND lease_until > ?3",
        )?
        .execute((row::number(operation), owner, tx.now))?;
    Ok(())
}

/// Prolongs a lease that still runs, for the worker that holds it.
pub(crate) fn renew(tx: &Tx<'_>, claim: &Claim, worker: &Worker) -> Result<Claim, Fault> {
    require(tx, claim)?;
    let until = lease_end(tx, worker.lease);
    let renewed = tx
        .conn
        .prepare_cached("UPDATE operation SET leased_at = ?3, lease_until = ?4 WHERE id = ?1 AND owner = ?2")?
        .execute((row::number(claim.operation), &worker.owner, tx.now, until))?;
    if renewed == 1 {
        Ok(Claim { lease_until: moment(until)?, ..claim.clone() })
    } else {
        Err(StoreError::LeaseLost.into())
    }
}

/// Moves the sandbox to another state in the middle of an operation.
pub(crate) fn transition(tx: &Tx<'_>, claim: &Claim, to: State, reason: &str) -> Result<Sandbox, Fault> {
    require(tx, claim)?;
    if to == State::Destroyed {
        return Err(Fault::internal("only the end of an operation makes a sandbox destroyed"));
    }
    sandbox::change(tx, claim, EventKind::State, &Change { state: to, reason, facts: None })
}

/// Tells of a step.
pub(crate) fn progress(tx: &Tx<'_>, claim: &Claim, text: &str) -> Result<(), Fault> {
    require(tx, claim)?;
    event::tell(tx, &claim.sandbox, EventKind::Progress, text, claim.actor)
}

/// Ends an operation.
pub(crate) fn finish(tx: &Tx<'_>, claim: &Claim, ending: &Ending) -> Result<Sandbox, Fault> {
    require(tx, claim)?;
    match ending.operation {
        OperationState::Done | OperationState::Failed => {}
        OperationState::Running => return Err(Fault::internal("an operation cannot end as running")),
    }
    if ending.state == State::Destroyed {
        require_nothing_left(tx, &claim.sandbox)?;
    }
    let (before, _) = sandbox::status(tx.conn, &claim.sandbox)?;
    end(tx, claim.operation, ending.operation)?;
    let kind = if before == ending.state { EventKind::Operation } else { EventKind::State };
    let change = Change { state: ending.state, reason: &ending.reason, facts: ending.facts.as_deref() };
    let after = sandbox::change(tx, claim, kind, &change)?;
    match &ending.closing {
        Some(closing @ Body::Closed { .. }) => {
            ledger::append(tx, &claim.sandbox, closing)?;
        }
        Some(Body::Opened { .. } | Body::Intent { .. } | Body::Denied { .. } | Body::Outcome { .. }) => {
            return Err(Fault::internal("only `closed` ends a chain"));
        }
        None => {}
    }
    Ok(after)
}

/// The open operation of a sandbox, for people.
pub(crate) fn open(conn: &Connection, id: &SandboxId) -> Result<Option<OpenOperation>, Fault> {
    let now = now(conn)?;
    running(conn, id)?
        .map(|open| {
            Ok(OpenOperation {
                id: open.id,
                kind: open.kind,
                lease_until: moment(open.until)?,
                held: open.held(now),
                attempt: open.attempt,
                owner: open.owner,
            })
        })
        .transpose()
}

/// The open operation of a sandbox.
struct Running {
    id: u64,
    kind: OperationKind,
    actor: Actor,
    owner: String,
    since: i64,
    until: i64,
    attempt: u32,
}

impl Running {
    fn held(&self, now: i64) -> bool {
        self.until > now && self.since <= now.saturating_add(CLOCK_SLACK_US)
    }

    fn busy(self) -> Result<Begun, Fault> {
        Ok(Begun::Busy { operation: self.id, kind: self.kind, owner: self.owner, until: moment(self.until)? })
    }
}

fn running(conn: &Connection, id: &SandboxId) -> Result<Option<Running>, Fault> {
    let found = conn
        .prepare_cached(
            "SELECT id, kind, actor, owner, leased_at, lease_until, attempt FROM operation
             WHERE sandbox = ?1 AND state = 'running'",
        )?
        .query_row([id.as_str()], |row| {
            Ok(Running {
                id: row::count(row, 0)?,
                kind: row::parsed(row, 1)?,
                actor: row::parsed(row, 2)?,
                owner: row.get(3)?,
                since: row.get(4)?,
                until: row.get(5)?,
                attempt: row.get(6)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Who asked for the operation stays; who causes the event is the one who asks now.
fn take_over(
    tx: &Tx<'_>,
    id: &SandboxId,
    open: &Running,
    actor: Actor,
    reason: &str,
    worker: &Worker,
) -> Result<Begun, Fault> {
    let until = lease_end(tx, worker.lease);
    let (fence, attempt) = tx
        .conn
        .prepare_cached(
            "UPDATE operation SET owner = ?2, leased_at = ?3, lease_until = ?4, fence = fence + 1, attempt = attempt + 1
             WHERE id = ?1 RETURNING fence, attempt",
        )?
        .query_row((row::number(open.id), &worker.owner, tx.now, until), |row| {
            Ok((row::count(row, 0)?, row.get(1)?))
        })?;
    event::tell(tx, id, EventKind::Operation, reason, actor)?;
    Ok(Begun::Claimed(Claim {
        operation: open.id,
        sandbox: id.clone(),
        kind: open.kind,
        actor: open.actor,
        fence,
        lease_until: moment(until)?,
        attempt,
    }))
}

fn destroy(tx: &Tx<'_>, id: &SandboxId, actor: Actor, reason: &str, worker: &Worker) -> Result<Begun, Fault> {
    let claim = insert(tx, id, OperationKind::Destroy, actor, reason, worker)?;
    event::tell(tx, id, EventKind::Operation, reason, actor)?;
    Ok(Begun::Claimed(claim))
}

fn end(tx: &Tx<'_>, operation: u64, state: OperationState) -> Result<(), Fault> {
    tx.conn.prepare_cached("UPDATE operation SET state = ?2, ended_at = ?3 WHERE id = ?1")?.execute((
        row::number(operation),
        state.as_str(),
        tx.now,
    ))?;
    Ok(())
}

/// A sandbox is destroyed when every absence was observed, not before.
fn require_nothing_left(tx: &Tx<'_>, id: &SandboxId) -> Result<(), Fault> {
    match resource::of(tx.conn, id)?.into_iter().find(|resource| resource.state != ResourceState::Gone) {
        Some(left) => Err(Fault::internal(format!(
            "sandbox {id} is not destroyed: its resource {} is {}",
            left.reference, left.state
        ))),
        None => Ok(()),
    }
}

fn lease_end(tx: &Tx<'_>, lease: Duration) -> i64 {
    tx.now.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
}
