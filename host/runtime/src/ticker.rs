//! The clock that interrupts guests: a thread that advances the engine's epoch while calls run, and sleeps otherwise.
//!
//! A thread and not a task, because a guest that computes without end keeps a single-threaded executor from running tasks.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use wasmtime::Engine;

/// How often guests are interrupted.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks while at least one [`Running`] lives.
pub(crate) struct Ticker(Arc<Shared>);

struct Shared {
    engine: Engine,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    started: bool,
    stopped: bool,
}

/// A call that runs.
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    pub(crate) fn new(engine: Engine) -> Self {
        Self(Arc::new(Shared { engine, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Ticks until what this returns is dropped.
    pub(crate) fn run(&self) -> std::io::Result<Running> {
        let mut state = self.0.lock();
        if !state.started {
            let shared = Arc::clone(&self.0);
            thread::Builder::new().name("ticker".to_owned()).spawn(move || shared.tick())?;
            state.started = true;
        }
        state.running += 1;
        if state.running == 1 {
            self.0.changed.notify_one();
        }
        Ok(Running(Arc::clone(&self.0)))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = state.running.saturating_sub(1);
    }
}

impl Shared {
    /// A panic while the lock was held cannot have left two plain numbers in disorder.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut state = self.lock();
        while !state.stopped || state.running > 0 {
            if state.running == 0 {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                drop(state);
                thread::sleep(TICK);
                self.engine.increment_epoch();
                state = self.lock();
            }
        }
    }
}
