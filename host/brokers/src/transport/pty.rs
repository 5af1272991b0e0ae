//! A terminal on this machine: the master's side of it, without blocking.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{Mode, OFlags, open as open_file},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use sandboxer_model::ports::stream::TerminalSize;
use tokio::io::unix::AsyncFd;

use super::CHUNK;

/// The master's side.
pub(crate) struct Master(AsyncFd<File>);

/// A new terminal of this size: the master's side, and the slave's side for a child. It controls no process yet.
pub(crate) fn open(size: TerminalSize) -> io::Result<(Master, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = open_file(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::ioctl_fionbio(&master, true)?;
    #[allow(
        deprecated,
        reason = "its successor is unsafe; a `File` owns its descriptor, which is all that it asks for"
    )]
    let master = Master(AsyncFd::new(File::from(master))?);
    master.resize(size)?;
    Ok((master, slave))
}

impl Master {
    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.0.get_ref(), size)?)
    }

    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(written) = ready.try_io(|fd| fd.get_ref().write(bytes)) {
                bytes = bytes.get(written?..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The next bytes; `None` when no process has the terminal open any more.
    pub(crate) async fn read(&self) -> Option<Vec<u8>> {
        loop {
            let mut ready = self.0.readable().await.ok()?;
            let mut buffer = vec![0; CHUNK];
            if let Ok(read) = ready.try_io(|fd| fd.get_ref().read(&mut buffer)) {
                // Linux reports a terminal without processes as an I/O error.
                buffer.truncate(read.unwrap_or(0));
                return (!buffer.is_empty()).then_some(buffer);
            }
        }
    }

    /// What is there now, without waiting, and within a budget.
    pub(crate) fn left(&self, budget: &mut usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; CHUNK];
        let read = if *budget == 0 { 0 } else { self.0.get_ref().read(&mut buffer).unwrap_or(0) };
        *budget = budget.saturating_sub(read);
        buffer.truncate(read);
        (read > 0).then_some(buffer)
    }
}
