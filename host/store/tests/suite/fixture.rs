//! A store in a directory of its own, its sealer, and the test program as another process.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use sandboxer_guard::{
    key::InstallationKey,
    ledger::{self, LedgerSealer},
};
use sandboxer_model::{
    ledger::{Body, Entry, Head},
    ports::{
        milestones::{Milestones, Unobserved},
        seal::Sealer,
        store::StoreError,
    },
};
use sandboxer_store::SqliteStore;
use tempfile::TempDir;

use crate::contract::Fixture;

/// The key of every store in this suite but the strangers'.
pub fn key() -> Arc<InstallationKey> {
    Arc::new(InstallationKey::from_bytes([7; 32]))
}

pub fn sealer() -> Arc<dyn Sealer> {
    Arc::new(LedgerSealer::new(key()))
}

pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, sealer(), Arc::new(Unobserved))
}

pub fn open_observed(path: &Path, milestones: Arc<dyn Milestones>) -> SqliteStore {
    SqliteStore::open(path, sealer(), milestones).unwrap()
}

/// A store in a directory of its own.
pub struct File {
    pub root: TempDir,
}

impl File {
    pub fn fresh() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join("store.db")
    }

    /// All files in the directory with their bytes.
    pub fn content(&self) -> BTreeMap<String, Vec<u8>> {
        content(self.root.path())
    }

    /// Another program's connection to the same file.
    pub fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

impl Fixture for File {
    type Store = SqliteStore;

    fn store(&self) -> SqliteStore {
        open(&self.path()).unwrap()
    }

    fn verify(&self, entries: &[Entry], head: Option<&Head>) -> Vec<Body> {
        verify(entries, head)
    }
}

pub fn verify(entries: &[Entry], head: Option<&Head>) -> Vec<Body> {
    ledger::verify(&key(), entries, head).unwrap()
}

pub fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// Remembers every point.
#[derive(Default)]
pub struct Trace(Mutex<Vec<String>>);

impl Trace {
    pub fn points(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Milestones for Trace {
    fn reached(&self, point: &str) {
        self.0.lock().unwrap().push(point.to_owned());
    }
}

/// What a test says to itself in another process; `None` in the first one.
pub fn role() -> Option<String> {
    std::env::var("SANDBOXER_STORE_TEST_ROLE").ok()
}

/// This test again in another process, with something to do.
pub fn other_process(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env("SANDBOXER_STORE_TEST_ROLE", role).stdin(Stdio::null());
    command
}

/// It ran that one test, and passed.
pub fn assert_passed(output: &Output) {
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {said}", output.status);
    assert!(said.contains("1 passed"), "the other process ran nothing: {said}");
}

/// It was killed, and by nothing else than itself.
pub fn assert_killed(output: &Output, point: &str) {
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.signal(), Some(9), "{point}: {:?}: {said}", output.status);
}
