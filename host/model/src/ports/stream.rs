//! A running command whose streams pass through byte for byte. Without a dependency on any async runtime.

use async_trait::async_trait;

use crate::call::{CallError, Exit};

/// What comes from the far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of standard output.
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// The command ended, and nothing more comes.
    Ended(Exit),
}

/// Signals that a consumer may pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Hang-up.
    Hangup,
    /// Interrupt.
    Interrupt,
    /// Quit.
    Quit,
    /// Terminate.
    Terminate,
    /// Kill.
    Kill,
}

impl Signal {
    /// Its name without `SIG`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hangup => "HUP",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
        }
    }
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Towards the command.
#[async_trait]
pub trait StreamInput: Send {
    /// Writes all of it to standard input; waits while the far side does not read.
    ///
    /// # Errors
    /// [`CallError::Failed`] when the command no longer reads, [`CallError::Lost`] when the connection is gone.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError>;

    /// Ends standard input.
    ///
    /// # Errors
    /// [`CallError::Lost`] when the connection is gone.
    async fn close(&mut self) -> Result<(), CallError>;
}

/// Beside the command: what may be said while `StreamInput` waits.
#[async_trait]
pub trait StreamControl: Send + Sync {
    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// [`CallError::Lost`] when the connection is gone.
    async fn signal(&self, signal: Signal) -> Result<(), CallError>;

    /// Tells the terminal its size; without a terminal nothing happens.
    ///
    /// # Errors
    /// [`CallError::Lost`] when the connection is gone.
    async fn resize(&self, size: TerminalSize) -> Result<(), CallError>;
}

/// From the command.
#[async_trait]
pub trait StreamOutput: Send {
    /// The next chunk. After [`Chunk::Ended`] it is not called again.
    ///
    /// # Errors
    /// [`CallError::Lost`] when the connection is gone, [`CallError::TimedOut`].
    async fn next(&mut self) -> Result<Chunk, CallError>;
}

/// A running command. Dropping its parts stops the command and everything in its session on the far side.
pub struct Stream {
    /// Towards it.
    pub input: Box<dyn StreamInput>,
    /// From it.
    pub output: Box<dyn StreamOutput>,
    /// Beside it.
    pub control: std::sync::Arc<dyn StreamControl>,
}
