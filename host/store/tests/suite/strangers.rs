//! Files of others: refused, and not a byte changed, nor a file made beside them.

use std::{fs, sync::Arc};

use sandboxer_guard::{key::InstallationKey, ledger::LedgerSealer};
use sandboxer_model::ports::{
    milestones::Unobserved,
    store::{Filter, Store, StoreError},
};
use sandboxer_store::SqliteStore;

use crate::{
    contract::{
        Fixture,
        sample::{open, ready, worker},
    },
    fixture::{File, open as open_store},
};

fn assert_refused(file: &File, because: &str) {
    let before = file.content();
    let error = open_store(&file.path()).unwrap_err();
    let StoreError::Foreign { path, why } = &error else { panic!("{error:?}") };
    assert_eq!(*path, file.path().display().to_string());
    assert!(why.contains(because), "{why}");
    assert_eq!(file.content(), before);
}

#[test]
fn a_text_file_is_refused() {
    for text in ["x", "just some notes\n", &"long ".repeat(1000), "SQLite format 2\0"] {
        let file = File::fresh();
        fs::write(file.path(), text).unwrap();
        assert_refused(&file, "does not begin as a SQLite database");
    }
}

#[test]
fn another_programs_database_is_refused_with_and_without_a_log() {
    for mode in ["delete", "wal"] {
        let file = File::fresh();
        let raw = file.raw();
        raw.pragma_update(None, "journal_mode", mode).unwrap();
        raw.execute_batch("CREATE TABLE sandbox (id TEXT); INSERT INTO sandbox VALUES ('x'); PRAGMA user_version = 1;")
            .unwrap();
        drop(raw);
        assert_refused(&file, "another program");
    }
}

#[tokio::test]
async fn a_newer_version_is_refused() {
    let file = File::fresh();
    ready(&file.store()).await;
    file.raw().execute_batch("PRAGMA user_version = 2").unwrap();
    assert_refused(&file, "version 2");
    file.raw().execute_batch("PRAGMA user_version = 0").unwrap();
    assert_refused(&file, "version 0");
    file.raw().execute_batch("PRAGMA user_version = 1").unwrap();
    assert_eq!(file.store().list(&Filter { limit: 9, ..Filter::default() }).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_version_that_comes_while_we_run_stops_our_writing() {
    let file = File::fresh();
    let store = file.store();
    let (sandbox, claim) = open(&store, &worker("w")).await;
    store.progress(&claim, "on").await.unwrap();
    file.raw().execute_batch("PRAGMA user_version = 2").unwrap();
    let refused = store.progress(&claim, "on").await;
    assert!(matches!(&refused, Err(StoreError::Foreign { why, .. }) if why.contains("version 2")), "{refused:?}");
    assert_eq!(store.events(Some(&sandbox.id), 0, 9).await.unwrap().len(), 2);
    // Its header still says 1 where the log was not moved into the file yet; the log decides.
    let again = open_store(&file.path());
    assert!(matches!(again, Err(StoreError::Foreign { .. })), "{again:?}");
}

#[tokio::test]
async fn another_installations_key_is_refused() {
    let file = File::fresh();
    let store = file.store();
    let installation = store.installation().await.unwrap();
    ready(&store).await;
    drop(store);
    let before = file.content();
    let stranger = Arc::new(LedgerSealer::new(Arc::new(InstallationKey::from_bytes([8; 32]))));
    let error = SqliteStore::open(&file.path(), stranger, Arc::new(Unobserved)).unwrap_err();
    let StoreError::Foreign { why, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains(installation.as_str()) && why.contains("key"), "{why}");
    assert_eq!(file.content(), before);
    assert_eq!(file.store().installation().await.unwrap(), installation);
}

#[tokio::test]
async fn a_log_without_its_store_is_not_played_into_a_new_one() {
    for trace in ["store.db-wal", "store.db-journal"] {
        let file = File::fresh();
        fs::write(file.root.path().join(trace), "what was written last").unwrap();
        let before = file.content();
        let error = open_store(&file.path()).unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { why, .. } if why.contains("is gone")), "{error:?}");
        assert_eq!(file.content(), before);
    }
}
