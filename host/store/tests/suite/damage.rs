//! Damaged files: a typed error, and not a byte changed.

use std::fs;

use sandboxer_model::ports::store::{Filter, Store, StoreError};

use crate::{
    contract::{
        Fixture,
        sample::{Picture, open, ready, worker},
    },
    fixture::{File, open as open_store},
};

/// A store with enough in it to have inner pages, closed.
async fn filled() -> File {
    let file = File::fresh();
    let store = file.store();
    for _ in 0..60 {
        ready(&store).await;
    }
    drop(store);
    assert_eq!(file.content().len(), 1, "a closed store is one file");
    file
}

/// Opens the store and asks it everything; the first error.
async fn ask(file: &File) -> Result<(), StoreError> {
    let store = open_store(&file.path())?;
    store.find("a").await?;
    for sandbox in store.list(&Filter { limit: 1000, all: true, ..Filter::default() }).await? {
        store.ledger(&sandbox.id).await?;
        store.open_operation(&sandbox.id).await?;
    }
    store.events(None, 0, 1000).await?;
    store.check().await
}

fn assert_corrupt(file: &File, result: &Result<(), StoreError>) {
    let Err(StoreError::Corrupt { path, why }) = result else { panic!("{result:?}") };
    assert_eq!(*path, file.path().display().to_string());
    assert!(!why.is_empty());
}

#[tokio::test]
async fn a_whole_store_passes() {
    assert_eq!(ask(&filled().await).await, Ok(()));
}

#[tokio::test]
async fn bytes_overwritten_anywhere_are_noticed_and_left_as_they_are() {
    let file = filled().await;
    let whole = fs::read(file.path()).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 20, "{pages}");
    // A fixed sequence of odd bytes, so that a failure can be repeated.
    let noise: Vec<u8> =
        (0_u64..4096).map(|n| (n.wrapping_add(3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1).collect();
    let mut opened = 0;
    for page in 0..pages {
        let mut broken = whole.clone();
        let start = page * 4096 + if page == 0 { 100 } else { 0 };
        let end = (page + 1) * 4096;
        broken[start..end].copy_from_slice(&noise[..end - start]);
        fs::write(file.path(), &broken).unwrap();
        opened += usize::from(open_store(&file.path()).is_ok());
        let result = ask(&file).await;
        assert_corrupt(&file, &result);
        assert_eq!(file.content().into_iter().collect::<Vec<_>>(), [("store.db".to_owned(), broken)], "page {page}");
    }
    assert!(opened > 0, "some damage shows only when it is read");
}

#[tokio::test]
async fn a_store_that_was_cut_off_is_noticed_and_left_as_it_is() {
    let file = filled().await;
    let whole = fs::read(file.path()).unwrap();
    for length in [0, 1, 50, 99, 100, 512, 4095, 4096, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(file.path(), &whole[..length]).unwrap();
        let result = ask(&file).await;
        // One byte is too little to know that it was ours; it is refused all the same.
        if !matches!((length, &result), (1, Err(StoreError::Foreign { .. }))) {
            assert_corrupt(&file, &result);
        }
        let left = file.content().into_iter().collect::<Vec<_>>();
        assert_eq!(left, [("store.db".to_owned(), whole[..length].to_vec())], "{length}");
    }
}

#[tokio::test]
async fn values_that_we_never_write_are_damage() {
    for (statement, what) in [
        ("UPDATE sandbox SET labels = '{\"a\": 1}'", "labels"),
        ("UPDATE sandbox SET plan = '{}'", "plan"),
        ("UPDATE sandbox SET id = 'UPPER', project = 'default'", "id"),
        ("UPDATE sandbox SET created_at = 9223372036854775807", "created_at"),
    ] {
        let file = File::fresh();
        let sandbox = ready(&file.store()).await;
        let raw = file.raw();
        raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert_eq!(raw.execute(statement, ()).unwrap(), 1);
        drop(raw);
        let listed = file.store().list(&Filter { limit: 9, ..Filter::default() }).await;
        assert!(matches!(listed, Err(StoreError::Corrupt { .. })), "{what}: {listed:?}");
        let _ = sandbox;
    }
}

#[tokio::test]
async fn a_chain_that_was_changed_by_hand_is_found_by_the_check() {
    for statement in [
        "DELETE FROM ledger WHERE sequence = 1",
        "DELETE FROM ledger WHERE sequence = 0",
        "DELETE FROM ledger WHERE sequence = 3",
        "UPDATE ledger SET hash = previous WHERE sequence = 1",
        "UPDATE ledger_head SET sequence = 2",
        "DELETE FROM ledger_head",
        "UPDATE ledger_head SET hash = 'sha256:00'",
    ] {
        let file = File::fresh();
        let store = file.store();
        let sandbox = ready(&store).await;
        for _ in 0..3 {
            store.deny(&sandbox.id, crate::contract::sample::denied("x")).await.unwrap();
        }
        store.check().await.unwrap();
        let raw = file.raw();
        raw.execute_batch(
            "DROP TRIGGER ledger_stays; DROP TRIGGER ledger_is_fixed; DROP TRIGGER ledger_head_stays;
             PRAGMA foreign_keys = OFF;",
        )
        .unwrap();
        assert_eq!(raw.execute(statement, ()).unwrap(), 1);
        let found = store.check().await;
        let Err(StoreError::Corrupt { why, .. }) = found else { panic!("{statement}: {found:?}") };
        assert!(why.contains(sandbox.id.as_str()), "{why}");
    }
}

#[tokio::test]
async fn a_reference_to_nothing_is_found_by_the_check() {
    let file = File::fresh();
    let store = file.store();
    ready(&store).await;
    let raw = file.raw();
    raw.execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO note VALUES ('nobody', 'k', 'v');").unwrap();
    let found = store.check().await;
    assert!(matches!(&found, Err(StoreError::Corrupt { why, .. }) if why.contains("note")), "{found:?}");
}

#[tokio::test]
async fn what_tells_of_the_past_cannot_be_deleted_or_rewritten() {
    let file = File::fresh();
    let store = file.store();
    let (sandbox, _) = open(&store, &worker("w")).await;
    let before = Picture::of(&store, &sandbox.id).await;
    let raw = file.raw();
    raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    for statement in [
        "DELETE FROM sandbox",
        "DELETE FROM operation",
        "DELETE FROM event",
        "UPDATE event SET reason = 'nothing happened'",
        "DELETE FROM ledger",
        "UPDATE ledger SET body = '{}'",
        "DELETE FROM ledger_head",
        "DELETE FROM meta",
        "UPDATE meta SET installation = 'aaaaaa'",
    ] {
        let error = raw.execute(statement, ()).unwrap_err().to_string();
        assert!(error.contains("never"), "{statement}: {error}");
    }
    assert_eq!(Picture::of(&store, &sandbox.id).await, before);
}
