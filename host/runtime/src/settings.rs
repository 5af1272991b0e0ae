//! What a runtime is made with, and every limit that it holds its guests to.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sandboxer_model::id::Digest;

/// What a runtime is made with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory for compiled components. It is made with mode 0700 when it is missing; it must be ours, no symbolic
    /// link, and writable by nobody else.
    pub cache: PathBuf,
    /// How the compiling child is started.
    pub compiler: CompilerCommand,
    /// The limits.
    pub limits: Limits,
}

/// A command that runs [`compile_child_main`](crate::compile_child_main): the sandboxer binary and its hidden verb.
#[derive(Debug, Clone)]
pub struct CompilerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The limits of one call of a hook and of one compilation. The defaults are ten times and more what the bundled
/// adapters need.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all memories and tables of an instance together.
    pub memory: usize,
    /// Core instances, memories and tables of an instance, each.
    pub parts: usize,
    /// Bytes of stack for nested calls.
    pub stack: usize,
    /// Bytes that the guest may pass to the host in one call.
    pub transfer: usize,
    /// Handles that may be open at once.
    pub handles: usize,
    /// Prepared calls and notes that one call of a hook may ask for; more are denied.
    pub calls: u32,
    /// Time that the guest itself may compute. Waiting for prepared calls does not count.
    pub computing: Duration,
    /// Wall clock for `provision`, which waits for real commands.
    pub provision: Duration,
    /// Wall clock for one `wait-ready`.
    pub wait_ready: Duration,
    /// Wall clock for `teardown`.
    pub teardown: Duration,
    /// Wall clock for `exec` and `logs`, which wait for nothing.
    pub access: Duration,
    /// Lines that reach the operator's log; more are dropped.
    pub log_lines: usize,
    /// Bytes of standard output and standard error that are kept for the log; more are dropped.
    pub output: usize,
    /// Steps that are shown; more are dropped.
    pub steps: usize,
    /// Address space of the compiling child, in bytes.
    pub compile_memory: u64,
    /// Processor time of the compiling child.
    pub compile_cpu: Duration,
    /// Wall clock for a compilation.
    pub compile_wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            parts: 64,
            stack: 512 << 10,
            transfer: 1 << 20,
            handles: 1_000,
            calls: 1_000,
            computing: Duration::from_secs(5),
            provision: Duration::from_secs(30 * 60),
            wait_ready: Duration::from_secs(2 * 60),
            teardown: Duration::from_secs(10 * 60),
            access: Duration::from_secs(10),
            log_lines: 200,
            output: 16 << 10,
            steps: 100,
            compile_memory: 512 << 20,
            compile_cpu: Duration::from_secs(20),
            compile_wall: Duration::from_secs(60),
        }
    }
}

/// Where components come from.
pub trait Components: Send + Sync {
    /// The bytes of this component. They are hashed again before they are used.
    ///
    /// # Errors
    /// A sentence that says why there are none.
    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, String>;
}

/// A runtime cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The directory for compiled components cannot be made or opened.
    #[error("the directory for compiled components {} cannot be {what}", path.display())]
    CacheUnusable {
        /// The directory.
        path: PathBuf,
        /// What was tried: "made", "opened".
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The directory for compiled components is not safe: what lies in it is native code.
    #[error("the directory for compiled components {} is refused: {why}", path.display())]
    CacheRefused {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
}
