//! Where the file lies: who may read it, what happens when the place is not fit, full, busy, or changes under us.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use sandboxer_model::{
    ports::store::{Store, StoreError},
    sandbox::{Actor, OperationKind},
};

use crate::{
    contract::{
        Fixture,
        sample::{Picture, claimed, late, new, open, opened, ready, worker},
    },
    fixture::{self, File, assert_passed, other_process, role},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_we_may_read_it() {
    let file = File::fresh();
    let directory = file.root.path().join("made/for it");
    let path = directory.join("store.db");
    let store = fixture::open(&path).unwrap();
    ready(&store).await;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&file.root.path().join("made")), 0o700);
    let files = fixture::content(&directory);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["store.db", "store.db-shm", "store.db-wal"]);
    for name in files.keys() {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
    drop(store);
    assert_eq!(fixture::content(&directory).len(), 1);
    let header = fs::read(&path).unwrap();
    assert_eq!(&header[68..72], b"sbxr");
    assert_eq!(&header[18..20], [2, 2], "the file itself says that it has a write-ahead log");
}

#[tokio::test]
async fn it_keeps_what_it_knew() {
    let file = File::fresh();
    let store = file.store();
    let installation = store.installation().await.unwrap();
    let (sandbox, _) = open(&store, &worker("w")).await;
    let picture = Picture::of(&store, &sandbox.id).await;
    drop(store);
    let store = file.store();
    assert_eq!(store.installation().await.unwrap(), installation);
    assert_eq!(Picture::of(&store, &sandbox.id).await, picture);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let file = File::fresh();
    fs::write(file.root.path().join("file"), "x").unwrap();
    fs::create_dir(file.root.path().join("directory")).unwrap();
    let before = fs::read(file.root.path().join("file")).unwrap();
    for path in [
        file.root.path().join("file/store.db"),
        file.root.path().join("file/deeper/store.db"),
        file.root.path().join("directory"),
        "/proc/sandboxer/store.db".into(),
        "/proc/self/store.db".into(),
        "/dev/null".into(),
        "/".into(),
    ] {
        let error = fixture::open(&path).unwrap_err();
        let StoreError::Unavailable { path: named, why } = &error else { panic!("{}: {error:?}", path.display()) };
        assert!(path.starts_with(named) || named.starts_with(path.to_str().unwrap()), "{named} for {}", path.display());
        assert!(!why.is_empty());
    }
    assert_eq!(fs::read(file.root.path().join("file")).unwrap(), before);
    assert_eq!(fs::read_dir(file.root.path()).unwrap().count(), 2);
}

/// This test again in a mount namespace of its own, after `mounts` were made there; false when the machine allows none.
fn in_namespace(test: &str, role: &str, mounts: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    let flags = if root { "-m" } else { "-rm" };
    let allowed = Command::new("unshare").args([flags, "true"]).output().is_ok_and(|output| output.status.success());
    if !allowed {
        assert!(std::env::var_os("CI").is_none(), "{test} needs `unshare {flags}` to work here");
        eprintln!("SKIPPED {test}: `unshare {flags}` does not work here");
        return false;
    }
    let inner = other_process(test, role);
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", &format!("set -e; {mounts}; exec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    assert_passed(&command.output().unwrap());
    true
}

#[tokio::test]
async fn a_read_only_place_is_unavailable() {
    if let Some(root) = role() {
        let root = Path::new(&root);
        for path in [root.join("store.db"), root.join("new.db"), root.join("new/store.db")] {
            let error = fixture::open(&path).unwrap_err();
            assert!(matches!(&error, StoreError::Unavailable { .. }), "{}: {error:?}", path.display());
        }
        return;
    }
    let file = File::fresh();
    ready(&file.store()).await;
    let before = file.content();
    let root = file.root.path().display().to_string();
    in_namespace(
        "places::a_read_only_place_is_unavailable",
        &root,
        &format!("mount --bind '{root}' '{root}'; mount -o remount,bind,ro '{root}'"),
    );
    assert_eq!(file.content(), before);
}

#[tokio::test]
async fn a_full_disk_refuses_a_new_store_and_leaves_nothing() {
    if let Some(root) = role() {
        let path = Path::new(&root).join("store.db");
        let filler = Path::new(&root).join("filler");
        // Full from the start, and full after a few pages; 4 KiB pages are the unit of a tmpfs.
        for pages in [0, 1, 2, 4, 8, 12, 16] {
            fs::write(&filler, vec![0; (64 - pages) * 4096]).unwrap();
            let error = fixture::open(&path).unwrap_err();
            let named = matches!(&error, StoreError::Full { path } if path.starts_with(&root));
            assert!(named, "{pages} pages: {error:?}");
            assert_eq!(fixture::content(Path::new(&root)).into_keys().collect::<Vec<_>>(), ["filler"], "{pages} pages");
        }
        fs::remove_file(filler).unwrap();
        fs::write(Path::new(&root).join("ok"), "").unwrap();
        return;
    }
    let file = File::fresh();
    let root = file.root.path().display().to_string();
    in_namespace(
        "places::a_full_disk_refuses_a_new_store_and_leaves_nothing",
        &root,
        &format!("mount -t tmpfs -o size=256k tmpfs '{root}'"),
    );
    assert!(file.content().is_empty(), "the mount was the other process's own");
}

#[tokio::test]
async fn a_disk_that_fills_up_costs_nothing_that_was_there() {
    if let Some(root) = role() {
        let root = Path::new(&root);
        let store = fixture::open(&root.join("store.db")).unwrap();
        let (sandbox, claim) = open(&store, &worker("w")).await;
        fs::write(root.join("filler"), vec![0; 512 * 1024]).unwrap();
        let mut written = 0;
        let error = loop {
            match store.progress(&claim, &"x".repeat(2000)).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!((1..2000).contains(&written), "{written}");
        let picture = Picture::of(&store, &sandbox.id).await;
        assert_eq!(picture.events.len(), 1 + written);
        let more = new(&store).await;
        let (id, body) = (more.id.clone(), opened(&more));
        let refused = store.open(more, body, &worker("w")).await;
        assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
        assert_eq!(store.sandbox(&id).await.unwrap(), None);
        store.check().await.unwrap();
        // Another process finds the same, or no room for its own index; never damage.
        match fixture::open(&root.join("store.db")) {
            Ok(other) => assert_eq!(Picture::of(&other, &sandbox.id).await, picture),
            Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error:?}"),
        }
        fs::remove_file(root.join("filler")).unwrap();
        store.progress(&claim, "there is room again").await.unwrap();
        assert_eq!(store.events(Some(&sandbox.id), 0, 10_000).await.unwrap().len(), 2 + written);
        store.check().await.unwrap();
        return;
    }
    let file = File::fresh();
    let root = file.root.path().display().to_string();
    in_namespace(
        "places::a_disk_that_fills_up_costs_nothing_that_was_there",
        &root,
        &format!("mount -t tmpfs -o size=1m tmpfs '{root}'"),
    );
}

#[tokio::test]
async fn a_lock_that_is_never_released_is_unavailable_in_the_end() {
    let file = File::fresh();
    let store = file.store();
    let (sandbox, claim) = open(&store, &worker("w")).await;
    let raw = file.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let refused = store.progress(&claim, "on").await;
    assert!(matches!(&refused, Err(StoreError::Unavailable { why, .. }) if why.contains("locked")), "{refused:?}");
    assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(store.events(Some(&sandbox.id), 0, 9).await.unwrap().len(), 1, "reading goes on");
    raw.execute_batch("ROLLBACK").unwrap();
    store.progress(&claim, "on").await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_taken_away_or_replaced_is_noticed() {
    let file = File::fresh();
    let store = file.store();
    let (sandbox, claim) = open(&store, &worker("w")).await;
    let (path, away) = (file.path(), file.root.path().join("away.db"));
    fs::rename(&path, &away).unwrap();
    let refused = store.progress(&claim, "on").await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    fs::copy(&away, &path).unwrap();
    for refused in [store.progress(&claim, "on").await, store.sandbox(&sandbox.id).await.map(drop)] {
        assert!(
            matches!(&refused, Err(StoreError::Unavailable { why, .. }) if why.contains("replaced")),
            "{refused:?}"
        );
    }
    fs::rename(&away, &path).unwrap();
    store.progress(&claim, "on").await.unwrap();
}

#[tokio::test]
async fn a_second_store_in_the_process_does_not_drop_the_locks_of_the_first() {
    let file = File::fresh();
    let first = file.store();
    let (_, claim) = open(&first, &worker("w")).await;
    let inode = fs::metadata(file.path()).unwrap().ino();
    let locks = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let ours = format!(" {} ", std::process::id());
        locks.lines().filter(|line| line.contains(&ours) && line.contains(&format!(":{inode} "))).count()
    };
    assert!(locks() > 0, "{}", fs::read_to_string("/proc/locks").unwrap());
    let second = file.store();
    assert!(locks() > 0);
    drop(second);
    assert!(locks() > 0, "closing the second dropped the locks of the first");
    first.progress(&claim, "on").await.unwrap();
    // The control: what reading the header a second time would have done.
    drop(fs::File::open(file.path()).unwrap());
    assert_eq!(locks(), 0);
}

#[tokio::test]
async fn a_lease_from_a_clock_that_was_ahead_holds_nobody_off() {
    const YEAR_US: i64 = 365 * 24 * 3600 * 1_000_000;
    let file = File::fresh();
    let store = file.store();
    let (sandbox, claim) = open(&store, &worker("dead")).await;
    let begin = async |owner: &str| {
        store.begin(&sandbox.id, OperationKind::Create, Actor::Agent, "x", &worker(owner)).await.unwrap()
    };
    let shift = |by: i64| {
        let changed = file
            .raw()
            .execute("UPDATE operation SET leased_at = leased_at + ?1, lease_until = lease_until + ?1", [by])
            .unwrap();
        assert_eq!(changed, 1);
    };
    // A worker that lives renews its lease by the clock of today, and goes on.
    shift(YEAR_US);
    store.progress(&claim, "on").await.unwrap();
    store.renew(&claim, &worker("dead")).await.unwrap();
    assert!(store.open_operation(&sandbox.id).await.unwrap().unwrap().held);
    // One that does not is not waited for.
    shift(YEAR_US);
    assert!(!store.open_operation(&sandbox.id).await.unwrap().unwrap().held);
    let heir = claimed(begin("heir").await);
    assert_eq!(store.progress(&claim, "on").await, Err(StoreError::LeaseLost));
    // The clock a year ahead: leases have run out.
    shift(-YEAR_US);
    assert_eq!(store.progress(&heir, "on").await, Err(StoreError::LeaseLost));
    claimed(begin("last").await);
    let (short, _) = open(&store, &late("gone")).await;
    assert!(!store.open_operation(&short.id).await.unwrap().unwrap().held);
}
