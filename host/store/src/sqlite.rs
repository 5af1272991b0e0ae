//! The store port over one SQLite file.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::Connection;
use sandboxer_model::{
    event::Event,
    id::{InstallationId, ResourceRef, SandboxId},
    ledger::{Body, Entry, Head},
    ports::{
        milestones::Milestones,
        seal::Sealer,
        store::{Begun, Ending, Filter, NewSandbox, OpenOperation, ResourceIntent, Right, Store, StoreError, Worker},
    },
    sandbox::{Actor, Claim, OperationKind, Resource, ResourceState, Sandbox, State},
};

use crate::{
    check,
    connection::{self, Purpose},
    creation, event,
    fault::{Fault, shown, translate},
    header,
    lane::{Context, Lane, Read, Write},
    ledger, migration, note, operation, place,
    registry::Registration,
    resource, row, sandbox,
    transaction::Tx,
};

/// Durable state in one SQLite file on a local disk, for any number of processes at once.
///
/// Dropping it waits until what is queued is written and the file is closed. A future that is dropped does not stop the
/// transaction that it asked for.
pub struct SqliteStore {
    // Dropped in this order: the threads with their connections first, then the mark that the file is open.
    writer: Lane<Write>,
    reader: Lane<Read>,
    context: Arc<Context>,
    installation: InstallationId,
    _registration: Registration,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.context.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store at `path`; makes it (0600), and its directory (0700), when it is not there.
    ///
    /// `sealer` seals what is appended to the ledger; its public key must be the one that the store was made with.
    /// `milestones` is told right before and after every commit: `store.commit METHOD before`, `… after`.
    ///
    /// Blocks for as long as the disk needs, usually under a millisecond; up to ten seconds when another process makes
    /// the same store.
    ///
    /// # Errors
    /// - [`StoreError::Foreign`]: another program's file, a newer version's, or another installation's. It is not
    ///   touched.
    /// - [`StoreError::Corrupt`]: a damaged file, or one whose log is there without it.
    /// - [`StoreError::Full`]: no space to make it, or for its log and index.
    /// - [`StoreError::Unavailable`]: not readable and writable, or on a network file system.
    pub fn open(path: &Path, sealer: Arc<dyn Sealer>, milestones: Arc<dyn Milestones>) -> Result<Self, StoreError> {
        let (path, directory) = place::prepare(path)?;
        if !creation::exists(&path)? {
            creation::make(&path, &directory, &*sealer, &*milestones)?;
        }
        let registration = Registration::check(&path)?;
        let conn = connected(&path)?;
        let installation = identify(&conn, &path, &*sealer)?;
        let context = Arc::new(Context { path, file: registration.file(), sealer, milestones });
        Ok(Self {
            writer: Lane::writer(Arc::clone(&context)),
            reader: Lane::reader(Arc::clone(&context), conn),
            context,
            installation,
            _registration: registration,
        })
    }

    async fn write<T: Send + 'static>(
        &self,
        method: &'static str,
        work: impl FnMut(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(method, work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.run(&self.context, work).await
    }
}

/// A reading connection to a file whose schema is the newest.
fn connected(path: &Path) -> Result<Connection, StoreError> {
    let conn = connection::open(path, Purpose::Read)?;
    // The header said so already; but a newer version's change may still be in the log.
    let version = migration::version(&conn).map_err(|error| translate(&error, path))?;
    header::judge_version(version).map_err(|why| StoreError::Foreign { path: shown(path), why })?;
    if version < migration::newest() {
        let mut writing = connection::open(path, Purpose::Write)?;
        migration::migrate(&mut writing, |_| Ok(())).map_err(|fault| fault.at(path))?;
    }
    Ok(conn)
}

/// Whose store it is. Nothing is written before this.
fn identify(conn: &Connection, path: &Path, sealer: &dyn Sealer) -> Result<InstallationId, StoreError> {
    let (installation, key): (InstallationId, String) = conn
        .query_row("SELECT installation, public_key FROM meta", (), |row| Ok((row::parsed(row, 0)?, row.get(1)?)))
        .map_err(|error| translate(&error, path))
        .map_err(|error| {
            if let StoreError::Internal(why) = error {
                // No such table, no such row: the file says that it is ours, and is not what we made.
                StoreError::Corrupt { path: shown(path), why }
            } else {
                error
            }
        })?;
    if key == sealer.public_key() {
        Ok(installation)
    } else {
        Err(StoreError::Foreign {
            path: shown(path),
            why: format!(
                "it belongs to installation {installation}, whose key is another one than this installation's"
            ),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn installation(&self) -> Result<InstallationId, StoreError> {
        Ok(self.installation.clone())
    }

    async fn open(&self, new: NewSandbox, opened: Body, worker: &Worker) -> Result<(Sandbox, Claim), StoreError> {
        let worker = worker.clone();
        self.write("open", move |tx| sandbox::open(tx, &new, &opened, &worker)).await
    }

    async fn begin(
        &self,
        sandbox: &SandboxId,
        kind: OperationKind,
        actor: Actor,
        reason: &str,
        worker: &Worker,
    ) -> Result<Begun, StoreError> {
        let (sandbox, reason, worker) = (sandbox.clone(), reason.to_owned(), worker.clone());
        self.write("begin", move |tx| operation::begin(tx, &sandbox, kind, actor, &reason, &worker)).await
    }

    async fn expire_lease(&self, operation: u64, owner: &str) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write("expire_lease", move |tx| operation::expire(tx, operation, &owner)).await
    }

    async fn renew(&self, claim: &Claim, worker: &Worker) -> Result<Claim, StoreError> {
        let (claim, worker) = (claim.clone(), worker.clone());
        self.write("renew", move |tx| operation::renew(tx, &claim, &worker)).await
    }

    async fn transition(&self, claim: &Claim, to: State, reason: &str) -> Result<Sandbox, StoreError> {
        let (claim, reason) = (claim.clone(), reason.to_owned());
        self.write("transition", move |tx| operation::transition(tx, &claim, to, &reason)).await
    }

    async fn progress(&self, claim: &Claim, text: &str) -> Result<(), StoreError> {
        let (claim, text) = (claim.clone(), text.to_owned());
        self.write("progress", move |tx| operation::progress(tx, &claim, &text)).await
    }

    async fn finish(&self, claim: &Claim, ending: Ending) -> Result<Sandbox, StoreError> {
        let claim = claim.clone();
        self.write("finish", move |tx| operation::finish(tx, &claim, &ending)).await
    }

    async fn intend(&self, right: &Right, body: Body, resource: Option<ResourceIntent>) -> Result<u64, StoreError> {
        let right = right.clone();
        self.write("intend", move |tx| ledger::intend(tx, &right, &body, resource.as_ref())).await
    }

    async fn deny(&self, sandbox: &SandboxId, body: Body) -> Result<u64, StoreError> {
        let sandbox = sandbox.clone();
        self.write("deny", move |tx| ledger::deny(tx, &sandbox, &body)).await
    }

    async fn outcome(
        &self,
        right: &Right,
        body: Body,
        resource: Option<(ResourceRef, ResourceState)>,
    ) -> Result<(), StoreError> {
        let right = right.clone();
        self.write("outcome", move |tx| ledger::outcome(tx, &right, &body, resource.as_ref())).await?
    }

    async fn mark(
        &self,
        claim: &Claim,
        resource: &ResourceRef,
        state: ResourceState,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (claim, resource, reason) = (claim.clone(), resource.clone(), reason.to_owned());
        self.write("mark", move |tx| {
            operation::require(tx, &claim)?;
            resource::mark(tx, &claim, &resource, state, &reason)
        })
        .await
    }

    async fn note(&self, sandbox: &SandboxId, key: &str) -> Result<Option<String>, StoreError> {
        let (sandbox, key) = (sandbox.clone(), key.to_owned());
        self.read(move |conn| note::get(conn, &sandbox, &key)).await
    }

    async fn set_note(&self, claim: &Claim, key: &str, value: &str) -> Result<(), StoreError> {
        let (claim, key, value) = (claim.clone(), key.to_owned(), value.to_owned());
        self.write("set_note", move |tx| note::set(tx, &claim, &key, &value)).await
    }

    async fn sandbox(&self, id: &SandboxId) -> Result<Option<Sandbox>, StoreError> {
        let id = id.clone();
        self.read(move |conn| sandbox::get(conn, &id)).await
    }

    async fn find(&self, text: &str) -> Result<Vec<Sandbox>, StoreError> {
        let text = text.to_owned();
        self.read(move |conn| sandbox::find(conn, &text)).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Sandbox>, StoreError> {
        let filter = filter.clone();
        self.read(move |conn| sandbox::list(conn, &filter)).await
    }

    async fn open_operation(&self, sandbox: &SandboxId) -> Result<Option<OpenOperation>, StoreError> {
        let sandbox = sandbox.clone();
        self.read(move |conn| operation::open(conn, &sandbox)).await
    }

    async fn resources(&self, sandbox: &SandboxId) -> Result<Vec<Resource>, StoreError> {
        let sandbox = sandbox.clone();
        self.read(move |conn| resource::of(conn, &sandbox)).await
    }

    async fn events(&self, sandbox: Option<&SandboxId>, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let sandbox = sandbox.cloned();
        self.read(move |conn| event::after(conn, sandbox.as_ref(), after, limit)).await
    }

    async fn ledger(&self, sandbox: &SandboxId) -> Result<Vec<Entry>, StoreError> {
        let sandbox = sandbox.clone();
        self.read(move |conn| ledger::entries(conn, &sandbox)).await
    }

    async fn head(&self, sandbox: &SandboxId) -> Result<Option<Head>, StoreError> {
        let sandbox = sandbox.clone();
        self.read(move |conn| ledger::head(conn, &sandbox)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.read(check::everything).await
    }
}
