//! The host's own commands for a sandbox's directory: argvs that the guard puts into permits like any other.

use super::{PREPARE, PRESENT, QuoteError, REMOVE, UNPACK, check_home};

/// Makes the sandbox's directory and what is in it, or completes them; `run_as` will own the workspace.
///
/// # Errors
/// [`QuoteError::Home`] when `home` is not the directory of a sandbox.
pub fn prepare_argv(home: &str, run_as: Option<u32>) -> Result<Vec<String>, QuoteError> {
    check_home(home, reference_in(home))?;
    let uid = run_as.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
    Ok(argv(&PREPARE, &[home, &uid]))
}

/// Ends every process of the sandbox and removes its directory. Removing what is not there is fine.
///
/// # Errors
/// [`QuoteError::Home`] when `home` is not the directory of the sandbox `reference`.
pub fn remove_argv(home: &str, reference: &str) -> Result<Vec<String>, QuoteError> {
    check_home(home, reference)?;
    Ok(argv(&REMOVE, &[home, reference]))
}

/// Prints the sandbox's directory when it is there, else nothing.
///
/// # Errors
/// [`QuoteError::Home`] when `home` is not the directory of a sandbox.
pub fn present_argv(home: &str) -> Result<Vec<String>, QuoteError> {
    check_home(home, reference_in(home))?;
    Ok(argv(&PRESENT, &[home]))
}

/// Unpacks a tar stream from standard input into the workspace, or into a directory of it.
///
/// # Errors
/// [`QuoteError::Word`] when the directory is not a relative path that stays in the workspace.
pub fn unpack_argv(directory: Option<&str>) -> Result<Vec<String>, QuoteError> {
    let directory = directory.unwrap_or(".");
    let inside = directory == "."
        || (!directory.starts_with('/')
            && directory.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
    if !inside || directory.chars().any(char::is_control) {
        let what = "a relative path that stays in the workspace";
        return Err(QuoteError::Word { what, value: directory.to_owned() });
    }
    Ok(argv(&UNPACK, &[directory]))
}

fn reference_in(home: &str) -> &str {
    home.rsplit('/').next().unwrap_or_default()
}

fn argv(script: &str, arguments: &[&str]) -> Vec<String> {
    ["/bin/sh", "-c", script, "sandboxer"].iter().chain(arguments).map(|&word| word.to_owned()).collect()
}
