//! What of a directory is sent: all of it with `.git`, but not what its `.gitignore` files exclude.

use std::{
    fs::FileType,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use ignore::WalkBuilder;

use super::TransferError;

/// So many entries are sent at most.
const MOST: usize = 2_000_000;

/// What is found beneath `root`, relative to it, in an order in which directories come before what is in them.
///
/// # Errors
/// [`TransferError`]: everything that cannot be sent is found before anything is.
pub(super) fn walk(root: &Path, everything: bool) -> Result<Vec<PathBuf>, TransferError> {
    let mut found = Vec::new();
    let mut special = Vec::new();
    let mut walk = WalkBuilder::new(root);
    walk.standard_filters(false).follow_links(false).sort_by_file_name(Ord::cmp);
    if !everything {
        // Rules from above the directory count where git would count them: inside a repository.
        let inside = root.ancestors().any(|above| above.join(".git").symlink_metadata().is_ok());
        walk.git_ignore(true).git_exclude(true).require_git(false).parents(inside);
        // Git never applies its rules to its own directory, so that one is walked apart.
        walk.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    }
    for entry in walk.build() {
        let entry = entry.map_err(|error| unreadable(root, error))?;
        let kind = entry.file_type();
        take(root, entry.path(), kind, &mut found, &mut special)?;
        if !everything && kind.is_some_and(|kind| kind.is_dir()) {
            let git = entry.path().join(".git");
            if git.symlink_metadata().is_ok() {
                for entry in WalkBuilder::new(&git).standard_filters(false).follow_links(false).build() {
                    let entry = entry.map_err(|error| unreadable(&git, error))?;
                    take(root, entry.path(), entry.file_type(), &mut found, &mut special)?;
                }
            }
        }
    }
    if special.is_empty() { Ok(found) } else { Err(TransferError::Special(special)) }
}

fn take(
    root: &Path,
    path: &Path,
    kind: Option<FileType>,
    found: &mut Vec<PathBuf>,
    special: &mut Vec<String>,
) -> Result<(), TransferError> {
    let relative = path.strip_prefix(root).unwrap_or(path);
    if relative.as_os_str().is_empty() {
        return Ok(());
    }
    match kind {
        Some(kind) if kind.is_file() || kind.is_dir() || kind.is_symlink() => {}
        Some(kind) => {
            if special.len() < 10 {
                special.push(format!("{} ({})", relative.display().to_string().escape_default(), name_of(kind)));
            }
            return Ok(());
        }
        None => return Ok(()),
    }
    if found.len() == MOST {
        return Err(TransferError::TooMuch(format!("{MOST} files and directories")));
    }
    found.push(relative.to_owned());
    Ok(())
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn unreadable(root: &Path, error: ignore::Error) -> TransferError {
    let mut path = root.to_owned();
    let mut inner = &error;
    loop {
        match inner {
            ignore::Error::WithPath { path: at, err } => {
                path.clone_from(at);
                inner = err;
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => inner = err,
            ignore::Error::Partial(_)
            | ignore::Error::Loop { .. }
            | ignore::Error::Io(_)
            | ignore::Error::Glob { .. }
            | ignore::Error::UnrecognizedFileType(_)
            | ignore::Error::InvalidDefinition => break,
        }
    }
    let text = inner.to_string();
    let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other(text));
    TransferError::File { path, what: "read", source }
}
