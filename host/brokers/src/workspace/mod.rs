//! Files on their way to a sandbox and back, as tar streams with bounded memory.
//!
//! Both directions end at a directory handle, and nothing is opened but beneath it: neither a symbolic link that
//! somebody plants meanwhile nor a hostile archive leads anywhere else. Rejected: SFTP, which is quicker for few files
//! on loopback but needs a round trip or several a file, and would be a second way in beside the one wrapper.

mod pack;
mod unpack;
mod walk;

use std::{io, path::PathBuf};

use sandboxer_guard::broker::Transferred;
use sandboxer_model::{
    Error, ErrorCode,
    call::{CallError, CallOutput},
};

pub use pack::{Pack, PackOptions, pack};
pub use unpack::{Limits, UnpackOptions, Unpacker};

use crate::{
    host::Place,
    order::Order,
    run::{collect, expire, start, timed_out},
    transport::Channel,
};

/// Why files were not moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Something on this machine cannot be read or written.
    #[error("{} cannot be {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: "read", "written".
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Something is neither a file nor a directory nor a symbolic link.
    #[error("only files, directories and symbolic links can be moved, but there is {}", .0.join(", "))]
    Special(Vec<String>),
    /// There is too much of it.
    #[error("there is more than {0}")]
    TooMuch(String),
    /// A file became another one while it was read.
    #[error("{} changed while it was read: it {what}", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
        /// How: "grew", "shrank".
        what: &'static str,
    },
    /// An archive from the far side holds what may not be written here.
    #[error("the archive is refused: {name} {why}")]
    Refused {
        /// The entry, escaped.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An archive from the far side cannot be read.
    #[error("the archive cannot be read: {0}")]
    Archive(#[source] io::Error),
    /// The other side stopped taking the stream, or ended it early.
    #[error("the transfer was broken off")]
    BrokenOff,
}

impl From<TransferError> for Error {
    fn from(error: TransferError) -> Self {
        let code = match &error {
            TransferError::File { .. } | TransferError::Special(_) => ErrorCode::FileUnusable,
            TransferError::TooMuch(_)
            | TransferError::Changed { .. }
            | TransferError::Refused { .. }
            | TransferError::Archive(_)
            | TransferError::BrokenOff => ErrorCode::TransferFailed,
        };
        Error::new(code, error.to_string()).because(error)
    }
}

/// Sends the content of a directory, or a file, to the standard input of an order.
pub(crate) async fn upload(
    place: Place,
    order: &Order,
    source: &std::path::Path,
    options: PackOptions,
) -> Result<Transferred, CallError> {
    let mut pack = pack(source, options).await.map_err(|error| CallError::Invalid(error.to_string()))?;
    let mut started = start(place, order).await?;
    let ended = tokio::select! {
        ended = send(&mut pack, &mut started.channel, order.output_limit) => ended?,
        () = expire(order.timeout) => {
            if let Some(watched) = started.watched.take() {
                watched.stop().await;
            }
            started.channel.control.kill().await;
            return Err(timed_out(order));
        }
    };
    let packed = pack.finish().await;
    // What broke off on this side must not look complete on the other: then the command is not struck off, and so it is
    // stopped.
    let Some(output) = ended else {
        return Err(CallError::Failed(packed.err().unwrap_or(TransferError::BrokenOff).to_string()));
    };
    if let Some(watched) = started.watched.take() {
        watched.ended();
    }
    if !output.exit.success() {
        return Err(CallError::Failed(complaint(&output)));
    }
    packed.map_err(|error| CallError::Failed(error.to_string()))
}

/// Writes the archive and reads what the command says about it, at the same time. Nothing when the archive itself broke
/// off.
async fn send(pack: &mut Pack, channel: &mut Channel, limit: usize) -> Result<Option<CallOutput>, CallError> {
    let Channel { input, output, .. } = channel;
    let write = async {
        while let Some(bytes) = pack.next().await {
            if let Err(error) = input.write(&bytes).await {
                // A command that reads no more has something to say: its end tells.
                return if matches!(error, CallError::Failed(_)) { Ok(true) } else { Err(error) };
            }
        }
        if pack.failed() {
            return Ok(false);
        }
        input.close().await.map(|()| true)
    };
    let read = collect(&mut **output, limit);
    tokio::pin!(write, read);
    tokio::select! {
        collected = &mut read => collected.map(Some),
        whole = &mut write => if whole? { read.await.map(Some) } else { Ok(None) },
    }
}

fn complaint(output: &CallOutput) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().next().unwrap_or_default().trim_start_matches("sandboxer: ");
    if first.is_empty() {
        format!("unpacking ended with {}", output.exit)
    } else {
        format!("unpacking failed: {first}")
    }
}
