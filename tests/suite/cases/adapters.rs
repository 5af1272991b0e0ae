//! Adapters that fail in the middle: the host removes what was made without their help, and the next create works.
//!
//! The real bubblewrap adapter runs in the real runtime over the real guard, store and brokers; only its answers are replaced by
//! the faults that the runtime reports for a hostile guest (the runtime's own suite shows that it reports them).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sandboxer_brokers::Brokers;
use sandboxer_guard::{Guard, calls::Silent, key::InstallationKey, ledger::LedgerSealer};
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::{CallRequest, ExecRequest, LogsRequest, Readiness, SandboxView},
    id::{Digest, ExtensionName, HostName, ProfileName},
    ports::{
        calls::Calls,
        extensions::{Extensions, HookError, Limit},
        milestones::Unobserved,
        store::Filter,
    },
    profile::Profile,
    sandbox::{Actor, ResourceState, State},
};
use sandboxer_runtime::{CompilerCommand, Components, Limits, Runtime};
use sandboxer_service::{
    Service, Shelf,
    catalog::{Catalog, read_profile},
    create::CreateRequest,
    worker,
};
use sandboxer_store::SqliteStore;
use tokio_util::sync::CancellationToken;

use crate::home::{binary, repository};

/// When the adapter fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    TrapsBeforeProvision,
    TrapsAfterProvision,
    LoopsAfterProvision,
    NeverReady,
    TrapsInTeardown,
    LoopsInTeardown,
    LiesInTeardown,
}

struct Faulty {
    inner: Runtime,
    fault: Mutex<Fault>,
}

impl Faulty {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }
}

fn trap() -> HookError {
    HookError::Trapped("unreachable".into())
}

fn looped() -> HookError {
    HookError::Limit { limit: Limit::Time, detail: "5 s".into() }
}

#[async_trait]
impl Extensions for Faulty {
    async fn prepare(&self, component: &Digest) -> Result<(), HookError> {
        self.inner.prepare(component).await
    }
    async fn provision(&self, component: &Digest, view: &SandboxView, calls: Arc<dyn Calls>) -> Result<(), HookError> {
        if self.fault() == Fault::TrapsBeforeProvision {
            return Err(trap());
        }
        self.inner.provision(component, view, calls).await?;
        match self.fault() {
            Fault::TrapsAfterProvision => Err(trap()),
            Fault::LoopsAfterProvision => Err(looped()),
            _ => Ok(()),
        }
    }
    async fn wait_ready(
        &self,
        component: &Digest,
        view: &SandboxView,
        calls: Arc<dyn Calls>,
    ) -> Result<Readiness, HookError> {
        if self.fault() == Fault::NeverReady {
            return Ok(Readiness::Pending { retry_after_ms: 1, what: "the end of time".into() });
        }
        self.inner.wait_ready(component, view, calls).await
    }
    async fn teardown(&self, component: &Digest, view: &SandboxView, calls: Arc<dyn Calls>) -> Result<(), HookError> {
        match self.fault() {
            Fault::TrapsInTeardown => Err(trap()),
            Fault::LoopsInTeardown => Err(looped()),
            Fault::LiesInTeardown => Ok(()),
            _ => self.inner.teardown(component, view, calls).await,
        }
    }
    async fn exec(
        &self,
        component: &Digest,
        view: &SandboxView,
        request: &ExecRequest,
    ) -> Result<CallRequest, HookError> {
        self.inner.exec(component, view, request).await
    }
    async fn logs(
        &self,
        component: &Digest,
        view: &SandboxView,
        request: &LogsRequest,
    ) -> Result<CallRequest, HookError> {
        self.inner.logs(component, view, request).await
    }
}

/// The bundled adapter and profile, from the files that the build made and the repository holds.
struct Files;

fn component() -> Vec<u8> {
    let built = binary().ancestors().nth(2).unwrap().join("guests/wasm32-wasip2/release/bubblewrap.wasm");
    std::fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()))
}

impl Catalog for Files {
    fn profiles(&self) -> Vec<ProfileName> {
        vec!["agent-dev".parse().unwrap()]
    }
    fn profile(&self, name: &ProfileName) -> Result<Profile> {
        let text = std::fs::read_to_string(repository().join(format!("profiles/{name}.toml"))).unwrap();
        // A deadline that a test can wait for.
        read_profile(&text.replace("ready-within-s = 60", "ready-within-s = 1"), "profile")
    }
    fn extensions(&self) -> Vec<ExtensionName> {
        vec!["bubblewrap".parse().unwrap()]
    }
    fn component(&self, _name: &ExtensionName) -> Result<Arc<[u8]>> {
        Ok(Arc::from(component()))
    }
}

struct Kept;

impl Shelf for Kept {
    fn bytes(&self, _digest: &Digest) -> Result<Vec<u8>> {
        Ok(component())
    }
    fn keep(&self, _digest: &Digest, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl Components for Kept {
    fn bytes(&self, _digest: &Digest) -> Result<Arc<[u8]>, String> {
        Ok(Arc::from(component()))
    }
}

struct Bench {
    dir: tempfile::TempDir,
    service: Service,
    faulty: Arc<Faulty>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sbx-faults-").tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), None, None).unwrap();
        set_mode(dir.path(), 0o711);
        let root = dir.path().join("root");
        std::fs::write(dir.path().join("connections.toml"), format!("[hosts.local]\nroot = \"{}\"\n", root.display()))
            .unwrap();
        let key = Arc::new(InstallationKey::from_bytes([5; 32]));
        let sealer = Arc::new(LedgerSealer::new(Arc::clone(&key)));
        let store =
            Arc::new(SqliteStore::open(&dir.path().join("data/store.db"), sealer, Arc::new(Unobserved)).unwrap());
        let settings = sandboxer_brokers::Settings::from_user(dir.path().join("connections.toml")).unwrap();
        let brokers = Arc::new(Brokers::new(settings).unwrap());
        let runtime = Runtime::new(
            sandboxer_runtime::Settings {
                cache: dir.path().join("compiled"),
                compiler: CompilerCommand { program: binary().to_owned(), args: vec!["compile-component".into()] },
                limits: Limits::default(),
            },
            Arc::new(Kept),
            Arc::clone(&key),
        )
        .unwrap();
        let faulty = Arc::new(Faulty { inner: runtime, fault: Mutex::new(Fault::None) });
        let guard = Arc::new(Guard::new(Arc::clone(&store) as _, Arc::clone(&brokers) as _, Arc::new(Unobserved)));
        let service = Service {
            store,
            guard,
            extensions: Arc::clone(&faulty) as _,
            hosts: brokers,
            catalog: Arc::new(Files),
            shelf: Arc::new(Kept),
            key,
            worker: worker::this_process(),
            default_host: HostName::local(),
        };
        Self { dir, service, faulty }
    }

    fn set(&self, fault: Fault) {
        *self.faulty.fault.lock().unwrap() = fault;
    }

    async fn create(&self, cancel: &CancellationToken) -> Result<sandboxer_model::sandbox::Sandbox> {
        let request = CreateRequest {
            profile: "agent-dev".parse().unwrap(),
            inputs: Vec::new(),
            name: None,
            project: "default".parse().unwrap(),
            actor: Actor::Agent,
            labels: std::collections::BTreeMap::new(),
            host: None,
        };
        self.service.create(request, Arc::new(Silent), cancel).await
    }

    fn homes(&self) -> Vec<PathBuf> {
        match std::fs::read_dir(self.dir.path().join("root")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Everything is destroyed, every resource gone, every chain closed, nothing on the host.
    async fn assert_nothing_left(&self, sandboxes: usize) {
        let all = Filter { all: true, limit: 100, ..Filter::default() };
        let found = self.service.store.list(&all).await.unwrap();
        assert_eq!(found.len(), sandboxes);
        for sandbox in found {
            assert_eq!(sandbox.state, State::Destroyed, "{}", sandbox.reason);
            for resource in self.service.store.resources(&sandbox.id).await.unwrap() {
                assert_eq!(resource.state, ResourceState::Gone, "{resource:?}");
            }
            self.service.verified_ledger(&sandbox.id).await.unwrap();
        }
        assert_eq!(self.homes(), Vec::<PathBuf>::new());
        let needle = self.dir.path().display().to_string();
        let until = std::time::Instant::now() + Duration::from_secs(5);
        // The watcher of this process's own broker does not count: it serves, it is not a sandbox.
        while crate::home::processes_with(&needle).iter().any(|process| process.contains("bwrap")) {
            assert!(std::time::Instant::now() < until, "{:#?}", crate::home::processes_with(&needle));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_that_fails_while_making_leaves_nothing() {
    let bench = Bench::new();
    let faults = [
        (Fault::TrapsBeforeProvision, ErrorCode::AdapterTrapped),
        (Fault::TrapsAfterProvision, ErrorCode::AdapterTrapped),
        (Fault::LoopsAfterProvision, ErrorCode::AdapterLimit),
        (Fault::NeverReady, ErrorCode::TimedOut),
    ];
    for (count, (fault, code)) in faults.into_iter().enumerate() {
        bench.set(fault);
        let error: Error = bench.create(&CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.code, code, "{fault:?}: {error}");
        bench.assert_nothing_left(count + 1).await;
    }
    bench.set(Fault::None);
    let next = bench.create(&CancellationToken::new()).await.unwrap();
    assert_eq!(next.state, State::Ready);
    bench.service.destroy(&next.id, Actor::Agent, "test", Arc::new(Silent), &CancellationToken::new()).await.unwrap();
    bench.assert_nothing_left(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_that_fails_or_lies_in_teardown_changes_nothing() {
    let bench = Bench::new();
    for (count, fault) in
        [Fault::TrapsInTeardown, Fault::LoopsInTeardown, Fault::LiesInTeardown].into_iter().enumerate()
    {
        bench.set(Fault::None);
        let made = bench.create(&CancellationToken::new()).await.unwrap();
        bench.set(fault);
        bench
            .service
            .destroy(&made.id, Actor::Agent, "test", Arc::new(Silent), &CancellationToken::new())
            .await
            .unwrap();
        bench.assert_nothing_left(count + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_create_leaves_nothing() {
    let bench = Bench::new();
    for (count, after_ms) in [0_u64, 5, 20, 40].into_iter().enumerate() {
        bench.set(Fault::NeverReady);
        let cancel = CancellationToken::new();
        let trigger = cancel.clone();
        let fired = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&fired);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            mark.store(true, Ordering::SeqCst);
            trigger.cancel();
        });
        let error = bench.create(&cancel).await.unwrap_err();
        assert!(fired.load(Ordering::SeqCst));
        assert_eq!(error.code, ErrorCode::Cancelled, "{error}");
        bench.assert_nothing_left(count + 1).await;
    }
}
