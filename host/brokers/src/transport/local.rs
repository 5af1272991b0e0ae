//! The machine that sandboxer runs on, as a host like any other: the same lines, under the same wrapper, in a session
//! of their own.
//!
//! Rejected: running commands directly instead of through the wrapper. It would save an `exec` or two, and then there
//! would be two ways in which a command starts, is found and is stopped, and only one of them would be tested
//! everywhere.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use sandboxer_guard::permit::Terminal;
use sandboxer_model::{
    Error, ErrorCode,
    call::{CallError, Exit},
    ports::stream::{Chunk, TerminalSize},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    signal::unix::{SignalKind, signal},
};

use super::{
    CHUNK, Channel, ChannelControl, ChannelInput, ChannelOutput, Connection, Seat, Transport,
    pty::{self, Master},
};
use crate::settings::{PATH, Settings, find_program};

/// This machine.
pub(crate) struct Local {
    here: Arc<Here>,
}

struct Here {
    setsid: Option<PathBuf>,
    home: PathBuf,
    user: String,
}

impl Local {
    pub(crate) fn new(settings: &Settings) -> Self {
        let here = Here { setsid: find_program("setsid"), home: settings.home.clone(), user: settings.user.clone() };
        Self { here: Arc::new(here) }
    }
}

#[async_trait]
impl Transport for Local {
    async fn connect(&self) -> Result<Arc<dyn Connection>, Error> {
        if self.here.setsid.is_none() {
            let what = "this machine has no `setsid`, which is needed to run commands";
            return Err(Error::new(ErrorCode::HostUnfit, what).hint("install util-linux"));
        }
        heed_signals();
        Ok(Arc::clone(&self.here) as _)
    }

    fn channels(&self) -> usize {
        256
    }

    fn stalls(&self) -> bool {
        false
    }
}

#[async_trait]
impl Connection for Here {
    async fn open(&self, line: &str, terminal: Option<&Terminal>, seat: Seat) -> Result<Channel, CallError> {
        let unavailable = |what: &str, error: &std::io::Error| CallError::Unavailable(format!("{what}: {error}"));
        let setsid = self.setsid.as_ref().ok_or_else(|| CallError::Unavailable("there is no `setsid`".to_owned()))?;
        let mut command = Command::new(setsid);
        command.env_clear().env("PATH", PATH).env("HOME", &self.home).env("USER", &self.user).current_dir("/");
        let Some(terminal) = terminal else {
            command.args(["/bin/sh", "-c", line]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().map_err(|error| unavailable("cannot start a process", &error))?;
            return piped(child, seat);
        };
        let (master, slave) =
            pty::open(terminal.size).map_err(|error| unavailable("cannot open a terminal", &error))?;
        let duplicate = || slave.try_clone().map_err(|error| unavailable("cannot open a terminal", &error));
        command.args(["--ctty", "/bin/sh", "-c", line]);
        command.stdin(duplicate()?).stdout(duplicate()?).stderr(duplicate()?);
        let child = command.spawn().map_err(|error| unavailable("cannot start a process", &error))?;
        // The command keeps the slave open until it is spawned; ours must go, or the terminal would never end.
        drop((command, slave));
        let leader = leader(&child);
        let (master, reaped) = (Arc::new(master), Arc::default());
        Ok(Channel {
            input: Box::new(TerminalInput(Arc::clone(&master))),
            output: Box::new(TerminalOutput {
                child,
                master: Arc::clone(&master),
                open: true,
                exit: None,
                reaped: Arc::clone(&reaped),
                _seat: seat,
            }),
            control: Arc::new(Control { leader, reaped, master: Some(master) }),
        })
    }

    fn is_closed(&self) -> bool {
        false
    }
}

/// What this process ignores, because it was started in the background or under `nohup`, every command would ignore
/// too, and no shell can undo that. A signal that is handled instead, by doing nothing, is back to its default in every
/// child.
fn heed_signals() {
    static DONE: std::sync::Once = std::sync::Once::new();
    DONE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()] {
            if ignored >> (kind.as_raw_value() - 1) & 1 == 1 {
                // The handler stays when the listener is dropped.
                drop(signal(kind));
            }
        }
    });
}

fn leader(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn piped(mut child: Child, seat: Seat) -> Result<Channel, CallError> {
    let leader = leader(&child);
    let missing = || CallError::Lost("a process was started without its pipes".to_owned());
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let reaped = Arc::default();
    let output = PipedOutput {
        child,
        stdout: Some(stdout),
        stderr: Some(stderr),
        out: vec![0; CHUNK],
        err: vec![0; CHUNK],
        exit: None,
        reaped: Arc::clone(&reaped),
        _seat: seat,
    };
    Ok(Channel {
        input: Box::new(PipedInput(Some(stdin))),
        output: Box::new(output),
        control: Arc::new(Control { leader, reaped, master: None }),
    })
}

struct PipedInput(Option<ChildStdin>);

#[async_trait]
impl ChannelInput for PipedInput {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let no_reader = || CallError::Failed("the command no longer reads its standard input".to_owned());
        let stdin = self.0.as_mut().ok_or_else(no_reader)?;
        if stdin.write_all(bytes).await.is_err() {
            self.0 = None;
            return Err(no_reader());
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), CallError> {
        self.0 = None;
        Ok(())
    }
}

struct PipedOutput {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// How it ended, and how much may still be read from the pipes: what was in them at that moment, and not what a
    /// process that it left in the background goes on writing.
    exit: Option<(Exit, usize)>,
    reaped: Arc<AtomicBool>,
    _seat: Seat,
}

#[async_trait]
impl ChannelOutput for PipedOutput {
    async fn next(&mut self) -> Result<Chunk, CallError> {
        loop {
            if let Some((exit, budget)) = &mut self.exit {
                let exit = *exit;
                if let Some(read) = left_in(&mut self.stdout, &mut self.out, budget) {
                    return Ok(Chunk::Stdout(read));
                }
                if let Some(read) = left_in(&mut self.stderr, &mut self.err, budget) {
                    return Ok(Chunk::Stderr(read));
                }
                return Ok(Chunk::Ended(exit));
            }
            let Self { child, stdout, stderr, out, err, .. } = self;
            // Not biased: a process in the background that writes without end must not hide the end of the command.
            tokio::select! {
                read = read(stdout, out), if stdout.is_some() => match read {
                    Some(bytes) => return Ok(Chunk::Stdout(bytes)),
                    None => *stdout = None,
                },
                read = read(stderr, err), if stderr.is_some() => match read {
                    Some(bytes) => return Ok(Chunk::Stderr(bytes)),
                    None => *stderr = None,
                },
                status = child.wait() => {
                    let status = status.map_err(|error| CallError::Lost(format!("cannot wait for a process: {error}")))?;
                    self.reaped.store(true, Ordering::Release);
                    self.exit = Some((exit_of(status), 2 << 20));
                }
            }
        }
    }
}

/// What the next read gives; `None` at the end of the pipe.
async fn read<R: tokio::io::AsyncRead + Unpin>(pipe: &mut Option<R>, buffer: &mut [u8]) -> Option<Vec<u8>> {
    let read = pipe.as_mut()?.read(buffer).await.unwrap_or(0);
    buffer.get(..read).filter(|bytes| !bytes.is_empty()).map(<[u8]>::to_vec)
}

/// What is in the pipe, without waiting. Asks the kernel and not the runtime, which may not have heard of it yet.
fn left_in<F: AsFd>(pipe: &mut Option<F>, buffer: &mut [u8], budget: &mut usize) -> Option<Vec<u8>> {
    let fd: BorrowedFd<'_> = pipe.as_ref()?.as_fd();
    match rustix::io::read(fd, &mut *buffer) {
        Ok(read) if read > 0 && *budget > 0 => {
            *budget = budget.saturating_sub(read);
            buffer.get(..read).map(<[u8]>::to_vec)
        }
        Ok(_) | Err(_) => {
            *pipe = None;
            None
        }
    }
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::Signal(u8::try_from(signal).unwrap_or(u8::MAX)),
        (None, None) => Exit::Status(u8::MAX),
    }
}

struct TerminalInput(Arc<Master>);

/// What a terminal takes for the end of input at the start of a line.
const END_OF_TRANSMISSION: &[u8] = &[4];

#[async_trait]
impl ChannelInput for TerminalInput {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let gone = |error| CallError::Failed(format!("the terminal no longer reads: {error}"));
        self.0.write_all(bytes).await.map_err(gone)
    }

    async fn close(&mut self) -> Result<(), CallError> {
        // A terminal that is gone has ended already.
        let _ = self.0.write_all(END_OF_TRANSMISSION).await;
        Ok(())
    }
}

struct TerminalOutput {
    child: Child,
    master: Arc<Master>,
    open: bool,
    exit: Option<(Exit, usize)>,
    reaped: Arc<AtomicBool>,
    _seat: Seat,
}

#[async_trait]
impl ChannelOutput for TerminalOutput {
    async fn next(&mut self) -> Result<Chunk, CallError> {
        loop {
            if let Some((exit, budget)) = &mut self.exit {
                return Ok(match self.master.left(budget) {
                    Some(bytes) => Chunk::Stdout(bytes),
                    None => Chunk::Ended(*exit),
                });
            }
            tokio::select! {
                read = self.master.read(), if self.open => match read {
                    Some(bytes) => return Ok(Chunk::Stdout(bytes)),
                    None => self.open = false,
                },
                status = self.child.wait() => {
                    let status = status.map_err(|error| CallError::Lost(format!("cannot wait for a process: {error}")))?;
                    self.reaped.store(true, Ordering::Release);
                    self.exit = Some((exit_of(status), 2 << 20));
                }
            }
        }
    }
}

struct Control {
    leader: Option<Pid>,
    /// Set once the leader has been waited for: from then on its number may be somebody else's.
    reaped: Arc<AtomicBool>,
    master: Option<Arc<Master>>,
}

#[async_trait]
impl ChannelControl for Control {
    async fn resize(&self, size: TerminalSize) -> Result<(), CallError> {
        let gone = |error| CallError::Lost(format!("the terminal cannot be resized: {error}"));
        self.master.as_ref().map_or(Ok(()), |master| master.resize(size).map_err(gone))
    }

    async fn kill(&self) {
        if let Some(leader) = self.leader
            && !self.reaped.load(Ordering::Acquire)
        {
            // Gone already is what is wanted.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
