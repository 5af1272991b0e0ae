//! Components by digest, kept in the data directory as long as a sandbox may refer to them: an upgrade of the binary does not take
//! an adapter away from the sandboxes that it made.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use sandboxer_guard::component;
use sandboxer_model::{Error, ErrorCode, Result, id::Digest};
use sandboxer_service::Shelf;

/// A directory of components, each named by its digest.
#[derive(Debug, Clone)]
pub(crate) struct ComponentShelf {
    pub(crate) dir: PathBuf,
}

impl ComponentShelf {
    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.wasm", digest.hex()))
    }
}

impl Shelf for ComponentShelf {
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = fs::read(&path).map_err(|error| {
            Error::new(ErrorCode::ExtensionInvalid, format!("the component {digest} is not kept in {}", path.display()))
                .because(error)
        })?;
        if component::digest(&bytes) != *digest {
            return Err(Error::new(
                ErrorCode::ExtensionInvalid,
                format!("{} does not have its digest: it was changed", path.display()),
            )
            .hint(
                "restore the file from a backup, or remove it and run `sandboxer create` with the same build again",
            ));
        }
        Ok(bytes)
    }

    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        if self.bytes(digest).is_ok() {
            return Ok(());
        }
        let path = self.path(digest);
        let failed = |error: std::io::Error| {
            Error::new(
                ErrorCode::StoreUnavailable,
                format!("the component cannot be kept as {}: {error}", path.display()),
            )
            .because(error)
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(failed)?;
        let draft = self.dir.join(format!("{}.{}.new", digest.hex(), std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &path));
        if written.is_err() {
            // What is left of the draft is of no use; the write's own error is the one to report.
            drop(fs::remove_file(&draft));
        }
        written.map_err(failed)
    }
}
