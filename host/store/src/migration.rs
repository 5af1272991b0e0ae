//! The schema, as numbered steps. All that a file lacks are applied in one transaction; numbers are never reused.

use rusqlite::{Connection, TransactionBehavior};

use crate::{fault::Fault, header::APPLICATION_ID};

/// Step `n` is at `n - 1`, and leads to `user_version = n`.
const STEPS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// The version that this program knows.
pub(crate) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Brings the schema to the newest version; `also` does what else belongs into the same transaction.
pub(crate) fn migrate(conn: &mut Connection, also: impl FnOnce(&Connection) -> Result<(), Fault>) -> Result<(), Fault> {
    apply(conn, STEPS, also)
}

/// The version that the file has.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA user_version")?.query_row((), |row| row.get(0))
}

fn apply(
    conn: &mut Connection,
    steps: &[&str],
    also: impl FnOnce(&Connection) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read inside the transaction: another process may have been quicker.
    let from = usize::try_from(version(&tx)?).map_err(|_| Fault::Damaged("its version is negative".to_owned()))?;
    for (index, sql) in steps.iter().enumerate().skip(from) {
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", i64::try_from(index.saturating_add(1)).unwrap_or(i64::MAX))?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    also(&tx)?;
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);";
    const TWO: &str = "ALTER TABLE a ADD COLUMN y TEXT; UPDATE a SET y = 'two';";

    #[test]
    fn only_the_missing_steps_are_applied_and_what_was_there_stays() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, &[ONE], |_| Ok(())).unwrap();
        assert_eq!(version(&conn).unwrap(), 1);
        apply(&mut conn, &[ONE, TWO], |_| Ok(())).unwrap();
        apply(&mut conn, &[ONE, TWO], |_| Ok(())).unwrap();
        assert_eq!(version(&conn).unwrap(), 2);
        let rows: Vec<(i64, String)> = conn
            .prepare("SELECT x, y FROM a")
            .unwrap()
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows, [(1, "two".to_owned())]);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_of_the_others() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, &[ONE, "CREATE TABLE b (x INTEGER) STRICT; nonsense;"], |_| Ok(())).unwrap_err();
        assert_eq!(version(&conn).unwrap(), 0);
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).unwrap();
        assert_eq!(tables, 0);
    }

    #[test]
    fn the_first_schema_is_strict_throughout() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, |_| Ok(())).unwrap();
        let loose: Vec<String> = conn
            .prepare(
                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict AND name NOT LIKE 'sqlite%'",
            )
            .unwrap()
            .query_map((), |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(loose, Vec::<String>::new());
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict", (), |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 8);
    }
}
