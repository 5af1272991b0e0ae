//! The hash chains. An entry is appended inside the transaction that it belongs to, because only there is the hash
//! before it certain.

use rusqlite::{Connection, OptionalExtension};
use sandboxer_model::{
    id::{Digest, ResourceRef, SandboxId},
    ledger::{Body, Entry, Head},
    ports::store::{ResourceIntent, Right, StoreError},
    sandbox::{Desired, OperationKind, ResourceState, State},
};

use crate::{fault::Fault, operation, resource, row, sandbox, transaction::Tx};

/// Appends an entry; answers its sequence. The first must be `Opened`; nothing follows `Closed`.
pub(crate) fn append(tx: &Tx<'_>, sandbox: &SandboxId, body: &Body) -> Result<u64, Fault> {
    let (sequence, previous) = next(tx, sandbox, body)?;
    let (entry, head) = tx
        .sealer
        .seal(sandbox, sequence, &previous, tx.at()?, body)
        .map_err(|error| Fault::internal(error.to_string()))?;
    tx.conn
        .prepare_cached(
            "INSERT INTO ledger (sandbox, sequence, at, previous, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            sandbox.as_str(),
            row::number(entry.sequence),
            entry.at.as_microsecond(),
            entry.previous.to_string(),
            &entry.body,
            entry.hash.to_string(),
        ))?;
    tx.conn
        .prepare_cached(
            "INSERT INTO ledger_head (sandbox, sequence, hash, signature, closed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (sandbox) DO UPDATE SET
                 sequence = excluded.sequence, hash = excluded.hash, signature = excluded.signature,
                 closed = excluded.closed",
        )?
        .execute((
            sandbox.as_str(),
            row::number(head.sequence),
            head.hash.to_string(),
            &head.signature,
            matches!(body, Body::Closed { .. }),
        ))?;
    Ok(sequence)
}

/// Appends an intent under a right that holds, and the resource row beside it.
pub(crate) fn intend(tx: &Tx<'_>, right: &Right, body: &Body, intent: Option<&ResourceIntent>) -> Result<u64, Fault> {
    if !matches!(body, Body::Intent { .. }) {
        return Err(Fault::internal("only an intent can be appended before a call"));
    }
    match right {
        Right::Operation(claim) => {
            operation::require(tx, claim)?;
            let (_, desired) = sandbox::status(tx.conn, &claim.sandbox)?;
            match (claim.kind, desired) {
                (OperationKind::Create, Desired::Absent) => return Err(StoreError::Unwanted.into()),
                (OperationKind::Create, Desired::Present) | (OperationKind::Destroy, _) => {}
            }
            if let Some(intent) = intent {
                resource::intend(tx, claim, intent)?;
            }
        }
        Right::Access(id) => {
            if let Some(state) = inaccessible(tx, id)? {
                return Err(StoreError::NotReady(state).into());
            }
            if intent.is_some() {
                return Err(Fault::internal("a consumer's access makes and removes no resource"));
            }
        }
    }
    append(tx, right.sandbox(), body)
}

/// Appends a denial.
pub(crate) fn deny(tx: &Tx<'_>, sandbox: &SandboxId, body: &Body) -> Result<u64, Fault> {
    if !matches!(body, Body::Denied { .. }) {
        return Err(Fault::internal("only a denial can be appended for a call that was denied"));
    }
    append(tx, sandbox, body)
}

/// Appends an outcome. What happened is written down whoever holds the lease by now; only the resource waits for a right
/// that still holds. The inner result is for the caller, and does not undo the entry.
///
/// A create that is no longer wanted may still record what it made: teardown needs to know.
pub(crate) fn outcome(
    tx: &Tx<'_>,
    right: &Right,
    body: &Body,
    change: Option<&(ResourceRef, ResourceState)>,
) -> Result<Result<(), StoreError>, Fault> {
    if !matches!(body, Body::Outcome { .. }) {
        return Err(Fault::internal("only an outcome can be appended after a call"));
    }
    append(tx, right.sandbox(), body)?;
    match right {
        Right::Operation(claim) => match operation::require(tx, claim) {
            Ok(()) => {}
            Err(Fault::Refused(error)) => return Ok(Err(error)),
            Err(other) => return Err(other),
        },
        Right::Access(_) => {
            if change.is_some() {
                return Err(Fault::internal("a consumer's access makes and removes no resource"));
            }
            return Ok(Ok(()));
        }
    }
    if let (Right::Operation(claim), Some((reference, state))) = (right, change) {
        resource::mark(tx, claim, reference, *state, &format!("{reference} is {state}"))?;
    }
    Ok(Ok(()))
}

/// A sandbox's chain.
pub(crate) fn entries(conn: &Connection, sandbox: &SandboxId) -> Result<Vec<Entry>, Fault> {
    let columns = row::ENTRY;
    let entries = conn
        .prepare_cached(&format!("SELECT {columns} FROM ledger WHERE sandbox = ?1 ORDER BY sequence"))?
        .query_map([sandbox.as_str()], row::entry)?
        .collect::<Result<_, _>>()?;
    Ok(entries)
}

/// A chain's signed head.
pub(crate) fn head(conn: &Connection, sandbox: &SandboxId) -> Result<Option<Head>, Fault> {
    let columns = row::HEAD;
    let head = conn
        .prepare_cached(&format!("SELECT {columns} FROM ledger_head WHERE sandbox = ?1"))?
        .query_row([sandbox.as_str()], row::head)
        .optional()?;
    Ok(head)
}

/// The state that keeps a consumer out, if one does. A sandbox that is ready and on its way out is called by where it
/// goes.
fn inaccessible(tx: &Tx<'_>, id: &SandboxId) -> Result<Option<State>, Fault> {
    Ok(match sandbox::status(tx.conn, id)? {
        (State::Ready, Desired::Present) => None,
        (State::Ready, Desired::Absent) => Some(State::Destroying),
        (state, Desired::Present | Desired::Absent) => Some(state),
    })
}

/// Where the chain goes on.
fn next(tx: &Tx<'_>, sandbox: &SandboxId, body: &Body) -> Result<(u64, Digest), Fault> {
    let opens = matches!(body, Body::Opened { .. });
    let head: Option<(u64, Digest, bool)> = tx
        .conn
        .prepare_cached("SELECT sequence, hash, closed FROM ledger_head WHERE sandbox = ?1")?
        .query_row([sandbox.as_str()], |row| Ok((row::count(row, 0)?, row::parsed(row, 1)?, row.get(2)?)))
        .optional()?;
    match head {
        None if opens => Ok((0, Digest::new([0; 32]))),
        None => {
            sandbox::status(tx.conn, sandbox)?;
            Err(Fault::Damaged(format!("sandbox {sandbox} has no chain")))
        }
        Some((_, _, true)) => Err(Fault::internal(format!("the ledger of sandbox {sandbox} is closed"))),
        Some(_) if opens => Err(Fault::internal(format!("the ledger of sandbox {sandbox} is open already"))),
        Some((sequence, hash, false)) => Ok((sequence.saturating_add(1), hash)),
    }
}
