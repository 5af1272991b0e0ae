//! The control stream of a connection: it makes sure that no command outlives its client.
//!
//! On the far side runs the one script that reads it. Every command is announced before it starts and struck off when
//! it has ended; when the stream breaks, for whatever reason, the script ends everything that is still announced. So
//! nothing depends on this process living long enough to clean up.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sandboxer_guard::far_side;
use sandboxer_model::{
    call::CallError,
    ports::stream::{Chunk, Signal},
};
use tokio::sync::{mpsc, oneshot};

use crate::transport::{ChannelInput, ChannelOutput, Connection};

/// At most this long is waited for the far side to say that a command has been stopped.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A control stream.
#[derive(Clone)]
pub(crate) struct Watch {
    orders: mpsc::UnboundedSender<Said>,
    stopping: Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>,
    broken: Arc<AtomicBool>,
}

/// A line for the far side, and who waits until it is on its way.
struct Said {
    line: String,
    sent: Option<oneshot::Sender<()>>,
}

impl Watch {
    /// Opens the control stream of a connection.
    pub(crate) async fn open(connection: &dyn Connection) -> Result<Self, CallError> {
        let line = far_side::watch_line().map_err(|error| CallError::Invalid(error.to_string()))?;
        let channel = connection.open(&line, None, None).await?;
        // Bounded by its users: each command says a handful of lines.
        let (orders, lines) = mpsc::unbounded_channel();
        let watch = Self { orders, stopping: Arc::default(), broken: Arc::default() };
        tokio::spawn(write(channel.input, lines, Arc::clone(&watch.broken)));
        tokio::spawn(read(channel.output, Arc::clone(&watch.stopping), Arc::clone(&watch.broken)));
        Ok(watch)
    }

    /// Whether the far side no longer listens.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Announces a command. When this answers, the announcement is ahead of everything that is sent afterwards.
    pub(crate) async fn announce(&self, record: &str) -> Result<Watched, CallError> {
        let broken = || CallError::Unavailable("the control stream to the host is broken".to_owned());
        let (sent, on_its_way) = oneshot::channel();
        self.orders.send(Said { line: format!("+ {record}\n"), sent: Some(sent) }).map_err(|_| broken())?;
        on_its_way.await.map_err(|_| broken())?;
        Ok(Watched { watch: self.clone(), record: record.to_owned(), over: false })
    }

    fn say(&self, line: String) -> Result<(), CallError> {
        let lost = |_| CallError::Lost("the control stream to the host is broken".to_owned());
        self.orders.send(Said { line, sent: None }).map_err(lost)
    }
}

/// An announced command. Dropping it stops the command with everything in its session.
pub(crate) struct Watched {
    watch: Watch,
    record: String,
    over: bool,
}

impl Watched {
    /// The command has ended by itself: strikes it off.
    pub(crate) fn ended(mut self) {
        self.over = true;
        // A broken stream has nothing to strike off from.
        let _ = self.watch.say(format!("- {}\n", self.record));
    }

    /// Stops the command and waits, not for ever, until the far side says that nothing of it is left.
    pub(crate) async fn stop(mut self) {
        self.over = true;
        let (done, stopped) = oneshot::channel();
        self.watch.stopping.lock().unwrap_or_else(PoisonError::into_inner).insert(self.record.clone(), done);
        if self.watch.say(format!("! {}\n", self.record)).is_ok() {
            // Late or broken: the far side stops it all the same, now or when the stream ends.
            let _ = tokio::time::timeout(STOP_WITHIN, stopped).await;
        }
        self.watch.stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.record);
    }

    /// Sends a signal to the command's process group.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), CallError> {
        self.watch.say(format!("k {} {}\n", signal.as_str(), self.record))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.watch.say(format!("! {}\n", self.record));
        }
    }
}

async fn write(mut input: Box<dyn ChannelInput>, mut lines: mpsc::UnboundedReceiver<Said>, broken: Arc<AtomicBool>) {
    while let Some(said) = lines.recv().await {
        if input.write(said.line.as_bytes()).await.is_err() {
            broken.store(true, Ordering::Release);
            return;
        }
        if let Some(sent) = said.sent {
            // Whoever waited may have gone.
            let _ = sent.send(());
        }
    }
    let _ = input.close().await;
}

async fn read(
    mut output: Box<dyn ChannelOutput>,
    stopping: Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>,
    broken: Arc<AtomicBool>,
) {
    let mut line = Vec::new();
    while let Ok(chunk) = output.next().await {
        let bytes = match chunk {
            Chunk::Stdout(bytes) => bytes,
            Chunk::Stderr(bytes) => {
                tracing::debug!(text = %String::from_utf8_lossy(&bytes), "the control stream complains");
                continue;
            }
            Chunk::Ended(_) => break,
        };
        for byte in bytes {
            if byte != b'\n' {
                // An answer is a word and a path; what is longer is not one.
                if line.len() < 1024 {
                    line.push(byte);
                }
                continue;
            }
            if let Some(record) = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix("stopped ")) {
                let waiting = stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(record);
                if let Some(done) = waiting {
                    let _ = done.send(());
                }
            }
            line.clear();
        }
    }
    broken.store(true, Ordering::Release);
}
