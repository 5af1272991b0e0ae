//! Compiled components: native code, and so the most dangerous bytes that this process reads.
//!
//! They lie in a directory that only we can write. Each carries a signature by the installation's key over the component's
//! digest, the engine's configuration and the artifact's own digest, and the bytes that were verified are the bytes that
//! are loaded. Whatever does not verify is never loaded: the component is compiled again and the file replaced. The
//! signature is in the same file as the artifact, because two files could not be replaced at once.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat},
};
use sandboxer_guard::key::InstallationKey;
use sandboxer_model::{id::Digest, ports::extensions::HookError};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use crate::{settings::RuntimeError, trap::internal};

/// The largest artifact, in bytes.
pub(crate) const MAX_SIZE: u64 = 64 << 20;
const PURPOSE: &str = "artifact";
const MAGIC: &[u8; 8] = b"sbx-art1";
const SIGNATURE: usize = 64;

/// An artifact that is certainly ours: its signature was verified, or it was compiled just now.
pub(crate) struct Artifact(Vec<u8>);

impl Artifact {
    /// What our own compiling child answered with.
    pub(crate) fn compiled(bytes: Vec<u8>) -> Self {
        Self([&MAGIC[..], &[0; SIGNATURE], &bytes].concat())
    }

    fn code(&self) -> &[u8] {
        self.0.get(MAGIC.len() + SIGNATURE..).unwrap_or_default()
    }

    /// Makes it executable.
    #[allow(unsafe_code, reason = "loading native code; why it is sound stands at the block")]
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, HookError> {
        // SAFETY: `deserialize` asks for bytes that `Engine::precompile_component` made. An `Artifact` is made in two
        // places only: of what our compiling child answered, and of a file whose signature by the installation's key, which
        // only this program holds, covers the hash of exactly these bytes in memory.
        unsafe { Component::deserialize(engine, self.code()) }
            .map_err(internal("the compiled component cannot be loaded"))
    }
}

/// The directory of artifacts.
pub(crate) struct Cache {
    directory: OwnedFd,
    key: Arc<InstallationKey>,
}

/// Why a file in the cache is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is no regular file of ours, or too large")]
    Foreign,
    #[error("it is no signed artifact")]
    Malformed,
    #[error("its signature does not verify")]
    Forged,
}

impl Cache {
    /// Opens the directory, and makes it when it is missing.
    pub(crate) fn open(path: &Path, key: Arc<InstallationKey>) -> Result<Self, RuntimeError> {
        let unusable = |what| move |source| RuntimeError::CacheUnusable { path: path.to_owned(), what, source };
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable("made"))?;
        }
        let refused = |why| RuntimeError::CacheRefused { path: path.to_owned(), why };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => File::from(directory),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
                return Err(refused("it is a symbolic link, or no directory"));
            }
            Err(error) => return Err(unusable("opened")(error.into())),
        };
        // Of the opened directory, not of the path, which may name another one by now.
        let found = directory.metadata().map_err(unusable("opened"))?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(refused("it belongs to another user"));
        }
        if found.mode() & 0o022 != 0 {
            return Err(refused("others may write to it; `chmod 700` it if nobody did"));
        }
        Ok(Self { directory: directory.into(), key })
    }

    /// The artifact of this component for this engine, if there is one that verifies.
    pub(crate) fn find(&self, component: &Digest, engine: &[u8; 32]) -> Option<Artifact> {
        let name = name(component, engine);
        match self.read(&name, component, engine) {
            Ok(artifact) => artifact,
            Err(why) => {
                tracing::warn!(file = name, "a compiled component is not used and will be replaced: {why}");
                None
            }
        }
    }

    fn read(&self, name: &str, component: &Digest, engine: &[u8; 32]) -> Result<Option<Artifact>, Unusable> {
        // Non-blocking, so that a planted FIFO does not stop us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let found = file.metadata()?;
        if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() || found.len() > MAX_SIZE {
            return Err(Unusable::Foreign);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 1);
        (&mut file).take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        let artifact = Artifact(bytes);
        let signature = artifact.0.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<SIGNATURE>());
        let signature = signature.ok_or(Unusable::Malformed)?;
        if self.key.verify(PURPOSE, &statement(component, engine, artifact.code()), signature) {
            Ok(Some(artifact))
        } else {
            Err(Unusable::Forged)
        }
    }

    /// Signs the artifact and puts it in its place, in one step, whatever is there. Nothing depends on its being kept.
    pub(crate) fn keep(&self, artifact: &mut Artifact, component: &Digest, engine: &[u8; 32]) {
        let signature = self.key.sign(PURPOSE, &statement(component, engine, artifact.code()));
        if let Some(place) = artifact.0.get_mut(MAGIC.len()..MAGIC.len() + SIGNATURE) {
            place.copy_from_slice(&signature);
        }
        if let Err(error) = self.write(&name(component, engine), &artifact.0) {
            tracing::warn!("a compiled component cannot be kept: {error}");
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut tag = [0_u8; 8];
        getrandom::fill(&mut tag).map_err(|error| io::Error::other(error.to_string()))?;
        let draft = format!(".{}.new", data_encoding::HEXLOWER.encode(&tag));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.directory, &*draft, flags, Mode::RUSR | Mode::WUSR)?);
        // Not synced: a torn file does not verify, and is compiled again.
        let placed =
            file.write_all(bytes).and_then(|()| Ok(renameat(&self.directory, &*draft, &self.directory, name)?));
        if placed.is_err() {
            let _ = unlinkat(&self.directory, &*draft, AtFlags::empty());
        }
        placed
    }
}

fn name(component: &Digest, engine: &[u8; 32]) -> String {
    let engine = data_encoding::HEXLOWER.encode(engine);
    format!("{}-{}.cwasm", component.hex(), engine.get(..16).unwrap_or_default())
}

/// What is signed.
fn statement(component: &Digest, engine: &[u8; 32], code: &[u8]) -> Vec<u8> {
    let code: [u8; 32] = Sha256::digest(code).into();
    [&component.as_bytes()[..], engine, &code].concat()
}
