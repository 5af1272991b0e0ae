//! What one instance of an adapter carries: the capabilities that were frozen when it was made, and the limits that it is
//! held to. It lives for one call of a hook.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sandboxer_model::{
    call::{CallError, CallOutput, CallRequest, JobStatus},
    ports::{calls::Calls, extensions::Limit},
};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView};

use crate::{imports::wasi, journal::Journal, settings::Limits, ticker::TICK, trap::Exceeded};

/// Bytes of a table's element.
const ELEMENT: usize = size_of::<usize>();

/// One instance's state.
pub(crate) struct Instance {
    calls: Arc<dyn Calls>,
    calls_left: u32,
    table: ResourceTable,
    wasi: WasiCtx,
    pub(crate) journal: Journal,
    memory: Memory,
    clock: Clock,
}

impl Instance {
    /// A store with a fresh instance's state in it, every limit set.
    pub(crate) fn store(engine: &Engine, limits: &Limits, calls: Arc<dyn Calls>) -> Store<Self> {
        let journal = Journal::new(limits);
        let (stdout, stderr) = journal.outputs();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut store = Store::new(
            engine,
            Self {
                calls,
                calls_left: limits.calls,
                table,
                wasi: wasi::context(stdout, stderr),
                journal,
                memory: Memory { used: 0, limit: limits.memory, parts: limits.parts },
                clock: Clock { spent: Duration::ZERO, since: Instant::now(), limit: limits.computing },
            },
        );
        store.limiter(|instance| &mut instance.memory);
        store.set_hostcall_fuel(limits.transfer);
        store.set_max_component_handles(limits.handles);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().clock.advance()?;
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    pub(crate) fn calls(&self) -> Arc<dyn Calls> {
        Arc::clone(&self.calls)
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }

    /// Counts one call to the outside.
    pub(crate) fn spend_call(&mut self) -> Result<(), CallError> {
        match self.calls_left.checked_sub(1) {
            Some(left) => {
                self.calls_left = left;
                Ok(())
            }
            None => Err(CallError::Denied("too many calls from one hook".to_owned())),
        }
    }

    /// Waits for work outside, which does not count as the guest's computing.
    pub(crate) async fn waiting<F: Future>(&mut self, work: F) -> Result<F::Output, Exceeded> {
        self.clock.advance()?;
        let result = work.await;
        self.clock.since = Instant::now();
        Ok(result)
    }
}

/// How long the guest has computed.
struct Clock {
    spent: Duration,
    since: Instant,
    limit: Duration,
}

impl Clock {
    /// Counts the time since the last look, but no more than two ticks: a longer gap is other work on this thread.
    fn advance(&mut self) -> Result<(), Exceeded> {
        let now = Instant::now();
        self.spent += now.duration_since(self.since).min(TICK * 2);
        self.since = now;
        if self.spent <= self.limit {
            return Ok(());
        }
        Err(Exceeded { limit: Limit::Time, detail: format!("it computed for more than {:?}", self.limit) })
    }
}

/// All memories and tables of an instance together; the limiter that wasmtime brings counts each by itself.
struct Memory {
    used: usize,
    limit: usize,
    parts: usize,
}

impl Memory {
    fn grow(&mut self, more: usize) -> wasmtime::Result<bool> {
        match self.used.checked_add(more).filter(|used| *used <= self.limit) {
            Some(used) => {
                self.used = used;
                Ok(true)
            }
            None => Err(wasmtime::Error::new(Exceeded {
                limit: Limit::Memory,
                detail: format!("more than {} MiB of memories and tables", self.limit >> 20),
            })),
        }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(ELEMENT))
    }

    fn instances(&self) -> usize {
        self.parts
    }

    fn tables(&self) -> usize {
        self.parts
    }

    fn memories(&self) -> usize {
        self.parts
    }
}

/// The capabilities of an instance that is only asked how to get inside: none.
pub(crate) struct NoCalls;

impl NoCalls {
    fn denied<T>() -> Result<T, CallError> {
        Err(CallError::Denied("no calls are made while an access is prepared".to_owned()))
    }
}

#[async_trait]
impl Calls for NoCalls {
    fn granted(&self, _grant: &str) -> bool {
        false
    }

    async fn run(&self, _request: CallRequest) -> Result<CallOutput, CallError> {
        Self::denied()
    }

    async fn start(&self, _request: CallRequest) -> Result<(), CallError> {
        Self::denied()
    }

    async fn poll(&self, _grant: &str, _call: &str) -> Result<JobStatus, CallError> {
        Self::denied()
    }

    async fn note(&self, _key: &str) -> Result<Option<String>, CallError> {
        Self::denied()
    }

    async fn set_note(&self, _key: &str, _value: &str) -> Result<(), CallError> {
        Self::denied()
    }

    async fn step(&self, _text: &str) {}

    fn log(&self, text: &str) {
        tracing::debug!(target: "sandboxer::extension", "{text}");
    }
}
