//! Compiling out of process. Compiling is where a hostile component is most dangerous: some 36 KB can cost 20 seconds and
//! 2 GB, and nothing inside a process can stop it. So a child does it, which has limits from the system and can be killed.

use std::os::unix::process::ExitStatusExt;
use std::{
    io::{self, Read, Write},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use sandboxer_guard::component;
use sandboxer_model::ports::extensions::{HookError, Limit};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use crate::{
    artifact, engine,
    settings::{CompilerCommand, Limits},
    text,
    trap::internal,
};

/// The child's exit status when the component does not compile.
const REFUSED: u8 = 3;
/// The child's exit status when it got no more memory.
const STARVED: u8 = 4;
/// Threads of the child.
const THREADS: usize = 4;
/// Files that the child may have open: its program, libraries, pipes.
const FILES: u64 = 32;
/// Bytes of the child's words that are kept.
const WORDS: u64 = 4 << 10;

/// Compiles a component in a child.
pub(crate) async fn compile(
    compiler: &CompilerCommand,
    limits: &Limits,
    component: &[u8],
) -> Result<Vec<u8>, HookError> {
    let mut child = spawn(compiler, limits).map_err(internal("the compiler cannot be started"))?;
    let talk = converse(&mut child, component);
    let Ok(talked) = tokio::time::timeout(limits.compile_wall, talk).await else {
        let _ = child.kill().await;
        return Err(over(format!("no result within {:?}", limits.compile_wall)));
    };
    let (status, compiled, words) = talked.map_err(internal("the compiler cannot be talked to"))?;
    let words = text::line(&String::from_utf8_lossy(&words), 300);
    if compiled.len() as u64 >= artifact::MAX_SIZE {
        return Err(over("its compiled form is too large".to_owned()));
    }
    match outcome(status, limits) {
        Ok(()) => Ok(compiled),
        Err(HookError::Refused(_)) => Err(HookError::Refused(format!("it does not compile: {words}"))),
        Err(HookError::Internal(what)) => Err(HookError::Internal(format!("{what}: {words}"))),
        Err(error) => Err(error),
    }
}

fn over(detail: String) -> HookError {
    HookError::Limit { limit: Limit::Compile, detail }
}

fn outcome(status: ExitStatus, limits: &Limits) -> Result<(), HookError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(REFUSED) => Err(HookError::Refused(String::new())),
        (Some(code), _) if code == i32::from(STARVED) => {
            Err(over(format!("more than {} MiB of memory", limits.compile_memory >> 20)))
        }
        // Limits kill: SIGXCPU or SIGKILL for time; SIGABRT for memory that was not had, SIGSEGV for stack.
        (None, Some(signal)) => Err(over(format!(
            "more than {:?} of processor time or {} MiB of memory (signal {signal})",
            limits.compile_cpu,
            limits.compile_memory >> 20
        ))),
        (Some(code), None) => Err(HookError::Internal(format!("the compiler ended with status {code}"))),
        (Some(_) | None, _) => Err(HookError::Internal("the compiler ended strangely".to_owned())),
    }
}

#[allow(unsafe_code, reason = "limits can only be set between fork and exec; why it is sound stands at the block")]
fn spawn(compiler: &CompilerCommand, limits: &Limits) -> io::Result<Child> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let mut command = Command::new(&compiler.program);
    command
        .args(&compiler.args)
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        // Each arena of the allocator would reserve address space, of which there is little.
        .env("MALLOC_ARENA_MAX", "2")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let table = resource_limits(limits);
    // SAFETY: between fork and exec only async-signal-safe functions may be called. The closure makes system calls through
    // rustix, which neither allocates nor locks, on numbers that were computed before the fork.
    unsafe {
        command.pre_exec(move || {
            for (resource, value) in table {
                setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?;
            }
            Ok(())
        });
    }
    command.spawn()
}

fn resource_limits(limits: &Limits) -> [(Resource, u64); 5] {
    let seconds = |time: Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
    [
        (Resource::As, limits.compile_memory),
        (Resource::Cpu, seconds(limits.compile_cpu)),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, FILES),
    ]
}

/// Gives the child its work and takes what it answers, until it ends.
async fn converse(child: &mut Child, component: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            // A child that ended early does not read; its exit status says why.
            let _ = stdin.write_all(component).await;
        }
    };
    let ((), compiled, words) = tokio::join!(give, take(stdout, artifact::MAX_SIZE), take(stderr, WORDS));
    let (compiled, words) = (compiled?, words?);
    Ok((child.wait().await?, compiled, words))
}

/// What comes, up to a limit. The rest is not read, and its writer finds the pipe closed.
async fn take(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The compiling child's whole program: reads a component from standard input and writes its compiled form to standard
/// output, and nothing else. For the hidden verb that [`CompilerCommand`] names.
#[must_use]
pub fn compile_child_main() -> ExitCode {
    match compile_stdin() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, words)) => {
            let _ = writeln!(io::stderr(), "{}", text::line(&words, 300));
            ExitCode::from(code)
        }
    }
}

fn compile_stdin() -> Result<(), (u8, String)> {
    let failed = |error: io::Error| (1, error.to_string());
    let mut bytes = Vec::new();
    io::stdin().lock().take(component::MAX_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > component::MAX_SIZE {
        return Err((REFUSED, "it is too large".to_owned()));
    }
    let engine = engine::engine(Limits::default().stack).map_err(|error| (1, error.to_string()))?;
    let compiled = engine.precompile_component(&bytes).map_err(|error| {
        let words = error.root_cause().to_string();
        let starved = words.contains("allocat") || words.contains("os error 12");
        (if starved { STARVED } else { REFUSED }, words)
    })?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&compiled).and_then(|()| stdout.flush()).map_err(failed)
}
