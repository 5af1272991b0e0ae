//! What a unit of work gets: the open transaction, the sealer, and the moment by the database's clock.

use jiff::Timestamp;
use rusqlite::Connection;
use sandboxer_model::ports::seal::Sealer;

use crate::fault::Fault;

/// An open write transaction.
pub(crate) struct Tx<'a> {
    /// The connection that it is open on.
    pub(crate) conn: &'a Connection,
    /// Seals ledger entries.
    pub(crate) sealer: &'a dyn Sealer,
    /// The moment in microseconds, by the database's clock; taken once the lock is held, so waiting does not age it.
    pub(crate) now: i64,
}

impl<'a> Tx<'a> {
    /// The transaction that is open on `conn`.
    pub(crate) fn new(conn: &'a Connection, sealer: &'a dyn Sealer) -> Result<Self, Fault> {
        Ok(Self { conn, sealer, now: now(conn)? })
    }

    /// The moment.
    pub(crate) fn at(&self) -> Result<Timestamp, Fault> {
        moment(self.now)
    }
}

/// Microseconds as a moment; the clock may be set to what the calendar does not reach.
pub(crate) fn moment(micros: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_microsecond(micros).map_err(|error| Fault::internal(format!("the clock is out of range: {error}")))
}

/// Microseconds since the epoch by SQLite's clock, which is this machine's; SQLite counts in milliseconds.
pub(crate) fn now(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000")?
        .query_row((), |row| row.get(0))
}
