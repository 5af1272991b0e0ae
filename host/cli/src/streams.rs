//! Passing streams through: standard input, output and error, the exit status, signals, and the terminal.

use std::{
    io::{self, IsTerminal, Read, Write},
    sync::Arc,
};

use rustix::termios::{self, OptionalActions, Termios};
use sandboxer_guard::access::Access;
use sandboxer_model::{
    Error, ErrorCode, Result,
    call::CallError,
    ports::stream::{Chunk, Signal, StreamControl, StreamInput, TerminalSize},
};
use sandboxer_service::exec::stream_error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::output::broken_pipe;

/// Whether somebody sits in front of both ends.
pub(crate) fn on_a_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// What the terminal is called, for the program inside.
pub(crate) fn term() -> String {
    let named = |name: &String| {
        !name.is_empty()
            && name.len() <= 40
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+'))
    };
    std::env::var("TERM").ok().filter(named).unwrap_or_else(|| "xterm".to_owned())
}

/// The terminal's size; that of a classic terminal when it does not say.
pub(crate) fn size() -> TerminalSize {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => TerminalSize { rows: size.ws_row, columns: size.ws_col },
        Ok(_) | Err(_) => TerminalSize { rows: 24, columns: 80 },
    }
}

/// The terminal in raw mode, and back to what it was when this is dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Result<Self> {
        let failed = |error: rustix::io::Errno| {
            Error::new(ErrorCode::Internal, "the terminal cannot be put into raw mode").because(io::Error::from(error))
        };
        let before = termios::tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _restored = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Passes everything through until the command ends; answers its exit status as a shell would.
pub(crate) async fn pass_through(access: Access, terminal: bool) -> Result<u8> {
    let raw = if terminal && io::stdin().is_terminal() { Some(RawTerminal::enter()?) } else { None };
    let Access { input, control, output } = access;
    let feeding = tokio::spawn(feed(input));
    let answer = receive(output, control, terminal).await;
    feeding.abort();
    drop(raw);
    answer
}

/// Shows what comes until it ends; nothing goes in.
pub(crate) async fn read_only(access: Access) -> Result<u8> {
    let Access { mut input, control, output } = access;
    // The command may have ended already: then there is no input to close.
    drop(input.close().await);
    receive(output, control, false).await
}

async fn receive(
    mut output: sandboxer_guard::access::AccessOutput,
    control: Arc<dyn StreamControl>,
    terminal: bool,
) -> Result<u8> {
    let mut signals = Signals::new()?;
    let mut interrupts = 0_u32;
    loop {
        let chunk = tokio::select! {
            chunk = output.next() => chunk.map_err(stream_error)?,
            event = signals.next() => {
                match event {
                    Event::Resized if terminal => drop(control.resize(size()).await),
                    Event::Resized => {}
                    Event::Signal(wanted) => {
                        interrupts += 1;
                        // Who asks a third time does not want to wait for the command's own opinion.
                        if interrupts >= 3 {
                            output.abandon().await.map_err(stream_error)?;
                            return Err(Error::new(ErrorCode::Cancelled, "stopped; the command was killed"));
                        }
                        drop(control.signal(wanted).await);
                    }
                }
                continue;
            }
        };
        let written = match chunk {
            Chunk::Stdout(bytes) => write_all(io::stdout(), bytes).await,
            Chunk::Stderr(bytes) => write_all(io::stderr(), bytes).await,
            Chunk::Ended(exit) => return Ok(exit.shell_status()),
        };
        if let Err(error) = written {
            output.abandon().await.map_err(stream_error)?;
            // As a shell shows a program that wrote to a closed pipe.
            return if error.kind() == io::ErrorKind::BrokenPipe { Ok(141) } else { Err(broken_pipe(error)) };
        }
    }
}

async fn write_all(mut stream: impl Write + Send + 'static, bytes: Vec<u8>) -> io::Result<()> {
    // Whoever reads our output may be slow; the other tasks go on meanwhile.
    let written = tokio::task::spawn_blocking(move || stream.write_all(&bytes).and_then(|()| stream.flush()));
    written.await.map_err(io::Error::other)?
}

/// Standard input, read in a thread of its own because a read cannot be cancelled, with back-pressure.
async fn feed(mut input: Box<dyn StreamInput>) -> Result<(), CallError> {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(4);
    let reader = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let chunk = buffer.get(..count).unwrap_or_default().to_vec();
                    if sender.blocking_send(chunk).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "standard input cannot be read");
                    return;
                }
            }
        }
    });
    if let Err(error) = reader {
        tracing::warn!(%error, "standard input cannot be read");
    }
    while let Some(chunk) = chunks.recv().await {
        // A command that does not read its input may still be running and writing: that is its own affair.
        if input.write(&chunk).await.is_err() {
            return Ok(());
        }
    }
    input.close().await
}

enum Event {
    Resized,
    Signal(Signal),
}

struct Signals {
    resized: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let handle = |kind| {
            signal(kind).map_err(|error| Error::new(ErrorCode::Internal, "signals cannot be handled").because(error))
        };
        Ok(Self {
            resized: handle(SignalKind::window_change())?,
            interrupt: handle(SignalKind::interrupt())?,
            terminate: handle(SignalKind::terminate())?,
            hang_up: handle(SignalKind::hangup())?,
            quit: handle(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.resized.recv() => Event::Resized,
            _ = self.interrupt.recv() => Event::Signal(Signal::Interrupt),
            _ = self.terminate.recv() => Event::Signal(Signal::Terminate),
            _ = self.hang_up.recv() => Event::Signal(Signal::Hangup),
            _ = self.quit.recv() => Event::Signal(Signal::Quit),
        }
    }
}
