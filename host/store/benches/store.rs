//! What a durable write costs, and a fresh process's first question.
//!
//! The floor beside the durable write is one synchronous write to the same file system: a commit cannot be quicker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "benchmarks"
)]

use std::{fs::OpenOptions, io::Write, path::Path, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use sandboxer_guard::{key::InstallationKey, ledger::LedgerSealer};
use sandboxer_model::ports::{
    milestones::Unobserved,
    store::{Right, Store},
};
use sandboxer_store::SqliteStore;
use tokio::runtime::{Builder, Runtime};

#[path = "../tests/suite/contract/sample.rs"]
mod sample;

fn open(path: &Path) -> SqliteStore {
    let sealer = LedgerSealer::new(Arc::new(InstallationKey::from_bytes([7; 32])));
    SqliteStore::open(path, Arc::new(sealer), Arc::new(Unobserved)).unwrap()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).build().unwrap()
}

fn writing(criterion: &mut Criterion) {
    let root = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let store = Arc::new(open(&root.path().join("store.db")));
    let (sandbox, claim) = runtime.block_on(sample::open(&*store, &sample::worker("w")));
    let ready = runtime.block_on(sample::ready(&*store));

    let mut file = OpenOptions::new().create(true).append(true).open(root.path().join("floor")).unwrap();
    criterion.bench_function("floor: append 4 KiB and fdatasync", |bencher| {
        bencher.iter(|| {
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
        });
    });
    criterion.bench_function("one durable insert (progress)", |bencher| {
        bencher.iter(|| runtime.block_on(store.progress(&claim, "a step")).unwrap());
    });
    let right = Right::Access(ready.id);
    criterion.bench_function("one durable ledger entry (intend)", |bencher| {
        bencher.iter(|| runtime.block_on(store.intend(&right, sample::intent("host.exec"), None)).unwrap());
    });
    criterion.bench_function("64 durable inserts at once", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let tasks: Vec<_> = (0..64)
                    .map(|_| {
                        let (store, claim) = (Arc::clone(&store), claim.clone());
                        tokio::spawn(async move { store.progress(&claim, "a step").await.unwrap() })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        });
    });
    criterion.bench_function("get, store open", |bencher| {
        bencher.iter(|| runtime.block_on(store.sandbox(&sandbox.id)).unwrap().unwrap());
    });
}

fn opening(criterion: &mut Criterion) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store.db");
    let runtime = Builder::new_current_thread().build().unwrap();
    let store = open(&path);
    let mut ids = Vec::new();
    for _ in 0..1000 {
        ids.push(runtime.block_on(sample::ready(&store)).id);
    }
    criterion.bench_function("open + get + close, in use elsewhere", |bencher| {
        bencher.iter(|| runtime.block_on(open(&path).sandbox(&ids[500])).unwrap().unwrap());
    });
    drop(store);
    criterion.bench_function("open + get + close, alone", |bencher| {
        bencher.iter(|| runtime.block_on(open(&path).sandbox(&ids[500])).unwrap().unwrap());
    });
    criterion.bench_function("open + find + close, alone", |bencher| {
        let prefix = &ids[500].as_str()[..6];
        bencher.iter(|| runtime.block_on(open(&path).find(prefix)).unwrap());
    });
    criterion.bench_function("make a store", |bencher| {
        bencher.iter_with_large_drop(|| {
            let root = tempfile::tempdir().unwrap();
            drop(open(&root.path().join("store.db")));
            root
        });
    });
}

criterion_group!(benches, writing, opening);
criterion_main!(benches);
