//! From a tar stream that a sandbox made, and that may be hostile, to a directory of this machine.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt},
};
use sandboxer_guard::broker::Transferred;
use tar::{Archive, Entry, EntryType};
use tokio::{sync::mpsc, task::JoinHandle};

use super::TransferError;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 2_000_000, bytes: 64 << 30 }
    }
}

/// How an archive is unpacked.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// How much it may hold.
    pub limits: Limits,
    /// Another name for the topmost part of every path.
    pub top: Option<String>,
}

/// Unpacks what it is fed.
pub struct Unpacker {
    chunks: Option<mpsc::Sender<Fed>>,
    work: Option<JoinHandle<Result<Transferred, TransferError>>>,
}

enum Fed {
    Bytes(Vec<u8>),
    End,
}

impl Unpacker {
    /// Unpacks beneath a directory that is there.
    ///
    /// # Errors
    /// [`TransferError::File`] when it cannot be opened.
    pub fn new(destination: &Path, options: UnpackOptions) -> Result<Self, TransferError> {
        let one =
            |top: &String| matches!(Path::new(top).components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]);
        if let Some(top) = options.top.as_ref().filter(|top| !one(top)) {
            return Err(TransferError::Refused { name: escaped(top.as_bytes()), why: "is not one name" });
        }
        let dir = Dir::open_ambient_dir(destination, ambient_authority()).map_err(|source| TransferError::File {
            path: destination.to_owned(),
            what: "written",
            source,
        })?;
        let (sender, receiver) = mpsc::channel(8);
        let shown = destination.to_owned();
        let work = tokio::task::spawn_blocking(move || Work::new(dir, shown, options).run(receiver));
        Ok(Self { chunks: Some(sender), work: Some(work) })
    }

    /// Takes the next chunk; waits while the disk is slower than the stream.
    ///
    /// # Errors
    /// [`TransferError`] when the archive was refused or cannot be written; what lies before that was written.
    pub async fn feed(&mut self, bytes: Vec<u8>) -> Result<(), TransferError> {
        let taken = match &self.chunks {
            Some(chunks) => chunks.send(Fed::Bytes(bytes)).await.is_ok(),
            None => false,
        };
        if taken {
            return Ok(());
        }
        self.chunks = None;
        match self.work.take() {
            // An archive may end before its stream does; what follows is padding.
            Some(work) => match work.await {
                Ok(Ok(moved)) => {
                    self.work = Some(tokio::spawn(async move { Ok(moved) }));
                    Ok(())
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Err(TransferError::BrokenOff),
            },
            None => Err(TransferError::BrokenOff),
        }
    }

    /// The stream is at its end.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn finish(mut self) -> Result<Transferred, TransferError> {
        if let Some(chunks) = self.chunks.take() {
            // Whether it was taken shows in the result.
            let _ = chunks.send(Fed::End).await;
        }
        match self.work.take() {
            Some(work) => work.await.unwrap_or(Err(TransferError::BrokenOff)),
            None => Err(TransferError::BrokenOff),
        }
    }
}

/// What an entry's headers may take beside its content: long names and the like.
const HEADERS: u64 = 1 << 20;

/// The stream as the archive reads it. What may be read is bounded from entry to entry, because the archive keeps an
/// entry's headers in memory whole.
struct Stream {
    chunks: mpsc::Receiver<Fed>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
    budget: Arc<AtomicU64>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Fed::Bytes(bytes)) => (self.chunk, self.at) = (bytes, 0),
                Some(Fed::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream broke off")),
            }
        }
        let budget = self.budget.load(Ordering::Relaxed);
        let there = self.chunk.get(self.at..).unwrap_or_default();
        let read = there.len().min(buffer.len()).min(usize::try_from(budget).unwrap_or(usize::MAX));
        if read == 0 && !there.is_empty() && !buffer.is_empty() {
            return Err(io::Error::other("an entry has more headers than it may have"));
        }
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), there.get(..read)) {
            to.copy_from_slice(from);
        }
        self.at += read;
        self.budget.store(budget.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX)), Ordering::Relaxed);
        Ok(read)
    }
}

struct Work {
    dir: Dir,
    shown: PathBuf,
    options: UnpackOptions,
    moved: Transferred,
    /// The last directory that was found to be one, all the way down.
    sure: PathBuf,
    /// Modes of the directories that were made here, set at the end so that a directory that may not be written can be
    /// filled.
    modes: BTreeMap<PathBuf, u32>,
}

impl Work {
    fn new(dir: Dir, shown: PathBuf, options: UnpackOptions) -> Self {
        Self { dir, shown, options, moved: Transferred::default(), sure: PathBuf::new(), modes: BTreeMap::new() }
    }

    fn run(mut self, chunks: mpsc::Receiver<Fed>) -> Result<Transferred, TransferError> {
        let budget = Arc::new(AtomicU64::new(HEADERS));
        let stream = Stream { chunks, chunk: Vec::new(), at: 0, ended: false, budget: Arc::clone(&budget) };
        let mut archive = Archive::new(stream);
        for entry in archive.entries().map_err(TransferError::Archive)? {
            let mut entry = entry.map_err(TransferError::Archive)?;
            self.moved.entries += 1;
            if self.moved.entries > self.options.limits.entries {
                return Err(TransferError::TooMuch(format!("{} entries", self.options.limits.entries)));
            }
            self.entry(&mut entry, &budget)?;
            budget.store(HEADERS, Ordering::Relaxed);
        }
        for (path, mode) in self.modes.iter().rev() {
            let mode = Permissions::from_mode(*mode);
            self.dir.set_permissions(path, mode).map_err(|error| self.unwritable(path, error))?;
        }
        Ok(self.moved)
    }

    fn entry(&mut self, entry: &mut Entry<'_, Stream>, budget: &AtomicU64) -> Result<(), TransferError> {
        let raw = entry.path_bytes().into_owned();
        let refused = |why| TransferError::Refused { name: escaped(&raw), why };
        let path = self.placed(&entry.path().map_err(TransferError::Archive)?).map_err(refused)?;
        if path.as_os_str().is_empty() {
            // The top itself: it is there, and its mode is its owner's affair.
            return Ok(());
        }
        let mode = entry.header().mode().unwrap_or(0o600) & 0o777;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        self.parents(&path, &raw)?;
        #[allow(clippy::wildcard_enum_match_arm, reason = "the enum is open, and everything else is refused")]
        match kind {
            EntryType::Directory => self.directory(&path, mode | 0o700, &raw),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.clear(&path, &raw)?;
                self.file(entry, &path, mode, budget)
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(TransferError::Archive)?.unwrap_or_default().into_owned();
                if !stays_inside(&path, &target) {
                    return Err(refused("is a symbolic link that leads out of the directory"));
                }
                self.clear(&path, &raw)?;
                self.sure = PathBuf::new();
                self.dir.symlink(&target, &path).map_err(|error| self.unwritable(&path, error))
            }
            EntryType::Link => Err(refused("is a hard link")),
            EntryType::Char | EntryType::Block => Err(refused("is a device")),
            EntryType::Fifo => Err(refused("is a named pipe")),
            _ => Err(refused("is of a kind that is not known here")),
        }
    }

    /// Where an entry belongs: relative, without `..`, and under the name that was asked for.
    fn placed(&self, path: &Path) -> Result<PathBuf, &'static str> {
        let mut parts: Vec<OsString> = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => parts.push(part.to_owned()),
                Component::CurDir => {}
                Component::ParentDir => return Err("has `..` in its name"),
                Component::RootDir | Component::Prefix(_) => return Err("has an absolute name"),
            }
        }
        if parts.len() > 256 {
            return Err("lies too deep");
        }
        if let (Some(first), Some(top)) = (parts.first_mut(), &self.options.top) {
            *first = top.into();
        }
        Ok(parts.into_iter().collect())
    }

    /// Makes the directories above an entry. Each must be a real one: through a symbolic link nothing is written, not
    /// even inside.
    fn parents(&mut self, path: &Path, raw: &[u8]) -> Result<(), TransferError> {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
        if parent == self.sure {
            return Ok(());
        }
        let mut above = PathBuf::new();
        for part in parent.components() {
            above.push(part);
            match self.dir.symlink_metadata(&above) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => {
                    let why = "lies beneath something that is not a directory";
                    return Err(TransferError::Refused { name: escaped(raw), why });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.dir.create_dir(&above).map_err(|error| self.unwritable(&above, error))?;
                }
                Err(error) => return Err(self.unwritable(&above, error)),
            }
        }
        parent.clone_into(&mut self.sure);
        Ok(())
    }

    fn directory(&mut self, path: &Path, mode: u32, raw: &[u8]) -> Result<(), TransferError> {
        match self.dir.symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => {
                let why = "is a directory where something else lies already";
                return Err(TransferError::Refused { name: escaped(raw), why });
            }
            Err(_) => {}
        }
        self.dir.create_dir(path).map_err(|error| self.unwritable(path, error))?;
        self.modes.insert(path.to_owned(), mode);
        Ok(())
    }

    /// Makes room for a file or a link. What lay there is unlinked, so that nothing is ever written through it.
    fn clear(&self, path: &Path, raw: &[u8]) -> Result<(), TransferError> {
        match self.dir.symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let why = "would replace a directory";
                Err(TransferError::Refused { name: escaped(raw), why })
            }
            Ok(_) => self.dir.remove_file(path).map_err(|error| self.unwritable(path, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.unwritable(path, error)),
        }
    }

    fn file(
        &mut self,
        entry: &mut Entry<'_, Stream>,
        path: &Path,
        mode: u32,
        budget: &AtomicU64,
    ) -> Result<(), TransferError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = self.dir.open_with(path, &options).map_err(|error| self.unwritable(path, error))?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            budget.store(HEADERS, Ordering::Relaxed);
            let read = entry.read(&mut buffer).map_err(TransferError::Archive)?;
            if read == 0 {
                break;
            }
            self.moved.bytes += u64::try_from(read).unwrap_or(u64::MAX);
            if self.moved.bytes > self.options.limits.bytes {
                return Err(TransferError::TooMuch(format!("{} bytes", self.options.limits.bytes)));
            }
            file.write_all(buffer.get(..read).unwrap_or_default()).map_err(|error| self.unwritable(path, error))?;
        }
        file.set_permissions(Permissions::from_mode(mode)).map_err(|error| self.unwritable(path, error))?;
        // A time that this system cannot hold is not worth failing for.
        if let Some(time) =
            entry.header().mtime().ok().and_then(|s| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s)))
        {
            let _ = file.into_std().set_modified(time);
        }
        Ok(())
    }

    fn unwritable(&self, path: &Path, source: io::Error) -> TransferError {
        TransferError::File { path: self.shown.join(path), what: "written", source }
    }
}

/// Whether a link at `path` with this target stays beneath the top. Every directory above `path` is a real one, so
/// leading `..` can be counted; after a name they cannot, because the name may be a link itself.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut above = path.components().count().saturating_sub(1);
    let mut named = false;
    for part in target.components() {
        match part {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if above > 0 && !named => above -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

fn escaped(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).chars().take(200).flat_map(char::escape_default).collect()
}
