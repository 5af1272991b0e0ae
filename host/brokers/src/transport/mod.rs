//! How a host is reached. Two transports behind one trait: `local`, which starts processes here, and `ssh`.
//!
//! A transport carries one line at a time to a shell that leads a session of its own, and passes streams through byte
//! for byte. It knows nothing of permits, records or time limits: those are the floor's above it, the same for both.

pub(crate) mod local;
mod pty;
pub(crate) mod ssh;

use std::sync::Arc;

use async_trait::async_trait;
use sandboxer_guard::permit::Terminal;
use sandboxer_model::{
    Error,
    call::CallError,
    ports::stream::{Chunk, TerminalSize},
};

/// A way to one host.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Opens a connection.
    async fn connect(&self) -> Result<Arc<dyn Connection>, Error>;

    /// How many channels one connection carries at once.
    fn channels(&self) -> usize;

    /// Whether a channel that is not read holds up the others of its connection, so that a stream needs a connection of
    /// its own.
    fn stalls(&self) -> bool;
}

/// An open connection.
#[async_trait]
pub(crate) trait Connection: Send + Sync {
    /// Runs a line. [`CallError::Unavailable`] when it certainly did not start, [`CallError::Lost`] when it may have.
    /// The seat is given back once the channel takes no room on the connection any more, which may be after it was
    /// dropped.
    async fn open(&self, line: &str, terminal: Option<&Terminal>, seat: Seat) -> Result<Channel, CallError>;

    /// Whether it is known to be gone.
    fn is_closed(&self) -> bool;
}

/// A channel's claim to room on its connection, held by being kept.
pub(crate) type Seat = Option<Box<dyn Send + Sync>>;

/// A running line.
pub(crate) struct Channel {
    pub(crate) input: Box<dyn ChannelInput>,
    pub(crate) output: Box<dyn ChannelOutput>,
    pub(crate) control: Arc<dyn ChannelControl>,
}

/// Towards it.
#[async_trait]
pub(crate) trait ChannelInput: Send {
    /// Writes all of it; waits while the far side does not read.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError>;

    /// Ends standard input.
    async fn close(&mut self) -> Result<(), CallError>;
}

/// From it. Cancelling `next` loses nothing.
#[async_trait]
pub(crate) trait ChannelOutput: Send {
    /// The next chunk; [`Chunk::Ended`] is the last.
    async fn next(&mut self) -> Result<Chunk, CallError>;
}

/// Beside it.
#[async_trait]
pub(crate) trait ChannelControl: Send + Sync {
    /// Tells the terminal its size.
    async fn resize(&self, size: TerminalSize) -> Result<(), CallError>;

    /// Kills the line's process group as well as the transport can: for what has no record to be stopped by.
    async fn kill(&self);
}

/// The most that is read at once.
pub(crate) const CHUNK: usize = 64 * 1024;
