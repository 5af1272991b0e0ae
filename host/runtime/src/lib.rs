//! Floor 2: running adapters. The only crate that knows wasmtime.
//!
//! A component is inspected, compiled in a limited child, cached under a signature, linked once per process, and
//! instantiated afresh for every call of a hook. The instance's only way out is the [`Calls`] that it is given, which the
//! guard implements: nothing here decides what an adapter may do, and nothing here can widen it.
//!
//! Deliberately absent: files, sockets, threads, an environment, and a component that stays alive between calls.

mod artifact;
mod bindings;
mod compile;
mod convert;
mod engine;
mod imports;
mod instance;
mod journal;
#[doc(hidden)]
pub mod measuring;
mod settings;
mod text;
mod ticker;
mod trap;

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use sandboxer_guard::{
    component::{self, ComponentRefused, Declared},
    key::InstallationKey,
    manifest::Manifest,
};
use sandboxer_model::{
    call::{CallRequest, ExecRequest, LogsRequest, Readiness, SandboxView},
    id::Digest,
    ports::{
        calls::Calls,
        extensions::{Extensions, HookError, Limit},
    },
};
use tokio::sync::OnceCell;
use wasmtime::{Engine, Store, component::Linker};

use crate::{
    artifact::{Artifact, Cache},
    bindings::{ExtensionPre, entered::EnteredPre, sandboxer::extension::types::Error},
    instance::{Instance, NoCalls},
    ticker::Ticker,
    trap::{internal, unfit},
};

pub use crate::{
    compile::compile_child_main,
    settings::{CompilerCommand, Components, Limits, RuntimeError, Settings},
};

/// Runs adapters' hooks.
pub struct Runtime {
    settings: Settings,
    components: Arc<dyn Components>,
    cache: Cache,
    machine: Mutex<Option<Arc<Machine>>>,
    loaded: Mutex<HashMap<Digest, Arc<OnceCell<Loaded>>>>,
}

/// The engine and what belongs to it. Made when first needed: most commands run no adapter.
struct Machine {
    engine: Engine,
    linker: Linker<Instance>,
    ticker: Ticker,
    compatibility: [u8; 32],
}

/// A component, linked and ready to be instantiated.
struct Loaded {
    lifecycle: ExtensionPre<Instance>,
    access: Option<EnteredPre<Instance>>,
}

/// What a hook answers: wasmtime's failure, the adapter's own error, or the answer.
type Answer<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<Result<T, Error>>> + Send + 'a>>;

impl Runtime {
    /// A runtime over this cache and these components.
    ///
    /// # Errors
    /// [`RuntimeError`] when the cache's directory cannot be used or is not safe.
    pub fn new(
        settings: Settings,
        components: Arc<dyn Components>,
        key: Arc<InstallationKey>,
    ) -> Result<Self, RuntimeError> {
        let cache = Cache::open(&settings.cache, key)?;
        Ok(Self { settings, components, cache, machine: Mutex::default(), loaded: Mutex::default() })
    }

    fn machine(&self) -> Result<Arc<Machine>, HookError> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machine) = &*machine {
            return Ok(Arc::clone(machine));
        }
        let made = Arc::new(Machine::new(self.settings.limits.stack)?);
        *machine = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The component, linked. Several calls that come at once load it once.
    async fn loaded(&self, machine: &Machine, digest: &Digest) -> Result<Arc<OnceCell<Loaded>>, HookError> {
        let cell = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(loaded.entry(*digest).or_default())
        };
        cell.get_or_try_init(|| self.load(machine, digest)).await?;
        Ok(cell)
    }

    async fn load(&self, machine: &Machine, digest: &Digest) -> Result<Loaded, HookError> {
        if let Some(artifact) = self.cache.find(digest, &machine.compatibility) {
            match machine.link(&artifact) {
                Ok(loaded) => return Ok(loaded),
                Err(why) => tracing::warn!("a compiled component does not load and is compiled again: {why}"),
            }
        }
        let mut artifact = self.compile(digest).await?;
        let loaded = machine.link(&artifact)?;
        self.cache.keep(&mut artifact, digest, &machine.compatibility);
        Ok(loaded)
    }

    async fn compile(&self, digest: &Digest) -> Result<Artifact, HookError> {
        let bytes = self.components.bytes(digest).map_err(HookError::Refused)?;
        if component::digest(&bytes) != *digest {
            return Err(HookError::Refused(format!("its bytes do not have the digest {digest}")));
        }
        inspect(&bytes)?;
        compile::compile(&self.settings.compiler, &self.settings.limits, &bytes).await.map(Artifact::compiled)
    }

    /// Runs one hook in a fresh instance, and throws the instance away.
    async fn call<T>(
        &self,
        digest: &Digest,
        calls: Arc<dyn Calls>,
        wall: Duration,
        hook: impl for<'a> FnOnce(&'a mut Store<Instance>, &'a Loaded) -> Answer<'a, T> + Send,
    ) -> Result<T, HookError> {
        let machine = self.machine()?;
        let cell = self.loaded(&machine, digest).await?;
        let loaded = cell.get().ok_or_else(|| HookError::Internal("a loaded component is gone".to_owned()))?;
        let _running = machine.ticker.run().map_err(internal("the ticker cannot be started"))?;
        let mut store = Instance::store(&machine.engine, &self.settings.limits, calls);
        let answer = tokio::time::timeout(wall, hook(&mut store, loaded)).await;
        let instance = store.data_mut();
        let result = match answer {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(HookError::Failed(convert::error_from_guest(error))),
            Ok(Err(error)) => Err(trap::died_of(&error, instance.journal.last_words().as_deref())),
            Err(_elapsed) => Err(HookError::Limit { limit: Limit::Time, detail: format!("no answer within {wall:?}") }),
        };
        for line in instance.journal.written() {
            instance.calls().log(&line);
        }
        result
    }
}

impl Machine {
    fn new(stack: usize) -> Result<Self, HookError> {
        let engine = engine::engine(stack)?;
        let mut linker = Linker::new(&engine);
        imports::add_to_linker(&mut linker).map_err(internal("the imports cannot be linked"))?;
        let compatibility = engine::compatibility(&engine);
        Ok(Self { ticker: Ticker::new(engine.clone()), engine, linker, compatibility })
    }

    fn link(&self, artifact: &Artifact) -> Result<Loaded, HookError> {
        let component = artifact.load(&self.engine)?;
        let linked = self.linker.instantiate_pre(&component).map_err(|error| unfit(&error))?;
        let access = component.get_export_index(None, ACCESS).is_some();
        Ok(Loaded {
            access: access.then(|| EnteredPre::new(linked.clone())).transpose().map_err(|error| unfit(&error))?,
            lifecycle: ExtensionPre::new(linked).map_err(|error| unfit(&error))?,
        })
    }
}

const ACCESS: &str = "sandboxer:extension/access@0.1.0";

/// Everything that can be refused without compiling.
fn inspect(bytes: &[u8]) -> Result<(), HookError> {
    let refused = |error: ComponentRefused| match error {
        ComponentRefused::TooLarge { .. } | ComponentRefused::TooDeep | ComponentRefused::TooMany { .. } => {
            HookError::Limit { limit: Limit::Component, detail: error.to_string() }
        }
        ComponentRefused::NotAComponent
        | ComponentRefused::Invalid(_)
        | ComponentRefused::UnknownImport { .. }
        | ComponentRefused::Undeclared { .. }
        | ComponentRefused::MissingExport { .. }
        | ComponentRefused::SwitchedOff { .. }
        | ComponentRefused::NoManifest
        | ComponentRefused::SecondManifest
        | ComponentRefused::LargeManifest { .. }
        | ComponentRefused::ManifestNotText => HookError::Refused(error.to_string()),
    };
    let component = component::inspect(bytes).map_err(refused)?;
    let manifest = Manifest::parse(&component.manifest).map_err(|error| HookError::Refused(error.to_string()))?;
    component::check_imports(&component, Declared { ssh: !manifest.ssh.is_empty() }).map_err(refused)
}

#[async_trait]
impl Extensions for Runtime {
    async fn prepare(&self, component: &Digest) -> Result<(), HookError> {
        let machine = self.machine()?;
        self.loaded(&machine, component).await.map(drop)
    }

    async fn provision(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        calls: Arc<dyn Calls>,
    ) -> Result<(), HookError> {
        let sandbox = convert::sandbox(sandbox);
        self.call(component, calls, self.settings.limits.provision, |store, loaded| {
            Box::pin(async move {
                let guest = loaded.lifecycle.instantiate_async(&mut *store).await?;
                guest.sandboxer_extension_lifecycle().call_provision(store, &sandbox).await
            })
        })
        .await
    }

    async fn wait_ready(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        calls: Arc<dyn Calls>,
    ) -> Result<Readiness, HookError> {
        let sandbox = convert::sandbox(sandbox);
        let answer = self
            .call(component, calls, self.settings.limits.wait_ready, |store, loaded| {
                Box::pin(async move {
                    let guest = loaded.lifecycle.instantiate_async(&mut *store).await?;
                    guest.sandboxer_extension_lifecycle().call_wait_ready(store, &sandbox).await
                })
            })
            .await?;
        convert::readiness(answer).map_err(HookError::Failed)
    }

    async fn teardown(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        calls: Arc<dyn Calls>,
    ) -> Result<(), HookError> {
        let sandbox = convert::sandbox(sandbox);
        self.call(component, calls, self.settings.limits.teardown, |store, loaded| {
            Box::pin(async move {
                let guest = loaded.lifecycle.instantiate_async(&mut *store).await?;
                guest.sandboxer_extension_lifecycle().call_teardown(store, &sandbox).await
            })
        })
        .await
    }

    async fn exec(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        request: &ExecRequest,
    ) -> Result<CallRequest, HookError> {
        let (sandbox, request) = (convert::sandbox(sandbox), convert::exec_request(request));
        let answer = self
            .call(component, Arc::new(NoCalls), self.settings.limits.access, |store, loaded| {
                Box::pin(async move {
                    let Some(access) = &loaded.access else { return Ok(Ok(None)) };
                    let guest = access.instantiate_async(&mut *store).await?;
                    let answer = guest.sandboxer_extension_access().call_exec(store, &sandbox, &request).await?;
                    Ok(answer.map(Some))
                })
            })
            .await?;
        convert::prepared_call(answer.ok_or(HookError::Unsupported("exec"))?).map_err(HookError::Failed)
    }

    async fn logs(
        &self,
        component: &Digest,
        sandbox: &SandboxView,
        request: &LogsRequest,
    ) -> Result<CallRequest, HookError> {
        let (sandbox, request) = (convert::sandbox(sandbox), convert::logs_request(*request));
        let answer = self
            .call(component, Arc::new(NoCalls), self.settings.limits.access, |store, loaded| {
                Box::pin(async move {
                    let Some(access) = &loaded.access else { return Ok(Ok(None)) };
                    let guest = access.instantiate_async(&mut *store).await?;
                    let answer = guest.sandboxer_extension_access().call_logs(store, &sandbox, request).await?;
                    Ok(answer.map(Some))
                })
            })
            .await?;
        convert::prepared_call(answer.ok_or(HookError::Unsupported("logs"))?).map_err(HookError::Failed)
    }
}
