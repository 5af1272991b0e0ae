//! The story of a sandbox, told in the transaction in which it happens.

use rusqlite::Connection;
use sandboxer_model::{
    event::{Event, EventKind},
    id::SandboxId,
    sandbox::Actor,
};

use crate::{fault::Fault, row, transaction::Tx};

/// Tells what just happened to a sandbox; its version and state are those that it has by now.
pub(crate) fn tell(tx: &Tx<'_>, sandbox: &SandboxId, kind: EventKind, reason: &str, actor: Actor) -> Result<(), Fault> {
    let told = tx
        .conn
        .prepare_cached(
            "INSERT INTO event (sandbox, version, at, kind, state, reason, actor)
             SELECT id, version, ?2, ?3, state, ?4, ?5 FROM sandbox WHERE id = ?1",
        )?
        .execute((sandbox.as_str(), tx.now, kind.as_str(), reason, actor.as_str()))?;
    if told == 1 { Ok(()) } else { Err(Fault::internal(format!("an event of an unknown sandbox {sandbox}"))) }
}

/// Events after a sequence, in order.
pub(crate) fn after(
    conn: &Connection,
    sandbox: Option<&SandboxId>,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>, Fault> {
    let columns = row::EVENT;
    let after = row::number(after);
    let events = match sandbox {
        Some(sandbox) => conn
            .prepare_cached(&format!(
                "SELECT {columns} FROM event WHERE sandbox = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
            ))?
            .query_map((sandbox.as_str(), after, limit), row::event)?
            .collect::<Result<_, _>>()?,
        None => conn
            .prepare_cached(&format!("SELECT {columns} FROM event WHERE sequence > ?1 ORDER BY sequence LIMIT ?2"))?
            .query_map((after, limit), row::event)?
            .collect::<Result<_, _>>()?,
    };
    Ok(events)
}
