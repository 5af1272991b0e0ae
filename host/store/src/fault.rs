//! Failures inside a transaction, and what they are for the port.

use std::path::Path;

use rusqlite::{Error as Sql, ErrorCode, ffi};
use sandboxer_model::ports::store::StoreError;

/// Less than this on the store's file system counts as full: SQLite's shared index alone takes 32 KiB.
const LEAST_SPACE: u64 = 64 * 1024;

/// Why a unit of work failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite said so.
    Sql(Sql),
    /// A rule of the store said so.
    Refused(StoreError),
    /// What was read cannot have been written by us.
    Damaged(String),
}

impl From<Sql> for Fault {
    fn from(error: Sql) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// A fault of ours.
    pub(crate) fn internal(why: impl Into<String>) -> Self {
        Self::Refused(StoreError::Internal(why.into()))
    }

    /// The port's error, for the store at `path`.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => translate(&error, path),
            Self::Refused(error) => error,
            Self::Damaged(why) => StoreError::Corrupt { path: shown(path), why },
        }
    }
}

/// A path as errors show it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The error for a path that cannot be used, with the operating system's reason.
pub(crate) fn unavailable(path: &Path, doing: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable { path: shown(path), why: format!("{doing}: {why}") }
}

/// The error for a file operation that failed, `doing` being what was tried.
pub(crate) fn io(path: &Path, doing: &str, error: &std::io::Error) -> StoreError {
    let full = [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT].map(rustix::io::Errno::raw_os_error);
    if error.raw_os_error().is_some_and(|code| full.contains(&code)) {
        StoreError::Full { path: shown(path) }
    } else {
        unavailable(path, doing, error)
    }
}

/// What an error of SQLite is for the port.
pub(crate) fn translate(error: &Sql, path: &Path) -> StoreError {
    let why = error.to_string();
    let path_shown = shown(path);
    if unreadable(error) {
        return StoreError::Corrupt { path: path_shown, why };
    }
    let Some(failure) = error.sqlite_error() else {
        return StoreError::Internal(why);
    };
    let damaged = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    let damaged_io = [ffi::SQLITE_IOERR_CORRUPTFS, ffi::SQLITE_IOERR_DATA, ffi::SQLITE_IOERR_SHORT_READ];
    let unusable = [
        ErrorCode::PermissionDenied,
        ErrorCode::DatabaseBusy,
        ErrorCode::DatabaseLocked,
        ErrorCode::ReadOnly,
        ErrorCode::SystemIoFailure,
        ErrorCode::CannotOpen,
        ErrorCode::FileLockingProtocolFailed,
        ErrorCode::NoLargeFileSupport,
    ];
    if damaged.contains(&failure.code) || damaged_io.contains(&failure.extended_code) {
        StoreError::Corrupt { path: path_shown, why }
    } else if failure.code == ErrorCode::DiskFull {
        StoreError::Full { path: path_shown }
    } else if [ErrorCode::SystemIoFailure, ErrorCode::CannotOpen].contains(&failure.code) && no_space(path) {
        // SQLite reports a full disk as such only where it writes the database or its log; where it makes or extends
        // the shared index, the same cause shows as an input/output error.
        StoreError::Full { path: path_shown }
    } else if unusable.contains(&failure.code) {
        StoreError::Unavailable { path: path_shown, why }
    } else {
        StoreError::Internal(why)
    }
}

/// Whether a stored value is not one that we would have written.
fn unreadable(error: &Sql) -> bool {
    matches!(
        error,
        Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::Utf8Error(..)
            | Sql::InvalidColumnType(..)
    )
}

fn no_space(path: &Path) -> bool {
    let Some(directory) = path.parent() else { return false };
    rustix::fs::statvfs(directory).is_ok_and(|space| {
        space.f_bavail.saturating_mul(space.f_frsize) < LEAST_SPACE || (space.f_files > 0 && space.f_favail == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: std::ffi::c_int) -> StoreError {
        translate(&Sql::SqliteFailure(ffi::Error::new(code), None), Path::new("/nowhere/at/all/store.db"))
    }

    #[test]
    fn each_class_of_failure_has_its_error() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_CORRUPT_INDEX] {
            assert!(matches!(of(code), StoreError::Corrupt { .. }), "{code}");
        }
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_PERM,
            ffi::SQLITE_PROTOCOL,
        ] {
            let error = of(code);
            assert!(matches!(&error, StoreError::Unavailable { path, .. } if path.ends_with("store.db")), "{error}");
        }
        assert!(matches!(of(ffi::SQLITE_FULL), StoreError::Full { .. }));
        assert!(matches!(of(ffi::SQLITE_CONSTRAINT), StoreError::Internal(_)));
    }

    #[test]
    fn a_full_disk_is_told_apart_from_other_failures_of_the_system() {
        let path = Path::new("/x/store.db");
        assert!(matches!(io(path, "writing", &std::io::Error::from_raw_os_error(28)), StoreError::Full { .. }));
        assert!(matches!(io(path, "writing", &std::io::Error::from_raw_os_error(13)), StoreError::Unavailable { .. }));
    }
}
