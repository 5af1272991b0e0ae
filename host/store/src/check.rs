//! Reading the whole store for damage.

use rusqlite::Connection;

use crate::fault::Fault;

/// Checks the file's structure, its references and its chains. That the chains are signed rightly is not looked at:
/// this crate does not know how entries are hashed.
pub(crate) fn everything(conn: &Connection) -> Result<(), Fault> {
    let tx = conn.unchecked_transaction()?;
    let structure: String = tx.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    if structure != "ok" {
        return Err(Fault::Damaged(structure));
    }
    first(&tx, "SELECT format('a row of %s refers to no row of %s', \"table\", parent) FROM pragma_foreign_key_check")?;
    for chain in CHAINS {
        first(&tx, chain)?;
    }
    tx.finish()?;
    Ok(())
}

/// Each finds an entry that breaks a rule of its chain.
const CHAINS: &[&str] = &[
    "SELECT format('the ledger of sandbox %s does not begin at 0', sandbox) FROM ledger
     GROUP BY sandbox HAVING min(sequence) <> 0 OR max(sequence) + 1 <> count(*)",
    "SELECT format('entry %d of the ledger of sandbox %s does not follow the one before it', this.sequence, this.sandbox)
     FROM ledger AS this
     LEFT JOIN ledger AS last ON last.sandbox = this.sandbox AND last.sequence = this.sequence - 1
     WHERE this.sequence > 0 AND last.hash IS NOT this.previous",
    "SELECT format('the ledger of sandbox %s does not end at its head', sandbox.id) FROM sandbox
     LEFT JOIN ledger_head AS head ON head.sandbox = sandbox.id
     LEFT JOIN ledger AS last ON last.sandbox = head.sandbox AND last.sequence = head.sequence
     WHERE last.hash IS NULL OR last.hash <> head.hash
        OR EXISTS (SELECT 1 FROM ledger WHERE ledger.sandbox = sandbox.id AND ledger.sequence > head.sequence)",
];

/// The first answer of a query for damage, as damage.
fn first(conn: &Connection, query: &str) -> Result<(), Fault> {
    let mut statement = conn.prepare(query)?;
    let mut rows = statement.query(())?;
    match rows.next()? {
        Some(row) => Err(Fault::Damaged(row.get(0)?)),
        None => Ok(()),
    }
}
