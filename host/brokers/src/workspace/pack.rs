//! From a directory or a file of this machine to a tar stream.

use std::{
    io::{self, BufWriter, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, MetadataExt, OpenOptions, OpenOptionsExt},
};
use rustix::fs::OFlags;
use sandboxer_guard::broker::Transferred;
use tar::{Builder, EntryType, Header};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{TransferError, walk::walk};

/// What is packed, and under which name.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// Also what `.gitignore` excludes.
    pub everything: bool,
    /// The name in the archive: of the file, or of the directory that holds the content. Without it a directory's
    /// content lies at the top, and a file has its own name.
    pub name: Option<String>,
}

/// A tar stream that is being made, in chunks, no faster than they are taken.
pub struct Pack {
    chunks: mpsc::Receiver<Vec<u8>>,
    work: JoinHandle<Result<Transferred, TransferError>>,
    result: Option<Result<Transferred, TransferError>>,
}

/// Packs a directory's content or one file. When this answers, all of it has been found and may be sent.
///
/// # Errors
/// [`TransferError`]; nothing has been sent.
pub async fn pack(source: &Path, options: PackOptions) -> Result<Pack, TransferError> {
    let path = source.to_owned();
    let plan = tokio::task::spawn_blocking(move || Plan::make(&path, options)).await;
    let plan = plan.map_err(|_| TransferError::BrokenOff)??;
    let (sender, chunks) = mpsc::channel(8);
    let work = tokio::task::spawn_blocking(move || plan.write(Chunks { sender }));
    Ok(Pack { chunks, work, result: None })
}

impl Pack {
    /// The next chunk; `None` at the end, be it good or bad.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.recv().await;
        if chunk.is_none() && self.result.is_none() {
            let result = (&mut self.work).await;
            self.result = Some(result.unwrap_or(Err(TransferError::BrokenOff)));
        }
        chunk
    }

    /// Whether it ended badly. Known after `next` gave `None`.
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    /// What was packed.
    ///
    /// # Errors
    /// [`TransferError`]: what was sent so far is not a whole archive.
    pub async fn finish(mut self) -> Result<Transferred, TransferError> {
        self.chunks.close();
        while self.next().await.is_some() {}
        self.result.unwrap_or(Err(TransferError::BrokenOff))
    }
}

/// What is to be packed: everything has a name, and a place beneath one directory.
struct Plan {
    dir: Dir,
    shown: PathBuf,
    entries: Vec<(PathBuf, PathBuf)>,
}

impl Plan {
    fn make(source: &Path, options: PackOptions) -> Result<Self, TransferError> {
        let unreadable = |path: &Path, source| TransferError::File { path: path.to_owned(), what: "read", source };
        let source = source.canonicalize().map_err(|error| unreadable(source, error))?;
        let metadata = source.metadata().map_err(|error| unreadable(&source, error))?;
        let open =
            |path: &Path| Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| unreadable(path, error));
        if metadata.is_dir() {
            let found = walk(&source, options.everything)?;
            let base = PathBuf::from(options.name.unwrap_or_default());
            let mut entries = Vec::with_capacity(found.len() + 1);
            if !base.as_os_str().is_empty() {
                entries.push((PathBuf::from("."), base.clone()));
            }
            entries.extend(found.into_iter().map(|path| (path.clone(), base.join(path))));
            return Ok(Self { dir: open(&source)?, shown: source, entries });
        }
        let (Some(parent), Some(name)) = (source.parent(), source.file_name()) else {
            return Err(unreadable(&source, io::ErrorKind::IsADirectory.into()));
        };
        if !metadata.is_file() {
            return Err(TransferError::Special(vec![source.display().to_string()]));
        }
        let named = options.name.map_or_else(|| PathBuf::from(name), PathBuf::from);
        Ok(Self { dir: open(parent)?, shown: parent.to_owned(), entries: vec![(PathBuf::from(name), named)] })
    }

    fn write(self, chunks: Chunks) -> Result<Transferred, TransferError> {
        let mut moved = Transferred::default();
        let mut tar = Builder::new(BufWriter::with_capacity(64 * 1024, chunks));
        for (path, name) in &self.entries {
            moved.bytes += self.append(&mut tar, path, name)?;
            moved.entries += 1;
        }
        let mut writer = tar.into_inner().map_err(|_| TransferError::BrokenOff)?;
        writer.flush().map_err(|_| TransferError::BrokenOff)?;
        Ok(moved)
    }

    fn append<W: Write>(&self, tar: &mut Builder<W>, path: &Path, name: &Path) -> Result<u64, TransferError> {
        let unreadable = |source| TransferError::File { path: self.shown.join(path), what: "read", source };
        let metadata = self.dir.symlink_metadata(path).map_err(unreadable)?;
        let mut header = Header::new_gnu();
        header.set_mode(metadata.mode() & 0o7777);
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
        header.set_size(0);
        let gone = |_| TransferError::BrokenOff;
        if metadata.is_dir() {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, name, io::empty()).map_err(gone)?;
            return Ok(0);
        }
        if metadata.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = self.dir.read_link_contents(path).map_err(unreadable)?;
            if target.as_os_str().as_bytes().len() <= 100 {
                // Set as it is, since the other way would tidy it up.
                header.set_link_name_literal(target.as_os_str().as_bytes()).map_err(unreadable)?;
                tar.append_data(&mut header, name, io::empty()).map_err(gone)?;
            } else {
                tar.append_link(&mut header, name, &target).map_err(gone)?;
            }
            return Ok(0);
        }
        let (file, size) = self.open(path).map_err(unreadable)?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        let mut exact = Exact { file, left: size, wrong: None };
        let appended = tar.append_data(&mut header, name, &mut exact);
        match exact.wrong {
            None if appended.is_ok() => Ok(size),
            None => Err(TransferError::BrokenOff),
            Some(Wrong::Size(what)) => Err(TransferError::Changed { path: self.shown.join(path), what }),
            Some(Wrong::Read(error)) => Err(unreadable(error)),
        }
    }

    /// Opens a file that was a plain one a moment ago; never waits for a pipe that somebody put in its place.
    fn open(&self, path: &Path) -> io::Result<(File, u64)> {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = self.dir.open_with(path, OpenOptions::new().read(true).custom_flags(nonblocking))?;
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok((file, metadata.len())) } else { Err(io::Error::other("it is no longer a file")) }
    }
}

enum Wrong {
    Size(&'static str),
    Read(io::Error),
}

/// Exactly as many bytes as the header promised, or a note of what went wrong.
struct Exact {
    file: File,
    left: u64,
    wrong: Option<Wrong>,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if self.left == 0 {
            let mut beyond = [0_u8; 1];
            if matches!(self.file.read(&mut beyond), Ok(1)) {
                self.wrong = Some(Wrong::Size("grew"));
                return Err(io::Error::other("grew"));
            }
            return Ok(0);
        }
        match self.file.read(buffer.get_mut(..room).unwrap_or_default()) {
            Ok(0) => {
                self.wrong = Some(Wrong::Size("shrank"));
                Err(io::Error::other("shrank"))
            }
            Ok(read) => {
                self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(0));
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.wrong = Some(Wrong::Read(error));
                Err(io::Error::other("unreadable"))
            }
        }
    }
}

/// The writing end: chunks into a bounded queue.
struct Chunks {
    sender: mpsc::Sender<Vec<u8>>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sender.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
