//! Making a new store. It is built beside its place and moved there whole, so that the file is either absent or
//! complete: a crash or a full disk in between leaves at most a file that the next try removes.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with};
use sandboxer_model::{
    id::InstallationId,
    ports::{milestones::Milestones, seal::Sealer, store::StoreError},
};

use crate::{
    connection::{self, Purpose},
    fault::{Fault, io, shown, unavailable},
    migration,
    transaction::now,
};

/// How long to wait for another process that makes the same store.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the store at `path` unless another process was quicker.
pub(crate) fn make(
    path: &Path,
    directory: &Path,
    sealer: &dyn Sealer,
    milestones: &dyn Milestones,
) -> Result<(), StoreError> {
    // The lock lies on the directory, because a lock file of its own would stay behind.
    let _lock = lock(directory)?;
    if exists(path)? {
        return Ok(());
    }
    refuse_orphaned_log(path)?;
    let draft = beside(path, ".new");
    remove_draft(&draft)?;
    let made = build(&draft, sealer).and_then(|()| {
        milestones.reached("store.commit create-store before");
        publish(&draft, path, directory)?;
        milestones.reached("store.commit create-store after");
        Ok(())
    });
    if made.is_err() {
        // The first failure is the one to report; what cannot be removed now is removed by the next try.
        let _ = remove_draft(&draft);
    }
    made
}

/// Whether something is there.
pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|error| io(path, "looking for it", &error))
}

fn build(draft: &Path, sealer: &dyn Sealer) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|error| io(draft, "making it", &error))?;
    let installation = InstallationId::random()
        .map_err(|error| StoreError::Internal(format!("the operating system gives no randomness: {error}")))?;
    let mut conn = connection::open(draft, Purpose::Build)?;
    migration::migrate(&mut conn, |conn| {
        conn.execute(
            "INSERT INTO meta (one, installation, public_key, created_at) VALUES (1, ?1, ?2, ?3)",
            (installation.as_str(), sealer.public_key(), now(conn)?),
        )?;
        Ok(())
    })
    .map_err(|fault| fault.at(draft))?;
    // Closing the only connection moves the log into the file, synchronously, and removes it.
    conn.close().map_err(|(_, error)| Fault::Sql(error).at(draft))?;
    for trace in ["-wal", "-journal"] {
        if exists(&beside(draft, trace))? {
            return Err(unavailable(draft, "closing it", format!("its `{trace}` is still there")));
        }
    }
    Ok(())
}

fn publish(draft: &Path, path: &Path, directory: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| io(path, "moving the new store into its place", &error);
    match renameat_with(rustix::fs::CWD, draft, rustix::fs::CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // A file system without that flag: two names for a moment, and the same refusal to replace.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(draft, path).and_then(|()| fs::remove_file(draft)).map_err(failed)?;
        }
        Err(error) => return Err(failed(error.into())),
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let file = File::open(directory).map_err(|error| io(directory, "opening the directory", &error))?;
    let start = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(unavailable(directory, "locking the directory to make a store in it", error)),
        }
    }
}

/// A log without its store means that the store was taken away by hand; a new file in its place would be filled from
/// that log.
fn refuse_orphaned_log(path: &Path) -> Result<(), StoreError> {
    for trace in ["-wal", "-journal"] {
        if exists(&beside(path, trace))? {
            return Err(StoreError::Corrupt {
                path: shown(path),
                why: format!(
                    "the file is gone, but its `{trace}` is still there; put the file back, or move both away"
                ),
            });
        }
    }
    Ok(())
}

fn remove_draft(draft: &Path) -> Result<(), StoreError> {
    for trace in ["", "-wal", "-shm", "-journal"] {
        let file = beside(draft, trace);
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io(&file, "removing what an earlier try left", &error)),
        }
    }
    Ok(())
}

/// The file that SQLite keeps beside another one.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
