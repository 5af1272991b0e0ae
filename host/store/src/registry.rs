//! Which store files this process has open.
//!
//! POSIX locks belong to the process, and closing any descriptor of a file drops all of them (sqlite.org/howtocorrupt
//! §2.2). So a header is read only while no store of this process has the file open. Opening the header through SQLite
//! in its `immutable` mode was rejected: a crash in the middle of a checkpoint leaves a file that looks damaged without
//! its log.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sandboxer_model::ports::store::StoreError;

use crate::{
    fault::{io, unavailable},
    header,
};

/// How many stores of this process have each file open.
static OPEN: Mutex<BTreeMap<FileId, usize>> = Mutex::new(BTreeMap::new());

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file at `path`.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        fs::metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// A store file that this process has open; dropped after its connections are closed.
#[derive(Debug)]
pub(crate) struct Registration {
    file: FileId,
}

impl Registration {
    /// Checks the header, unless that was done by a store that still has the file open, and counts one more.
    pub(crate) fn check(path: &Path) -> Result<Self, StoreError> {
        let mut open = lock();
        let found = fs::metadata(path).map_err(|error| io(path, "looking at it", &error))?;
        if !found.is_file() {
            return Err(unavailable(path, "looking at it", "it is not a regular file"));
        }
        let file = FileId { device: found.dev(), inode: found.ino() };
        if !open.contains_key(&file) {
            header::check(path)?;
        }
        let count = open.entry(file).or_insert(0);
        *count = count.saturating_add(1);
        Ok(Self { file })
    }

    /// Which file it is.
    pub(crate) fn file(&self) -> FileId {
        self.file
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = lock();
        if let Some(count) = open.get_mut(&self.file) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.file);
            }
        }
    }
}

/// The map holds plain counts, which a panic elsewhere cannot leave half changed.
fn lock() -> MutexGuard<'static, BTreeMap<FileId, usize>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}
