//! One session channel: one line.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig,
    client::{Handle, Msg},
};
use sandboxer_guard::permit::Terminal;
use sandboxer_model::{
    call::{CallError, Exit},
    ports::stream::{Chunk, TerminalSize},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    super::{Channel, ChannelControl, ChannelInput, ChannelOutput, Seat},
    Client,
};

/// After the command has ended, so long is waited for more of its output: a process that it left in the background may
/// hold the channel open for ever.
const LINGER: Duration = Duration::from_secs(2);

/// Opens a channel and sends the line.
pub(super) async fn open(
    handle: &Handle<Client>,
    within: Duration,
    line: &str,
    terminal: Option<&Terminal>,
    seat: Seat,
) -> Result<Channel, CallError> {
    let unsent =
        |why: &dyn std::fmt::Display| CallError::Unavailable(format!("the host opens no channel for us: {why}"));
    let late = |_| CallError::Unavailable(format!("the host does not answer within {within:?}"));
    let mut channel = timeout(within, session(handle)).await.map_err(late)?.map_err(|error| unsent(&error))?;
    if let Some(Terminal { term, size }) = terminal {
        let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
        channel.request_pty(true, term, columns, rows, 0, 0, &[]).await.map_err(|error| unsent(&error))?;
        let granted = async {
            loop {
                match channel.wait().await {
                    Some(ChannelMsg::Success) => return true,
                    Some(ChannelMsg::Failure) | None => return false,
                    Some(_) => {}
                }
            }
        };
        if !timeout(within, granted).await.map_err(late)? {
            return Err(CallError::Unavailable("the host gives us no terminal".to_owned()));
        }
    }
    channel.exec(true, line).await.map_err(|error| unsent(&error))?;
    let (read, write) = channel.split();
    let write = Arc::new(write);
    // Small: what is not taken from here stays with the library, which then stops reading from the connection.
    let (sender, events) = mpsc::channel(4);
    let (over, is_over) = watch::channel(false);
    tokio::spawn(pump(read, Arc::clone(&write), sender, over, seat));
    Ok(Channel {
        input: Box::new(Input { write: Arc::clone(&write), is_over: is_over.clone() }),
        output: Box::new(Output { events, exit: None }),
        control: Arc::new(Control { write, terminal: terminal.is_some(), is_over }),
    })
}

/// Opens a session channel. A server counts a session a moment longer than its channel, and then says that there are
/// too many; that passes.
async fn session(handle: &Handle<Client>) -> Result<russh::Channel<Msg>, russh::Error> {
    for pause in [10, 20, 40, 80, 160, 320] {
        match handle.channel_open_session().await {
            Err(russh::Error::ChannelOpenFailure(_)) => tokio::time::sleep(Duration::from_millis(pause)).await,
            opened => return opened,
        }
    }
    handle.channel_open_session().await
}

/// What happens on a channel.
enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Exit(Exit),
    Refused,
}

/// Hands on what the channel says, and notes its end for a writer that would otherwise wait for ever for room. When
/// nobody listens any more it closes the channel and waits until the server has let go of it too: until then it counts
/// among the server's sessions.
async fn pump(
    mut read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    events: mpsc::Sender<Event>,
    over: watch::Sender<bool>,
    seat: Seat,
) {
    hand_on(&mut read, &events, &over).await;
    over.send_replace(true);
    drop(events);
    // A connection that is gone has closed it already.
    let _ = write.close().await;
    drop(write);
    while let Some(message) = read.wait().await {
        if matches!(message, ChannelMsg::Close) {
            break;
        }
    }
    drop(seat);
}

async fn hand_on(read: &mut ChannelReadHalf, events: &mpsc::Sender<Event>, over: &watch::Sender<bool>) {
    loop {
        let message = tokio::select! {
            message = read.wait() => message,
            () = events.closed() => return,
        };
        let Some(message) = message else { return };
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is open, and the rest is what only servers are told"
        )]
        let event = match message {
            ChannelMsg::Close => return,
            ChannelMsg::Data { data } => Event::Stdout(data.into()),
            ChannelMsg::ExtendedData { data, .. } => Event::Stderr(data.into()),
            ChannelMsg::ExitStatus { exit_status } => {
                over.send_replace(true);
                Event::Exit(Exit::Status(u8::try_from(exit_status & 0xff).unwrap_or(u8::MAX)))
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                over.send_replace(true);
                Event::Exit(Exit::Signal(number(&signal_name)))
            }
            ChannelMsg::Failure => Event::Refused,
            _ => continue,
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

struct Input {
    write: Arc<ChannelWriteHalf<Msg>>,
    is_over: watch::Receiver<bool>,
}

#[async_trait]
impl ChannelInput for Input {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let ended = || CallError::Failed("the command no longer reads its standard input".to_owned());
        let bytes = bytes.to_vec();
        tokio::select! {
            biased;
            _ = self.is_over.wait_for(|over| *over) => Err(ended()),
            sent = self.write.data_bytes(bytes) => {
                sent.map_err(|error| CallError::Lost(format!("the connection to the host is gone: {error}")))
            }
        }
    }

    async fn close(&mut self) -> Result<(), CallError> {
        if *self.is_over.borrow() {
            return Ok(());
        }
        self.write.eof().await.map_err(|error| CallError::Lost(format!("the connection to the host is gone: {error}")))
    }
}

struct Output {
    events: mpsc::Receiver<Event>,
    exit: Option<Exit>,
}

#[async_trait]
impl ChannelOutput for Output {
    async fn next(&mut self) -> Result<Chunk, CallError> {
        loop {
            let event = match self.exit {
                None => self.events.recv().await,
                // Late output of the command itself is on its way already.
                Some(exit) => match timeout(LINGER, self.events.recv()).await {
                    Ok(Some(event)) => Some(event),
                    Ok(None) | Err(_) => return Ok(Chunk::Ended(exit)),
                },
            };
            match event {
                Some(Event::Stdout(bytes)) => return Ok(Chunk::Stdout(bytes)),
                Some(Event::Stderr(bytes)) => return Ok(Chunk::Stderr(bytes)),
                Some(Event::Exit(exit)) => self.exit = Some(exit),
                Some(Event::Refused) => {
                    return Err(CallError::Unavailable("the host runs no commands for us".to_owned()));
                }
                None => {
                    return Err(CallError::Lost(
                        "the connection to the host broke before the command ended".to_owned(),
                    ));
                }
            }
        }
    }
}

struct Control {
    write: Arc<ChannelWriteHalf<Msg>>,
    terminal: bool,
    is_over: watch::Receiver<bool>,
}

#[async_trait]
impl ChannelControl for Control {
    async fn resize(&self, size: TerminalSize) -> Result<(), CallError> {
        if !self.terminal || *self.is_over.borrow() {
            return Ok(());
        }
        let gone = |error| CallError::Lost(format!("the connection to the host is gone: {error}"));
        self.write.window_change(u32::from(size.columns), u32::from(size.rows), 0, 0).await.map_err(gone)
    }

    async fn kill(&self) {
        // Both are for a command that may have ended, over a connection that may be gone.
        let _ = self.write.signal(Sig::KILL).await;
        let _ = self.write.close().await;
    }
}

/// The number of a signal on Linux; servers send its name.
fn number(signal: &Sig) -> u8 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(name) => match name.trim_end_matches("@openssh.com") {
            "TRAP" => 5,
            "BUS" => 7,
            "USR2" => 12,
            "XCPU" => 24,
            "XFSZ" => 25,
            "SYS" => 31,
            _ => 0,
        },
    }
}
