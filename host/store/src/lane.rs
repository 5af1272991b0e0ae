//! The threads that own the connections: one writes, one reads.
//!
//! The writer takes all that has queued up while it was committing (up to a bound, so that other processes get their
//! turn) into one transaction, each unit of work inside a savepoint: one synchronous commit then serves all of them,
//! and one that fails takes nothing of the others with it. One transaction each would be simpler and costs every unit
//! its own wait for the disk, which on an ordinary one is milliseconds. When SQLite itself rolls the whole transaction
//! back (a full disk in the middle), every unit is tried again alone.
//!
//! Connections are used from threads, not from async tasks, so that no cancelled future leaves a transaction open: a
//! caller that goes away does not stop the work that it asked for.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use sandboxer_model::ports::{milestones::Milestones, seal::Sealer, store::StoreError};
use tokio::sync::oneshot;

use crate::{
    connection::{self, Purpose},
    fault::{Fault, shown, unavailable},
    header, migration,
    registry::FileId,
    transaction::Tx,
};

/// At most so many units of work in one transaction.
const BATCH: usize = 64;

/// What both threads know.
pub(crate) struct Context {
    /// The store.
    pub(crate) path: PathBuf,
    /// Which file that was when it was opened.
    pub(crate) file: FileId,
    /// Seals ledger entries.
    pub(crate) sealer: Arc<dyn Sealer>,
    /// Told of every commit.
    pub(crate) milestones: Arc<dyn Milestones>,
}

impl Context {
    /// Notices that the file was moved away or replaced under a program that runs on: what it writes would be lost.
    fn still_there(&self) -> Result<(), StoreError> {
        match FileId::of(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            Ok(_) => Err(unavailable(&self.path, "looking at it", "it was replaced while it was in use; start again")),
            Err(error) => Err(unavailable(&self.path, "looking at it", error)),
        }
    }
}

/// A thread with a connection and a queue, started by the first job: a process that only asks one question should not
/// pay for a thread that writes.
pub(crate) struct Lane<J> {
    stage: Mutex<Stage<J>>,
}

/// What a thread does with its queue.
type Work<J> = Box<dyn FnOnce(Receiver<J>) + Send>;

enum Stage<J> {
    Idle { name: &'static str, work: Work<J> },
    Running { queue: Sender<J>, thread: JoinHandle<()> },
    Ended,
}

/// A unit of work for the writer.
pub(crate) type Write = Box<dyn Unit>;

/// A unit of work for the reader; it is told when there is no store to read.
pub(crate) type Read = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

impl<J: Send + 'static> Lane<J> {
    fn idle(name: &'static str, work: impl FnOnce(Receiver<J>) + Send + 'static) -> Self {
        Self { stage: Mutex::new(Stage::Idle { name, work: Box::new(work) }) }
    }

    /// Queues a job. One that cannot be queued is dropped, and its caller learns that from its channel.
    fn queue(&self, job: J) -> Result<(), StoreError> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Idle { name, work } => {
                let (queue, jobs) = channel();
                let thread = std::thread::Builder::new()
                    .name(name.to_owned())
                    .spawn(move || work(jobs))
                    .map_err(|error| StoreError::Internal(format!("the thread {name} cannot be started: {error}")))?;
                Stage::Running { queue, thread }
            }
            going @ (Stage::Running { .. } | Stage::Ended) => going,
        };
        if let Stage::Running { queue, .. } = &*stage {
            let _ = queue.send(job);
        }
        Ok(())
    }
}

impl<J> Drop for Lane<J> {
    /// Waits until what is queued is done and the connection is closed.
    fn drop(&mut self) {
        let stage = self.stage.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Stage::Running { queue, thread } = std::mem::replace(stage, Stage::Ended) {
            drop(queue);
            let _ = thread.join();
        }
    }
}

impl Lane<Read> {
    /// The reader, on a connection that is open.
    pub(crate) fn reader(context: Arc<Context>, conn: Connection) -> Self {
        Self::idle("store-read", move |jobs| {
            for job in jobs {
                job(context.still_there().map(|()| &conn));
            }
        })
    }

    /// Reads in the lane.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        context: &Arc<Context>,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let context = Arc::clone(context);
        self.queue(Box::new(move |conn| {
            let result = conn.and_then(|conn| work(conn).map_err(|fault| fault.at(&context.path)));
            let _ = reply.send(result);
        }))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Internal("the reading thread has ended".to_owned())))
    }
}

impl Lane<Write> {
    /// The writer, which opens its connection with the first job.
    pub(crate) fn writer(context: Arc<Context>) -> Self {
        Self::idle("store-write", move |jobs| {
            let mut conn = None;
            while let Ok(first) = jobs.recv() {
                let mut batch = vec![first];
                while batch.len() < BATCH
                    && let Ok(next) = jobs.try_recv()
                {
                    batch.push(next);
                }
                match connected(&context, &mut conn) {
                    Ok(conn) => commit(&context, conn, batch),
                    Err(error) => refuse(&context.path, batch, &error),
                }
            }
        })
    }

    /// Writes in the lane. `work` may run more than once, each time in a transaction of which nothing is left over.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        method: &'static str,
        work: impl FnMut(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Box::new(Queued { method, work, done: None, reply }))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Internal("the writing thread has ended".to_owned())))
    }
}

/// A unit of work in the queue, whatever it answers.
pub(crate) trait Unit: Send {
    /// The port's method.
    fn method(&self) -> &'static str;
    /// Does it; answers whether it stands.
    fn work(&mut self, tx: &Tx<'_>) -> bool;
    /// Answers the caller: with what the work came to, or with why it was not committed.
    fn answer(self: Box<Self>, path: &Path, failure: Option<StoreError>);
}

struct Queued<T, F> {
    method: &'static str,
    work: F,
    done: Option<Result<T, Fault>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Tx<'_>) -> Result<T, Fault> + Send> Unit for Queued<T, F> {
    fn method(&self) -> &'static str {
        self.method
    }

    fn work(&mut self, tx: &Tx<'_>) -> bool {
        let done = (self.work)(tx);
        let stands = done.is_ok();
        self.done = Some(done);
        stands
    }

    fn answer(self: Box<Self>, path: &Path, failure: Option<StoreError>) {
        let result = match (self.done, failure) {
            // What the work itself was refused for is the better answer.
            (Some(Err(fault)), _) => Err(fault.at(path)),
            (Some(Ok(_)) | None, Some(failure)) => Err(failure),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StoreError::Internal("the work was never done".to_owned())),
        };
        let _ = self.reply.send(result);
    }
}

/// The writer's connection, opened when there is none, on the file that was checked.
fn connected<'a>(context: &Context, conn: &'a mut Option<Connection>) -> Result<&'a mut Connection, StoreError> {
    context.still_there()?;
    match conn {
        Some(conn) => Ok(conn),
        None => Ok(conn.insert(connection::open(&context.path, Purpose::Write)?)),
    }
}

/// Does a batch in one transaction.
fn commit(context: &Context, conn: &mut Connection, mut batch: Vec<Write>) {
    match attempt(context, conn, &mut batch) {
        Ok(()) => batch.into_iter().for_each(|unit| unit.answer(&context.path, None)),
        Err(Undone::Alone) if batch.len() > 1 => {
            for unit in batch {
                commit(context, conn, vec![unit]);
            }
        }
        Err(Undone::Alone) => {
            refuse(&context.path, batch, &StoreError::Internal("the transaction was rolled back".to_owned()));
        }
        Err(Undone::All(fault)) => refuse(&context.path, batch, &fault.at(&context.path)),
    }
}

/// Why a batch was not committed.
enum Undone {
    /// SQLite rolled it back because of one unit.
    Alone,
    /// The transaction could not be begun or committed.
    All(Fault),
}

impl<E: Into<Fault>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::All(error.into())
    }
}

fn attempt(context: &Context, conn: &mut Connection, batch: &mut [Write]) -> Result<(), Undone> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    let result = attempt_open(context, conn, batch);
    if !conn.is_autocommit() {
        // After a commit there is nothing to roll back; after anything else this is what keeps the promise that nothing
        // was changed. A failure here leaves a transaction that the next BEGIN reports.
        let _ = conn.execute_batch("ROLLBACK");
    }
    result
}

fn attempt_open(context: &Context, conn: &Connection, batch: &mut [Write]) -> Result<(), Undone> {
    // A newer version may have changed the schema while this process was running.
    header::judge_version(migration::version(conn)?)
        .map_err(|why| StoreError::Foreign { path: shown(&context.path), why })?;
    let mut methods = Vec::with_capacity(batch.len());
    for unit in batch {
        conn.prepare_cached("SAVEPOINT unit")?.execute(())?;
        let stands = unit.work(&Tx::new(conn, &*context.sealer)?);
        if conn.is_autocommit() {
            return Err(Undone::Alone);
        }
        if stands {
            methods.push(unit.method());
        } else {
            conn.prepare_cached("ROLLBACK TO unit")?.execute(())?;
        }
        conn.prepare_cached("RELEASE unit")?.execute(())?;
    }
    if methods.is_empty() {
        return Ok(());
    }
    for method in &methods {
        context.milestones.reached(&format!("store.commit {method} before"));
    }
    conn.prepare_cached("COMMIT")?.execute(())?;
    for method in &methods {
        context.milestones.reached(&format!("store.commit {method} after"));
    }
    Ok(())
}

/// Answers all with the same error.
fn refuse(path: &Path, batch: Vec<Write>, error: &StoreError) {
    for unit in batch {
        unit.answer(path, Some(error.clone()));
    }
}
