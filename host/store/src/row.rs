//! Rows as the model's records, and the model's values as columns. What does not parse was not written by us, and is
//! reported as damage.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Row, types::Type};
use sandboxer_model::{
    event::{Event, EventKind},
    id::ResourceRef,
    ledger::{Entry, Head},
    sandbox::{Resource, Sandbox},
};
use serde::de::DeserializeOwned;

/// The columns that [`sandbox`] reads.
pub(crate) const SANDBOX: &str = "id, name, project, actor, labels, plan, desired, state, version, reason, facts, \
                                  created_at, updated_at, ready_at";

/// The columns that [`resource`] reads.
pub(crate) const RESOURCE: &str = "ref, sandbox, slot, host, identity, state, updated_at";

/// The columns that [`event`] reads.
pub(crate) const EVENT: &str = "sequence, sandbox, version, at, kind, state, reason, actor";

/// The columns that [`entry`] reads.
pub(crate) const ENTRY: &str = "sandbox, sequence, at, previous, body, hash";

/// The columns that [`head`] reads.
pub(crate) const HEAD: &str = "sandbox, sequence, hash, signature";

/// A sandbox.
pub(crate) fn sandbox(row: &Row<'_>) -> rusqlite::Result<Sandbox> {
    Ok(Sandbox {
        id: parsed(row, 0)?,
        name: row.get::<_, Option<String>>(1)?.map(|text| text.parse().map_err(|e| unreadable(1, e))).transpose()?,
        project: parsed(row, 2)?,
        actor: parsed(row, 3)?,
        labels: json(row, 4)?,
        plan: json(row, 5)?,
        desired: parsed(row, 6)?,
        state: parsed(row, 7)?,
        version: count(row, 8)?,
        reason: row.get(9)?,
        facts: json(row, 10)?,
        created_at: moment(row, 11)?,
        updated_at: moment(row, 12)?,
        ready_at: row.get::<_, Option<i64>>(13)?.map(|at| timestamp(13, at)).transpose()?,
    })
}

/// A resource.
pub(crate) fn resource(row: &Row<'_>) -> rusqlite::Result<Resource> {
    Ok(Resource {
        reference: ResourceRef::stored(row.get(0)?),
        sandbox: parsed(row, 1)?,
        slot: parsed(row, 2)?,
        host: parsed(row, 3)?,
        identity: parsed(row, 4)?,
        state: parsed(row, 5)?,
        updated_at: moment(row, 6)?,
    })
}

/// An event.
pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind: String = row.get(4)?;
    Ok(Event {
        sequence: count(row, 0)?,
        sandbox: parsed(row, 1)?,
        version: count(row, 2)?,
        at: moment(row, 3)?,
        kind: EventKind::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| unreadable(4, UnknownWord(kind)))?,
        state: parsed(row, 5)?,
        reason: row.get(6)?,
        actor: parsed(row, 7)?,
    })
}

/// An entry of the ledger.
pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        sandbox: parsed(row, 0)?,
        sequence: count(row, 1)?,
        at: moment(row, 2)?,
        previous: parsed(row, 3)?,
        body: row.get(4)?,
        hash: parsed(row, 5)?,
    })
}

/// The head of a chain.
pub(crate) fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { sandbox: parsed(row, 0)?, sequence: count(row, 1)?, hash: parsed(row, 2)?, signature: row.get(3)? })
}

/// A value of one of the model's textual types.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

/// A number that is never negative.
pub(crate) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A moment.
pub(crate) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    timestamp(column, row.get(column)?)
}

/// The JSON text of a value that always has one.
pub(crate) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A number as SQLite keeps it: our counters never come near its bound.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| unreadable(column, error))
}

fn timestamp(column: usize, micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a kind of event")]
struct UnknownWord(String);
