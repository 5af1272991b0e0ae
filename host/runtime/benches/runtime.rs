//! What an adapter's call costs, beside bare wasmtime on the same component and engine settings; and what the first call
//! of a process costs on top. `cargo bench -p sandboxer-runtime`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "benchmarks"
)]

#[path = "../../cli/guests.rs"]
mod build;

use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use sandboxer_guard::{component, key::InstallationKey};
use sandboxer_model::{
    call::{ExecRequest, SandboxView},
    id::Digest,
    ports::extensions::Extensions,
};
use sandboxer_runtime::{CompilerCommand, Components, Limits, Runtime, Settings, measuring::Bare};

struct Shelf(Arc<[u8]>);

impl Components for Shelf {
    fn bytes(&self, _digest: &Digest) -> Result<Arc<[u8]>, String> {
        Ok(Arc::clone(&self.0))
    }
}

fn canary() -> Arc<[u8]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let target = Path::new(env!("CARGO_BIN_EXE_compile-child")).ancestors().nth(2).unwrap().join("guests");
    build::compile(&root, &target).unwrap();
    std::fs::read(build::built(&target, "canary")).unwrap().into()
}

fn runtime(cache: &Path, bytes: &Arc<[u8]>) -> Runtime {
    let compiler = CompilerCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() };
    let settings = Settings { cache: cache.join("cache"), compiler, limits: Limits::default() };
    Runtime::new(settings, Arc::new(Shelf(Arc::clone(bytes))), Arc::new(InstallationKey::from_bytes([1; 32]))).unwrap()
}

fn calls(criterion: &mut Criterion) {
    let bytes = canary();
    let digest = component::digest(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sandbox = SandboxView {
        reference: "sbx-abcdef-0123456789abcdef".to_owned(),
        profile: "profile.sandbox-canary@1".to_owned(),
        inputs: vec![("network".to_owned(), "none".to_owned())],
    };
    let argv = ["sh", "-c", "echo hello"].map(str::to_owned).to_vec();
    let request = ExecRequest { argv, env: Vec::new(), cwd: None, tty: false };

    let begun = Instant::now();
    tokio.block_on(runtime(directory.path(), &bytes).prepare(&digest)).unwrap();
    println!("first start, compiling in a child: {:?}", begun.elapsed());
    let begun = Instant::now();
    tokio.block_on(runtime(directory.path(), &bytes).prepare(&digest)).unwrap();
    println!("second start, from the cache: {:?}", begun.elapsed());

    let ours = runtime(directory.path(), &bytes);
    tokio.block_on(ours.prepare(&digest)).unwrap();
    let bare = Bare::new(&bytes).unwrap();
    let mut group = criterion.benchmark_group("adapter call");
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("bare wasmtime", |bencher| {
        bencher.to_async(&tokio).iter(async || bare.exec(&sandbox, &request).await.unwrap());
    });
    group.bench_function("sandboxer", |bencher| {
        bencher.to_async(&tokio).iter(async || black_box(ours.exec(&digest, &sandbox, &request).await.unwrap()));
    });
    group.finish();

    let mut group = criterion.benchmark_group("process start");
    group.bench_function("inspect a component", |bencher| {
        bencher.iter(|| component::inspect(black_box(&bytes)).unwrap())
    });
    group.bench_function("engine and cached component", |bencher| {
        bencher.to_async(&tokio).iter(async || runtime(directory.path(), &bytes).prepare(&digest).await.unwrap());
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
