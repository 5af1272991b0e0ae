//! Connections: how they are opened and which promises they make.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use sandboxer_model::ports::store::StoreError;

use crate::fault::{translate, unavailable};

/// How long a transaction waits for the others before the store counts as unavailable.
const BUSY: Duration = Duration::from_secs(10);

/// The longest pause between two tries at the lock.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// SQLite before 3.51.3 can damage a log that is reset while another process reads it.
const OLDEST_SQLITE: i32 = 3_051_003;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To build a new file.
    Build,
    /// To write.
    Write,
    /// Only to read.
    Read,
}

/// Opens the file at `path`.
///
/// # Errors
/// Those of SQLite, as the port's.
pub(crate) fn open(path: &Path, purpose: Purpose) -> Result<Connection, StoreError> {
    let version = rusqlite::version_number();
    if version < OLDEST_SQLITE {
        return Err(StoreError::Internal(format!("SQLite {} is too old: 3.51.3 is the least", rusqlite::version())));
    }
    let conn = configured(path, purpose).map_err(|error| translate(&error, path))?;
    // SQLite opens a file that it may not write for reading, without a word.
    if conn.is_readonly("main").map_err(|error| translate(&error, path))? {
        return Err(unavailable(path, "opening it", "it is read-only"));
    }
    match purpose {
        Purpose::Build | Purpose::Write => log_ahead(&conn, path)?,
        Purpose::Read => {}
    }
    Ok(conn)
}

fn configured(path: &Path, purpose: Purpose) -> rusqlite::Result<Connection> {
    let create = match purpose {
        Purpose::Build => OpenFlags::SQLITE_OPEN_CREATE,
        Purpose::Write | Purpose::Read => OpenFlags::empty(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_handler(Some(patience(BUSY)))?;
    conn.set_prepared_statement_cache_capacity(64);
    // Nobody edits the schema by hand, and what is in it is not trusted to call functions.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;")?;
    match purpose {
        Purpose::Build | Purpose::Write => {
            conn.execute_batch("PRAGMA journal_size_limit = 8388608;")?;
        }
        Purpose::Read => conn.execute_batch("PRAGMA query_only = ON;")?,
    }
    Ok(conn)
}

/// Makes sure of the write-ahead log. Where a file system cannot share memory, SQLite keeps the old mode and only says
/// so in its answer.
fn log_ahead(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let mode: String =
        conn.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)).map_err(|error| translate(&error, path))?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(unavailable(path, "opening its log", format!("the file system only allows the mode `{mode}`")))
    }
}

/// Waits with short, uneven pauses. SQLite's own handler grows its pauses to 100 ms, so that under steady load from
/// several processes the one that has waited longest asks most rarely.
fn patience(limit: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    let mut seed = u64::from(std::process::id()) ^ 0x9e37_79b9_7f4a_7c15;
    move |tries| {
        if tries == 0 {
            since = Instant::now();
        }
        if since.elapsed() >= limit {
            return false;
        }
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let longest =
            Duration::from_micros(200).saturating_mul(1 << tries.clamp(0, 6).unsigned_abs()).min(LONGEST_PAUSE);
        let part = u32::try_from(seed >> 33).unwrap_or(0) % 1000;
        thread::sleep(longest / 2 + longest / 2 * part / 1000);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sqlite_is_new_enough() {
        assert!(rusqlite::version_number() >= OLDEST_SQLITE, "{}", rusqlite::version());
    }

    #[test]
    fn a_connection_keeps_its_promises() {
        let root = tempfile::tempdir().unwrap();
        let conn = open(&root.path().join("x.db"), Purpose::Build).unwrap();
        let pragma = |name: &str| conn.query_row(&format!("PRAGMA {name}"), (), |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("foreign_keys"), 1);
        assert_eq!(pragma("trusted_schema"), 0);
        let mode: String = conn.query_row("PRAGMA journal_mode", (), |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn patience_ends_at_its_limit() {
        let start = Instant::now();
        let mut wait = patience(Duration::from_millis(50));
        let mut tries = 0;
        while wait(tries) {
            tries += 1;
        }
        let waited = start.elapsed();
        assert!(tries >= 5, "{tries}");
        assert!((Duration::from_millis(50)..Duration::from_millis(500)).contains(&waited), "{waited:?}");
    }
}
