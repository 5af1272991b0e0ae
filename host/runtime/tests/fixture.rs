//! A runtime with a cache of its own, and what its guests asked for.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sandboxer_guard::{component, key::InstallationKey};
use sandboxer_model::{
    call::{CallError, CallOutput, CallRequest, Exit, JobStatus, SandboxView},
    id::Digest,
    ports::{
        calls::Calls,
        extensions::{Extensions, HookError, Limit},
    },
};
use sandboxer_runtime::{CompilerCommand, Components, Limits, Runtime, RuntimeError, Settings};

use crate::guests::{Guest, LOG};

/// Components in memory.
#[derive(Default)]
pub struct Shelf(Mutex<HashMap<Digest, Arc<[u8]>>>);

impl Shelf {
    pub fn put(&self, bytes: &[u8]) -> Digest {
        let digest = component::digest(bytes);
        self.put_as(digest, bytes);
        digest
    }

    pub fn put_as(&self, digest: Digest, bytes: &[u8]) {
        self.0.lock().unwrap().insert(digest, bytes.into());
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Components for Shelf {
    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, String> {
        self.0.lock().unwrap().get(digest).cloned().ok_or_else(|| "there is no such component".to_owned())
    }
}

/// Records what is asked, and answers as told.
#[derive(Default)]
pub struct Recorder {
    pub asked: Mutex<Vec<String>>,
    pub logged: Mutex<Vec<String>>,
    pub steps: Mutex<Vec<String>>,
    pub stdout: Vec<u8>,
    pub delay: Duration,
}

impl Recorder {
    fn ask(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

#[async_trait]
impl Calls for Recorder {
    fn granted(&self, grant: &str) -> bool {
        grant == "host"
    }

    async fn run(&self, request: CallRequest) -> Result<CallOutput, CallError> {
        self.ask(format!("run {request:?}"));
        tokio::time::sleep(self.delay).await;
        if request.call == "nothing" {
            return Err(CallError::Denied("no such call".to_owned()));
        }
        Ok(CallOutput { exit: Exit::Status(0), stdout: self.stdout.clone(), stderr: Vec::new(), truncated: false })
    }

    async fn start(&self, request: CallRequest) -> Result<(), CallError> {
        self.ask(format!("start {request:?}"));
        Ok(())
    }

    async fn poll(&self, grant: &str, call: &str) -> Result<JobStatus, CallError> {
        self.ask(format!("poll {grant} {call}"));
        Ok(JobStatus::Ended(Exit::Signal(9)))
    }

    async fn note(&self, key: &str) -> Result<Option<String>, CallError> {
        self.ask(format!("note {key}"));
        Ok(Some("kept".to_owned()))
    }

    async fn set_note(&self, key: &str, value: &str) -> Result<(), CallError> {
        self.ask(format!("set {key}={value}"));
        Ok(())
    }

    async fn step(&self, text: &str) {
        self.steps.lock().unwrap().push(text.to_owned());
    }

    fn log(&self, text: &str) {
        self.logged.lock().unwrap().push(text.to_owned());
    }
}

/// A runtime and what belongs to it.
pub struct Fixture {
    pub runtime: Runtime,
    pub shelf: Arc<Shelf>,
    pub directory: tempfile::TempDir,
}

pub fn limits() -> Limits {
    Limits {
        computing: Duration::from_millis(300),
        provision: Duration::from_secs(3),
        wait_ready: Duration::from_secs(3),
        teardown: Duration::from_secs(3),
        access: Duration::from_secs(3),
        compile_cpu: Duration::from_secs(3),
        compile_wall: Duration::from_secs(20),
        ..Limits::default()
    }
}

pub fn settings(cache: PathBuf, limits: Limits) -> Settings {
    let compiler = CompilerCommand { program: env!("CARGO_BIN_EXE_compile-child").into(), args: Vec::new() };
    Settings { cache, compiler, limits }
}

pub fn runtime(cache: PathBuf, shelf: &Arc<Shelf>, limits: Limits, key: u8) -> Result<Runtime, RuntimeError> {
    let components: Arc<dyn Components> = Arc::clone(shelf) as _;
    Runtime::new(settings(cache, limits), components, Arc::new(InstallationKey::from_bytes([key; 32])))
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(limits())
    }

    pub fn with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf::default());
        let runtime = runtime(directory.path().join("cache"), &shelf, limits, 1).unwrap();
        Self { runtime, shelf, directory }
    }

    pub fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// Another process's runtime over the same cache.
    pub fn again(&self) -> Runtime {
        runtime(self.cache(), &self.shelf, limits(), 1).unwrap()
    }

    pub async fn provision(&self, component: &[u8]) -> Result<(), HookError> {
        let digest = self.shelf.put(component);
        self.runtime.provision(&digest, &sandbox(), Arc::new(Recorder::default())).await
    }

    /// A good guest still works.
    pub async fn works(&self) {
        let digest = self.shelf.put(&talker("well"));
        let calls = Arc::new(Recorder::default());
        self.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await.unwrap();
        assert_eq!(*calls.logged.lock().unwrap(), ["well"]);
    }
}

pub fn sandbox() -> SandboxView {
    SandboxView {
        reference: "sbx-abcdef-0123456789abcdef".to_owned(),
        profile: "profile.test@1".to_owned(),
        inputs: vec![("network".to_owned(), "none".to_owned())],
    }
}

/// A guest that logs one line when it provisions.
pub fn talker(line: &str) -> Vec<u8> {
    Guest {
        imports: LOG,
        more: &format!(r#"(data (i32.const 1024) "{line}")"#),
        provision: &format!("(call $log (i32.const 1024) (i32.const {}))", line.len()),
        ..Guest::default()
    }
    .component()
}

/// The limit that this ended at.
pub fn limit(result: Result<(), HookError>) -> Limit {
    match result {
        Err(HookError::Limit { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}
