//! The installation's signing key: one ed25519 key in a file of its own, mode 0600, made when first needed. It signs ledger
//! heads and vouches for compiled components. The store keeps the public half only.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier};

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the installation key {} cannot be {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried: "read", "made".
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a key, or others may read it.
    #[error("the installation key {} is refused: {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The key that this installation signs with. Cannot be printed.
pub struct InstallationKey(SigningKey);

impl InstallationKey {
    /// Reads the key, or makes it when there is no file. A key that others may read is refused.
    ///
    /// # Errors
    /// [`KeyError`]; nothing was changed.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match fs::File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(KeyError::File { path: path.to_owned(), what: "read", source }),
        }
    }

    /// A key from its 32 secret bytes, for tests and tools.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&bytes))
    }

    fn read(path: &Path, mut file: fs::File) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), what: "read", source };
        let refused = |why: &str| KeyError::Refused { path: path.to_owned(), why: why.to_owned() };
        let mode = file.metadata().map_err(failed)?.mode();
        if mode & 0o077 != 0 {
            return Err(refused("others may read it; `chmod 600` it if nobody did"));
        }
        let mut bytes = zeroize_on_drop();
        let mut extra = [0_u8; 1];
        file.read_exact(&mut *bytes).map_err(|_| refused("it is not a key of 32 bytes"))?;
        if file.read(&mut extra).map_err(failed)? != 0 {
            return Err(refused("it is not a key of 32 bytes"));
        }
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }

    /// Writes a new key beside its place and links it there, so that of two processes that come at once one wins and the
    /// other reads the winner's key; a crash in between leaves no half-written key.
    fn create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), what: "made", source };
        let mut bytes = zeroize_on_drop();
        let mut tag = [0_u8; 8];
        for buffer in [&mut bytes[..], &mut tag[..]] {
            fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(buffer)).map_err(failed)?;
        }
        let draft = path.with_extension(format!("{}.new", data_encoding::HEXLOWER.encode(&tag)));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(&*bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::hard_link(&draft, path));
        let cleared = fs::remove_file(&draft);
        match written {
            Ok(()) => cleared.map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(source)),
        }
        let file = fs::File::open(path).map_err(failed)?;
        Self::read(path, file)
    }

    /// Signs a message for one purpose; a signature for another purpose never verifies.
    #[must_use]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&framed(purpose, message)).to_bytes()
    }

    /// Whether this key signed the message for this purpose.
    #[must_use]
    pub fn verify(&self, purpose: &str, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verifying_key().verify(&framed(purpose, message), &Signature::from_bytes(signature)).is_ok()
    }

    /// The public half in hexadecimal.
    #[must_use]
    pub fn public_key(&self) -> String {
        data_encoding::HEXLOWER.encode(self.0.verifying_key().as_bytes())
    }
}

fn zeroize_on_drop() -> zeroize::Zeroizing<[u8; 32]> {
    zeroize::Zeroizing::new([0; 32])
}

/// Purpose, a NUL byte, message: no purpose holds a NUL, so no two pairs frame alike.
fn framed(purpose: &str, message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(purpose.len() + 1 + message.len());
    framed.extend_from_slice(purpose.as_bytes());
    framed.push(0);
    framed.extend_from_slice(message);
    framed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let dir = scratch();
        let path = dir.path().join("key");
        let first = InstallationKey::load_or_create(&path).unwrap();
        let again = InstallationKey::load_or_create(&path).unwrap();
        assert_eq!(first.public_key(), again.public_key());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        let dir = scratch();
        let path = dir.path().join("key");
        InstallationKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(InstallationKey::load_or_create(&path), Err(KeyError::Refused { .. })));
        fs::write(&path, b"short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(InstallationKey::load_or_create(&path), Err(KeyError::Refused { .. })));
    }

    #[test]
    fn a_signature_for_one_purpose_does_not_verify_for_another() {
        let key = InstallationKey::from_bytes([1; 32]);
        let signature = key.sign("ledger", b"x");
        assert!(key.verify("ledger", b"x", &signature));
        assert!(!key.verify("artifact", b"x", &signature));
        assert!(!key.verify("ledger", b"y", &signature));
        assert!(!InstallationKey::from_bytes([2; 32]).verify("ledger", b"x", &signature));
    }
}
