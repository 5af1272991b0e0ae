//! Sandboxes: opened once, changed with a new version each time, never deleted.

use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};
use sandboxer_model::{
    call::Fact,
    event::EventKind,
    id::{SandboxId, SandboxName},
    ledger::Body,
    ports::store::{Filter, NewSandbox, StoreError, Worker},
    sandbox::{Claim, Desired, OperationKind, Sandbox, State},
};

use crate::{
    event,
    fault::Fault,
    ledger, operation,
    row::{self, to_json},
    transaction::Tx,
};

/// How many [`find`] answers at most.
const MOST_FOUND: u32 = 8;

/// Opens a sandbox: its row, its create operation, its first event, its chain.
pub(crate) fn open(tx: &Tx<'_>, new: &NewSandbox, opened: &Body, worker: &Worker) -> Result<(Sandbox, Claim), Fault> {
    if !matches!(opened, Body::Opened { .. }) {
        return Err(Fault::internal("only `opened` begins a chain"));
    }
    if let Some(name) = &new.name {
        refuse_taken(tx, new, name)?;
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO sandbox (id, name, project, actor, labels, plan, profile, host, component, grants, desired,
                 state, version, reason, facts, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 1, ?13, '[]', ?14, ?14)",
        )?
        .execute((
            new.id.as_str(),
            new.name.as_ref().map(SandboxName::as_str),
            new.project.as_str(),
            new.actor.as_str(),
            to_json(&new.labels)?,
            to_json(&new.plan)?,
            new.plan.profile.as_str(),
            new.plan.host.as_str(),
            new.plan.component.to_string(),
            new.plan.grants_digest.to_string(),
            Desired::Present.as_str(),
            State::Requested.as_str(),
            &new.reason,
            tx.now,
        ))?;
    let claim = operation::insert(tx, &new.id, OperationKind::Create, new.actor, &new.reason, worker)?;
    event::tell(tx, &new.id, EventKind::State, &new.reason, new.actor)?;
    ledger::append(tx, &new.id, opened)?;
    Ok((expect(tx.conn, &new.id)?, claim))
}

/// What a sandbox shall be from now on.
pub(crate) struct Change<'a> {
    /// The state.
    pub(crate) state: State,
    /// Why.
    pub(crate) reason: &'a str,
    /// What the adapter found out; nothing leaves what is there.
    pub(crate) facts: Option<&'a [Fact]>,
}

/// Moves the sandbox of a claim that holds to another state, with an event of this kind.
pub(crate) fn change(tx: &Tx<'_>, claim: &Claim, kind: EventKind, change: &Change<'_>) -> Result<Sandbox, Fault> {
    let facts = change.facts.map(to_json).transpose()?;
    tx.conn
        .prepare_cached(
            "UPDATE sandbox SET state = ?2, reason = ?3, facts = coalesce(?4, facts), version = version + 1,
                 updated_at = ?5, ready_at = CASE WHEN ?2 = 'ready' THEN coalesce(ready_at, ?5) ELSE ready_at END
             WHERE id = ?1",
        )?
        .execute((claim.sandbox.as_str(), change.state.as_str(), change.reason, facts, tx.now))?;
    event::tell(tx, &claim.sandbox, kind, change.reason, claim.actor)?;
    expect(tx.conn, &claim.sandbox)
}

/// Sets what is wanted to `absent`; answers whether that is new.
pub(crate) fn unwant(tx: &Tx<'_>, id: &SandboxId) -> Result<bool, Fault> {
    let changed = tx
        .conn
        .prepare_cached(
            "UPDATE sandbox SET desired = 'absent', version = version + 1, updated_at = ?2
             WHERE id = ?1 AND desired = 'present'",
        )?
        .execute((id.as_str(), tx.now))?;
    Ok(changed > 0)
}

/// What is true of a sandbox, and what shall be.
pub(crate) fn status(conn: &Connection, id: &SandboxId) -> Result<(State, Desired), Fault> {
    conn.prepare_cached("SELECT state, desired FROM sandbox WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row::parsed(row, 0)?, row::parsed(row, 1)?)))
        .optional()?
        .ok_or_else(|| StoreError::NoSandbox(id.clone()).into())
}

/// One sandbox.
pub(crate) fn get(conn: &Connection, id: &SandboxId) -> Result<Option<Sandbox>, Fault> {
    let columns = row::SANDBOX;
    let found = conn
        .prepare_cached(&format!("SELECT {columns} FROM sandbox WHERE id = ?1"))?
        .query_row([id.as_str()], row::sandbox)
        .optional()?;
    Ok(found)
}

/// Those whose id begins with `text`, and those that are named so.
///
/// The prefix is a range and not a pattern: `{` follows `z` in ASCII, so exactly the ids that begin with `text` lie
/// between it and `text{`, whatever characters it holds.
pub(crate) fn find(conn: &Connection, text: &str) -> Result<Vec<Sandbox>, Fault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let columns = row::SANDBOX;
    let found = conn
        .prepare_cached(&format!(
            "SELECT {columns} FROM sandbox WHERE (id >= ?1 AND id < ?1 || '{{') OR name = ?1
             ORDER BY state = 'destroyed', CASE ?1 WHEN id THEN 0 WHEN name THEN 1 ELSE 2 END, row DESC LIMIT ?2"
        ))?
        .query_map((text, MOST_FOUND), row::sandbox)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Those that pass a filter, newest first. States that are asked for by name are shown even when they are final.
pub(crate) fn list(conn: &Connection, filter: &Filter) -> Result<Vec<Sandbox>, Fault> {
    let mut conditions = vec!["1".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut equal = |column: &str, value: &str| {
        values.push(Box::new(value.to_owned()));
        conditions.push(format!("{column} = ?{}", values.len()));
    };
    if let Some(project) = &filter.project {
        equal("project", project.as_str());
    }
    if let Some(profile) = &filter.profile {
        equal("profile", profile.as_str());
    }
    if let Some(host) = &filter.host {
        equal("host", host.as_str());
    }
    if !filter.states.is_empty() {
        // The words are ours, so they can stand in the statement.
        let words: Vec<_> = filter.states.iter().map(|state| format!("'{state}'")).collect();
        conditions.push(format!("state IN ({})", words.join(", ")));
    } else if !filter.all {
        conditions.push("state <> 'destroyed'".to_owned());
    }
    for (key, value) in &filter.labels {
        values.push(Box::new(key.clone()));
        values.push(Box::new(value.clone()));
        conditions.push(format!(
            "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ?{} AND label.value = ?{})",
            values.len().saturating_sub(1),
            values.len()
        ));
    }
    if let Some(before) = &filter.before {
        status(conn, before)?;
        values.push(Box::new(before.as_str().to_owned()));
        conditions.push(format!("row < (SELECT row FROM sandbox WHERE id = ?{})", values.len()));
    }
    let (columns, conditions, limit) = (row::SANDBOX, conditions.join(" AND "), filter.limit);
    let listed = conn
        .prepare(&format!("SELECT {columns} FROM sandbox WHERE {conditions} ORDER BY row DESC LIMIT {limit}"))?
        .query_map(params_from_iter(values), row::sandbox)?
        .collect::<Result<_, _>>()?;
    Ok(listed)
}

fn expect(conn: &Connection, id: &SandboxId) -> Result<Sandbox, Fault> {
    get(conn, id)?.ok_or_else(|| StoreError::NoSandbox(id.clone()).into())
}

fn refuse_taken(tx: &Tx<'_>, new: &NewSandbox, name: &SandboxName) -> Result<(), Fault> {
    let holder: Option<SandboxId> = tx
        .conn
        .prepare_cached("SELECT id FROM sandbox WHERE project = ?1 AND name = ?2 AND state <> 'destroyed'")?
        .query_row((new.project.as_str(), name.as_str()), |row| row::parsed(row, 0))
        .optional()?;
    match holder {
        Some(holder) => Err(StoreError::NameTaken { name: name.clone(), holder }.into()),
        None => Ok(()),
    }
}
