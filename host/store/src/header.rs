//! The first 100 bytes of a store, read without SQLite: to open a file with SQLite is already to write beside it (its
//! log and index), and what is not ours is not touched.

use std::{fs::File, io::Read, path::Path};

use sandboxer_model::ports::store::StoreError;

use crate::{
    creation,
    fault::{io, shown},
    migration,
};

/// `sbxr`, at offset 68 of the file (sqlite.org/fileformat2.html §1.3).
pub(crate) const APPLICATION_ID: i32 = 0x7362_7872;

const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE_SIZE: usize = 16;
const USER_VERSION: usize = 60;
const APPLICATION: usize = 68;
const LENGTH: u64 = 100;

/// Looks whether the file is a store that this version can use. Closing the file again drops every POSIX lock that this
/// process holds on it, so only [`crate::registry`] may call this, when nobody here has it open.
///
/// # Errors
/// `Foreign`, `Corrupt`, `Unavailable`.
pub(crate) fn check(path: &Path) -> Result<(), StoreError> {
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LENGTH).read_to_end(&mut header))
        .map_err(|error| io(path, "reading its header", &error))?;
    judge(&header).and_then(|()| judge_length(path, &header)).map_err(|verdict| match verdict {
        Verdict::Foreign(why) => StoreError::Foreign { path: shown(path), why },
        Verdict::Corrupt(why) => StoreError::Corrupt { path: shown(path), why },
    })
}

/// SQLite notices missing pages, but fills one that is cut off with zeroes. While there is a log, that is as it should
/// be: after a crash in the middle of a checkpoint the log has the page.
fn judge_length(path: &Path, header: &[u8]) -> Result<(), Verdict> {
    // The format writes the largest size, 65536, as 1.
    let page = match header.get(PAGE_SIZE..PAGE_SIZE + 2) {
        Some([0, 1]) | None => 65536,
        Some(bytes) => bytes.iter().fold(0, |size, byte| size << 8 | u64::from(*byte)),
    };
    let whole = || path.metadata().is_ok_and(|found| found.len().checked_rem(page) == Some(0));
    // Asked again after the log was missed: another process may just have moved it into the file.
    if whole() || creation::beside(path, "-wal").exists() || whole() {
        Ok(())
    } else {
        Err(Verdict::Corrupt("it ends within a page".to_owned()))
    }
}

/// What version numbers say about a store.
pub(crate) fn judge_version(version: i64) -> Result<(), String> {
    let newest = migration::newest();
    if version > newest {
        Err(format!("its schema has version {version}, and this version of sandboxer knows those up to {newest}"))
    } else if version < 1 {
        Err(format!("its schema has version {version}, which sandboxer never gave"))
    } else {
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Foreign(String),
    Corrupt(String),
}

fn judge(header: &[u8]) -> Result<(), Verdict> {
    let ours = word(header, APPLICATION) == Some(APPLICATION_ID);
    if header.is_empty() {
        // A new store is built beside its place and moved there whole, so an empty one has lost its content. To fill it
        // anew would be to forget every sandbox that it knew.
        return Err(Verdict::Corrupt("it is empty".to_owned()));
    }
    if !header.starts_with(MAGIC) {
        let why = "it does not begin as a SQLite database does".to_owned();
        return Err(if ours { Verdict::Corrupt(why) } else { Verdict::Foreign(why) });
    }
    let (Some(application), Some(version)) = (word(header, APPLICATION), word(header, USER_VERSION)) else {
        return Err(Verdict::Corrupt("it ends within its header".to_owned()));
    };
    if header.len() < 100 {
        return Err(Verdict::Corrupt("it ends within its header".to_owned()));
    }
    if application != APPLICATION_ID {
        return Err(Verdict::Foreign(format!(
            "it is a SQLite database of another program (application id {application:#010x})"
        )));
    }
    judge_version(i64::from(version)).map_err(Verdict::Foreign)
}

fn word(header: &[u8], offset: usize) -> Option<i32> {
    let bytes = header.get(offset..offset.checked_add(4)?)?;
    bytes.try_into().ok().map(i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(application: i32, version: i32) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[USER_VERSION..USER_VERSION + 4].copy_from_slice(&version.to_be_bytes());
        bytes[APPLICATION..APPLICATION + 4].copy_from_slice(&application.to_be_bytes());
        bytes
    }

    #[test]
    fn ours_passes_and_every_other_is_named() {
        assert_eq!(judge(&header(APPLICATION_ID, 1)), Ok(()));
        assert!(matches!(judge(&header(0, 1)), Err(Verdict::Foreign(why)) if why.contains("another program")));
        assert!(matches!(judge(&header(APPLICATION_ID, 2)), Err(Verdict::Foreign(why)) if why.contains("version 2")));
        assert!(matches!(judge(&header(APPLICATION_ID, 0)), Err(Verdict::Foreign(why)) if why.contains("version 0")));
        assert!(matches!(judge(&header(APPLICATION_ID, -1)), Err(Verdict::Foreign(_))));
        assert!(matches!(judge(b"just some text\n"), Err(Verdict::Foreign(_))));
    }

    #[test]
    fn what_was_ours_and_is_broken_is_called_damaged() {
        assert_eq!(judge(b""), Err(Verdict::Corrupt("it is empty".to_owned())));
        let mut scratched = header(APPLICATION_ID, 1);
        scratched[3] = 0xff;
        assert!(matches!(judge(&scratched), Err(Verdict::Corrupt(_))));
        for length in [16, 61, 72, 99] {
            assert!(matches!(judge(&header(APPLICATION_ID, 1)[..length]), Err(Verdict::Corrupt(_))), "{length}");
        }
    }
}
