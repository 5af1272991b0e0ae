//! Resources: the rows that make sure that nothing is ever lost out there. They are written before the call that may
//! make what they name, and never deleted.

use rusqlite::{Connection, OptionalExtension};
use sandboxer_model::{
    event::EventKind,
    id::{ResourceRef, SandboxId},
    ports::store::ResourceIntent,
    sandbox::{Claim, Resource, ResourceState},
};

use crate::{event, fault::Fault, row, transaction::Tx};

/// Writes what is about to be made or removed. Asking again for the same reference finds the row that is there.
pub(crate) fn intend(tx: &Tx<'_>, claim: &Claim, intent: &ResourceIntent) -> Result<(), Fault> {
    match intent.state {
        ResourceState::Intent | ResourceState::Deleting => {}
        ResourceState::Live | ResourceState::Gone | ResourceState::Quarantined => {
            return Err(Fault::internal(format!("a resource cannot be intended to be {}", intent.state)));
        }
    }
    let reference = &intent.reference;
    let Some(found) = find(tx.conn, reference)? else {
        tx.conn
            .prepare_cached(
                "INSERT INTO resource (ref, sandbox, slot, host, identity, state, fence, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
            )?
            .execute((
                reference.as_str(),
                claim.sandbox.as_str(),
                intent.slot.as_str(),
                intent.host.as_str(),
                intent.identity.as_str(),
                intent.state.as_str(),
                row::number(claim.fence),
                tx.now,
            ))?;
        let told = format!("{reference} is {}", intent.state);
        return event::tell(tx, &claim.sandbox, EventKind::Resource, &told, claim.actor);
    };
    if (&found.sandbox, &found.slot, &found.host) != (&claim.sandbox, &intent.slot, &intent.host) {
        return Err(Fault::internal(format!("the resource {reference} is in another place already")));
    }
    set(tx, claim, &found, intent.state, &format!("{reference} is {}", intent.state))
}

/// Moves a resource of the claim's sandbox to another state.
pub(crate) fn mark(
    tx: &Tx<'_>,
    claim: &Claim,
    reference: &ResourceRef,
    state: ResourceState,
    reason: &str,
) -> Result<(), Fault> {
    match find(tx.conn, reference)? {
        Some(found) if found.sandbox == claim.sandbox => set(tx, claim, &found, state, reason),
        Some(_) | None => Err(Fault::internal(format!("sandbox {} has no resource {reference}", claim.sandbox))),
    }
}

/// A sandbox's resources, in the order in which they were intended.
pub(crate) fn of(conn: &Connection, sandbox: &SandboxId) -> Result<Vec<Resource>, Fault> {
    let columns = row::RESOURCE;
    let resources = conn
        .prepare_cached(&format!("SELECT {columns} FROM resource WHERE sandbox = ?1 ORDER BY row"))?
        .query_map([sandbox.as_str()], row::resource)?
        .collect::<Result<_, _>>()?;
    Ok(resources)
}

fn find(conn: &Connection, reference: &ResourceRef) -> Result<Option<Resource>, Fault> {
    let columns = row::RESOURCE;
    let found = conn
        .prepare_cached(&format!("SELECT {columns} FROM resource WHERE ref = ?1"))?
        .query_row([reference.as_str()], row::resource)
        .optional()?;
    Ok(found)
}

/// The event tells of a change; the fence and the moment are written in any case.
fn set(tx: &Tx<'_>, claim: &Claim, found: &Resource, state: ResourceState, reason: &str) -> Result<(), Fault> {
    tx.conn.prepare_cached("UPDATE resource SET state = ?2, fence = ?3, updated_at = ?4 WHERE ref = ?1")?.execute((
        found.reference.as_str(),
        state.as_str(),
        row::number(claim.fence),
        tx.now,
    ))?;
    if found.state == state {
        return Ok(());
    }
    event::tell(tx, &claim.sandbox, EventKind::Resource, reason, claim.actor)
}
