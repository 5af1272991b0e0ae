//! The cache of compiled components: what is in it is native code, so nothing that does not verify is loaded.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use sandboxer_model::{
    id::Digest,
    ports::extensions::{Extensions, HookError},
};
use sandboxer_runtime::{Runtime, RuntimeError};

use crate::fixture::{Fixture, Recorder, Shelf, limits, runtime, sandbox, talker};

fn entries(cache: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

async fn said(runtime: &Runtime, digest: &Digest) -> Result<Vec<String>, HookError> {
    let calls = Arc::new(Recorder::default());
    runtime.provision(digest, &sandbox(), Arc::clone(&calls) as _).await?;
    let logged = calls.logged.lock().unwrap().clone();
    Ok(logged)
}

#[tokio::test]
async fn a_second_process_compiles_nothing() {
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&talker("a"));
    assert_eq!(said(&fixture.runtime, &digest).await.unwrap(), ["a"]);
    let [entry] = &entries(&fixture.cache())[..] else { panic!("one artifact and no draft") };
    let before = fs::metadata(entry).unwrap();
    assert_eq!(before.mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(fixture.cache()).unwrap().mode() & 0o777, 0o700);
    // Not even the component's bytes are asked for.
    fixture.shelf.clear();
    assert_eq!(said(&fixture.again(), &digest).await.unwrap(), ["a"]);
    assert_eq!(fs::metadata(entry).unwrap().ino(), before.ino(), "the artifact was not written again");
}

#[tokio::test]
async fn processes_that_compile_at_the_same_time_do_not_disturb_each_other() {
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&talker("a"));
    let others: Vec<_> = (0..4).map(|_| fixture.again()).collect();
    let (first, second, third, fourth) = tokio::join!(
        said(&others[0], &digest),
        said(&others[1], &digest),
        said(&others[2], &digest),
        said(&others[3], &digest),
    );
    for answer in [first, second, third, fourth] {
        assert_eq!(answer.unwrap(), ["a"]);
    }
    assert_eq!(entries(&fixture.cache()).len(), 1);
}

/// Makes an artifact, harms it, and says that a new process does not load it: without the component it fails, and with
/// it the component is compiled again, works, and the artifact is whole afterwards.
async fn harmed(harm: impl FnOnce(&Path, &Fixture)) {
    let fixture = Fixture::new();
    let component = talker("a");
    let digest = fixture.shelf.put(&component);
    said(&fixture.runtime, &digest).await.unwrap();
    let entry = entries(&fixture.cache()).remove(0);
    let whole = fs::read(&entry).unwrap();
    harm(&entry, &fixture);
    fixture.shelf.clear();
    let result = said(&fixture.again(), &digest).await;
    assert!(matches!(&result, Err(HookError::Refused(why)) if why == "there is no such component"), "{result:?}");
    fixture.shelf.put(&component);
    assert_eq!(said(&fixture.again(), &digest).await.unwrap(), ["a"]);
    assert!(fs::symlink_metadata(&entry).unwrap().is_file());
    assert_eq!(fs::read(&entry).unwrap().len(), whole.len());
    fixture.shelf.clear();
    assert_eq!(said(&fixture.again(), &digest).await.unwrap(), ["a"], "what was written in its place is good");
}

#[tokio::test]
async fn a_changed_bit_anywhere_is_noticed() {
    for at in [0, 7, 8, 71, 72, 200] {
        harmed(|entry, _| {
            let mut bytes = fs::read(entry).unwrap();
            bytes[at] ^= 1;
            fs::write(entry, bytes).unwrap();
        })
        .await;
    }
    harmed(|entry, _| {
        let mut bytes = fs::read(entry).unwrap();
        *bytes.last_mut().unwrap() ^= 0x80;
        fs::write(entry, bytes).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_torn_an_empty_and_a_longer_file_are_noticed() {
    harmed(|entry, _| fs::write(entry, &fs::read(entry).unwrap()[..5000]).unwrap()).await;
    harmed(|entry, _| fs::write(entry, b"").unwrap()).await;
    harmed(|entry, _| {
        let mut bytes = fs::read(entry).unwrap();
        bytes.push(0);
        fs::write(entry, bytes).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_symbolic_link_a_fifo_and_a_directory_in_its_place_are_not_followed() {
    harmed(|entry, fixture| {
        let elsewhere = fixture.directory.path().join("elsewhere");
        fs::rename(entry, &elsewhere).unwrap();
        symlink(&elsewhere, entry).unwrap();
    })
    .await;
    harmed(|entry, _| {
        fs::remove_file(entry).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            entry,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_artifact_of_another_component_or_another_installation_is_not_loaded() {
    harmed(|entry, _| {
        // Another component's whole, well-signed artifact under this one's name.
        let other = Fixture::new();
        let digest = other.shelf.put(&talker("b"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                assert_eq!(tokio.block_on(said(&other.runtime, &digest)).unwrap(), ["b"]);
            });
        });
        fs::copy(&entries(&other.cache())[0], entry).unwrap();
    })
    .await;
    harmed(|entry, fixture| {
        // The same component, signed with another installation's key.
        let theirs = fixture.directory.path().join("theirs");
        let foreign = runtime(theirs.clone(), &fixture.shelf, limits(), 2).unwrap();
        let digest = fixture.shelf.put(&talker("a"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                assert_eq!(tokio.block_on(said(&foreign, &digest)).unwrap(), ["a"]);
            });
        });
        assert_eq!(entries(&theirs)[0].file_name(), entry.file_name());
        fs::copy(&entries(&theirs)[0], entry).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_others_could_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::default());
    let make = |path: PathBuf| runtime(path, &shelf, limits(), 1).map(drop);
    for mode in [0o777, 0o770, 0o702, 0o1777] {
        let cache = directory.path().join(format!("{mode:o}"));
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(make(cache), Err(RuntimeError::CacheRefused { .. })), "{mode:o}");
    }
    let real = directory.path().join("real");
    make(real.clone()).unwrap();
    let link = directory.path().join("link");
    symlink(&real, &link).unwrap();
    assert!(matches!(make(link), Err(RuntimeError::CacheRefused { .. })));
    let dangling = directory.path().join("dangling");
    symlink(directory.path().join("nowhere"), &dangling).unwrap();
    assert!(matches!(make(dangling), Err(RuntimeError::CacheRefused { .. })));
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(make(file), Err(RuntimeError::CacheRefused { .. })));
    assert!(matches!(make("/proc/none/cache".into()), Err(RuntimeError::CacheUnusable { .. })));
}

#[tokio::test]
async fn a_directory_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a directory away; a system directory that root owns serves everyone else.
        let shelf = Arc::new(Shelf::default());
        assert!(matches!(
            runtime("/usr".into(), &shelf, limits(), 1).map(drop),
            Err(RuntimeError::CacheRefused { .. })
        ));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&cache, Some(12_345), None).unwrap();
    let shelf = Arc::new(Shelf::default());
    assert!(matches!(runtime(cache, &shelf, limits(), 1).map(drop), Err(RuntimeError::CacheRefused { .. })));
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_costs_only_time() {
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&talker("a"));
    fs::remove_dir(fixture.cache()).unwrap();
    assert_eq!(said(&fixture.runtime, &digest).await.unwrap(), ["a"]);
    assert!(!fixture.cache().exists());
}
