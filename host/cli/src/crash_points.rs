//! Crash points: in a build with debug assertions, a process can be told to write down every milestone that it passes, or
//! to kill itself at one. Release builds do not have this.

use std::sync::Arc;

use sandboxer_model::ports::milestones::{Milestones, Unobserved};

#[cfg(not(debug_assertions))]
pub(crate) fn milestones() -> Arc<dyn Milestones> {
    Arc::new(Unobserved)
}

/// `SANDBOXER_CRASH_TRACE=FILE` appends each milestone; `SANDBOXER_CRASH_AT=N` kills the process at the N-th, from 1.
#[cfg(debug_assertions)]
pub(crate) fn milestones() -> Arc<dyn Milestones> {
    let trace = std::env::var_os("SANDBOXER_CRASH_TRACE").map(std::path::PathBuf::from);
    let at = std::env::var("SANDBOXER_CRASH_AT").ok().and_then(|at| at.parse().ok());
    if trace.is_none() && at.is_none() {
        return Arc::new(Unobserved);
    }
    Arc::new(CrashPoints { trace, at, passed: std::sync::atomic::AtomicU64::new(0) })
}

#[cfg(debug_assertions)]
struct CrashPoints {
    trace: Option<std::path::PathBuf>,
    at: Option<u64>,
    passed: std::sync::atomic::AtomicU64,
}

#[cfg(debug_assertions)]
impl Milestones for CrashPoints {
    fn reached(&self, point: &str) {
        use std::io::Write;
        let passed = self.passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        if let Some(path) = &self.trace {
            let written = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| writeln!(file, "{point}"));
            if let Err(error) = written {
                eprintln!("the crash trace cannot be written: {error}");
                std::process::exit(70);
            }
        }
        if self.at == Some(passed) {
            // The real thing: no destructor runs, no buffer is flushed.
            let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
