//! What an adapter writes down for itself, within bounds.

use rusqlite::{Connection, OptionalExtension};
use sandboxer_model::{id::SandboxId, ports::store::StoreError, sandbox::Claim};

use crate::{fault::Fault, operation, transaction::Tx};

const MOST_NOTES: i64 = 64;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 4096;

/// Reads one.
pub(crate) fn get(conn: &Connection, sandbox: &SandboxId, key: &str) -> Result<Option<String>, Fault> {
    let value = conn
        .prepare_cached("SELECT value FROM note WHERE sandbox = ?1 AND key = ?2")?
        .query_row((sandbox.as_str(), key), |row| row.get(0))
        .optional()?;
    Ok(value)
}

/// Writes one.
pub(crate) fn set(tx: &Tx<'_>, claim: &Claim, key: &str, value: &str) -> Result<(), Fault> {
    operation::require(tx, claim)?;
    let refused = |why: String| Err(StoreError::NoteRefused(why).into());
    if key.is_empty() || key.len() > LONGEST_KEY {
        return refused(format!("its key has {} bytes, and 1 to {LONGEST_KEY} are allowed", key.len()));
    }
    if value.len() > LONGEST_VALUE {
        return refused(format!("its value has {} bytes, and up to {LONGEST_VALUE} are allowed", value.len()));
    }
    let others: i64 = tx
        .conn
        .prepare_cached("SELECT count(*) FROM note WHERE sandbox = ?1 AND key <> ?2")?
        .query_row((claim.sandbox.as_str(), key), |row| row.get(0))?;
    if others >= MOST_NOTES {
        return refused(format!("the sandbox has {MOST_NOTES} already, and no more are allowed"));
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO note (sandbox, key, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (sandbox, key) DO UPDATE SET value = excluded.value",
        )?
        .execute((claim.sandbox.as_str(), key, value))?;
    Ok(())
}
