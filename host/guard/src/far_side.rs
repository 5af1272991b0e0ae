//! The far side: every line that sandboxer ever sends to a placement host is made here.
//!
//! SSH has no argv: the remote shell gets one string. So there is one quoting function, [`quote`], and a fixed set of
//! scripts beside this file, one for each thing that happens on a host; a line is `exec /bin/sh -c SCRIPT sandboxer
//! ARGS…`, and what varies is only ever an argument of it, never a part of the script's text.
//!
//! The shell that runs a line must lead a session of its own: an SSH server sees to that, and locally `setsid` does. It
//! runs the login shell of whoever we are there, so the line is written in words that all shells share.
//!
//! Rejected: a helper binary on every host (something to install, to keep in step and to trust), and killing by the SSH
//! server's signals (OpenSSH delivers them to one process group, and a cut connection delivers none).

mod probe;
mod workspace;

use std::sync::LazyLock;

pub use probe::{ProbeError, parse_probe, probe_line};
pub use workspace::{prepare_argv, present_argv, remove_argv, unpack_argv};

use crate::permit::Permit;

/// The longest line that is sent. Linux takes 128 KiB for one argument, and the far side's shell gets the line as one.
pub const LINE_LIMIT: usize = 120 * 1024;

/// A line that cannot be made; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// No shell can pass a NUL byte on.
    #[error("argument {0} holds a NUL byte, which no command can receive")]
    Nul(usize),
    /// The line is longer than [`LINE_LIMIT`].
    #[error("the command is {0} bytes long when it is quoted, but at most {LINE_LIMIT} can be sent")]
    TooLong(usize),
    /// There is no program, or its name would be taken for a variable.
    #[error("`{}` cannot be the name of a program", .0.escape_default())]
    Program(String),
    /// The sandbox's directory is not one of ours.
    #[error("`{}` is not the directory of a sandbox", .0.escape_default())]
    Home(String),
    /// The directory is not one for sandboxes.
    #[error("`{}` cannot be a directory for sandboxes: an absolute path of letters, digits and `._/@+-` is needed", .0.escape_default())]
    Root(String),
    /// A record, a terminal or a directory in the workspace has a name that it may not have.
    #[error("`{}` is not {what}", value.escape_default())]
    Word {
        /// What it should be, with its article.
        what: &'static str,
        /// What it is.
        value: String,
    },
}

/// The one quoting function: words for any shell, each as one argument, byte for byte.
///
/// # Errors
/// [`QuoteError::Nul`] and [`QuoteError::TooLong`].
pub fn quote(words: &[impl AsRef<str>]) -> Result<String, QuoteError> {
    let mut line = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        line.push_str(&shlex::try_quote(word.as_ref()).map_err(|_| QuoteError::Nul(index))?);
        if line.len() > LINE_LIMIT {
            let rest: usize = words.iter().skip(index + 1).map(|word| word.as_ref().len() + 1).sum();
            return Err(QuoteError::TooLong(line.len() + rest));
        }
    }
    Ok(line)
}

/// Whether [`quote`] takes these words, mostly without making the line.
///
/// # Errors
/// Those of [`quote`].
pub(crate) fn check_words(words: &[impl AsRef<str>]) -> Result<(), QuoteError> {
    // Quoted, a byte becomes four at most (a backslash by itself: `"\\"`), and a word gets at most two more and a space.
    let most: usize = words.iter().map(|word| word.as_ref().len() * 4 + 3).sum();
    if most <= LINE_LIMIT && !words.iter().any(|word| word.as_ref().contains('\0')) {
        return Ok(());
    }
    quote(words).map(drop)
}

/// The line that runs, or starts as a job, what a permit allows.
///
/// # Errors
/// [`QuoteError`].
pub fn line(permit: &Permit) -> Result<String, QuoteError> {
    let launch = permit.launch();
    check_home(&launch.home, launch.reference.as_str())?;
    check_record(&launch.record)?;
    let program = permit.argv().first().map_or("", String::as_str);
    if program.is_empty() || program.contains('=') {
        return Err(QuoteError::Program(program.to_owned()));
    }
    let uid = launch.run_as.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
    let mut words: Vec<&str> = Vec::with_capacity(permit.argv().len() + 6);
    if launch.job {
        words.extend([KEEPER.as_str(), &launch.home, &launch.record, &uid]);
    } else {
        let term = permit.terminal().map_or("-", |terminal| terminal.term.as_str());
        check_term(term)?;
        words.extend([launch.home.as_str(), &launch.record, &uid, term, if launch.needs_home { "home" } else { "-" }]);
    }
    words.extend(permit.argv().iter().map(String::as_str));
    render(if launch.job { &JOB } else { &RUN }, &words)
}

/// The line that asks after the job that a permit's call started.
///
/// # Errors
/// [`QuoteError`].
pub fn poll_line(permit: &Permit) -> Result<String, QuoteError> {
    let launch = permit.launch();
    check_home(&launch.home, launch.reference.as_str())?;
    check_record(&launch.record)?;
    render(&POLL, &[launch.home.as_str(), &launch.record])
}

/// The line of the control stream: it watches records and ends what they stand for when the stream ends.
///
/// # Errors
/// [`QuoteError::TooLong`], never in practice.
pub fn watch_line() -> Result<String, QuoteError> {
    render::<&str>(&WATCH, &[])
}

/// Where the wrapper keeps the record of a command: what the control stream is told to watch.
#[must_use]
pub fn record_path(permit: &Permit) -> String {
    format!("{}/control/{}", permit.launch().home, permit.launch().record)
}

/// Every script of the far side by name, as it is sent: for whoever wants to read what can run there.
#[must_use]
pub fn scripts() -> Vec<(&'static str, &'static str)> {
    vec![
        ("run", RUN.as_str()),
        ("job", JOB.as_str()),
        ("keeper", KEEPER.as_str()),
        ("poll", POLL.as_str()),
        ("watch", WATCH.as_str()),
        ("probe", PROBE.as_str()),
        ("prepare", PREPARE.as_str()),
        ("remove", REMOVE.as_str()),
        ("present", PRESENT.as_str()),
        ("unpack", UNPACK.as_str()),
    ]
}

const PROCESS: &str = include_str!("far_side/process.sh");

/// A script as it is sent: without comments and blank lines, which only readers of the source need.
fn script(parts: &[&str]) -> String {
    let lines = parts.iter().flat_map(|part| part.lines());
    let code = lines.filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    code.map(|line| format!("{line}\n")).collect()
}

static RUN: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/run.sh")]));
static JOB: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/job.sh")]));
static KEEPER: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/keeper.sh")]));
static POLL: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/poll.sh")]));
static WATCH: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/watch.sh")]));
static PROBE: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/probe.sh")]));
static PREPARE: LazyLock<String> = LazyLock::new(|| script(&[include_str!("far_side/prepare.sh")]));
static REMOVE: LazyLock<String> = LazyLock::new(|| script(&[PROCESS, include_str!("far_side/remove.sh")]));
static PRESENT: LazyLock<String> = LazyLock::new(|| script(&[include_str!("far_side/present.sh")]));
static UNPACK: LazyLock<String> = LazyLock::new(|| script(&[include_str!("far_side/unpack.sh")]));

/// `exec`, so that the login shell does not stay beside the command and the record's process leads the session.
fn render<W: AsRef<str>>(script: &str, arguments: &[W]) -> Result<String, QuoteError> {
    let mut words = vec!["exec", "/bin/sh", "-c", script, "sandboxer"];
    words.extend(arguments.iter().map(AsRef::as_ref));
    quote(&words).map_err(|error| match error {
        QuoteError::Nul(index) => QuoteError::Nul(index.saturating_sub(5)),
        QuoteError::TooLong(_)
        | QuoteError::Program(_)
        | QuoteError::Home(_)
        | QuoteError::Root(_)
        | QuoteError::Word { .. } => error,
    })
}

/// Absolute, of characters that no shell and no line of the control stream takes for anything else, without `.` and
/// `..`.
fn is_plain_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'@' | b'+' | b'-');
    path.starts_with('/')
        && path.len() <= 512
        && path.bytes().all(plain)
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..")
}

fn check_home(home: &str, reference: &str) -> Result<(), QuoteError> {
    let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ours = reference.starts_with("sbx-") && reference.len() <= 40 && reference.bytes().all(label);
    let named = home.strip_suffix(reference).is_some_and(|root| root.len() > 1 && root.ends_with('/'));
    if ours && named && is_plain_path(home) { Ok(()) } else { Err(QuoteError::Home(home.to_owned())) }
}

fn check_record(record: &str) -> Result<(), QuoteError> {
    let plain = record.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    if plain && !record.is_empty() && !record.starts_with(['.', '-']) && record.len() <= 100 {
        Ok(())
    } else {
        Err(QuoteError::Word { what: "the name of a record", value: record.to_owned() })
    }
}

fn check_term(term: &str) -> Result<(), QuoteError> {
    let plain = term.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'));
    if plain && !term.is_empty() && term.len() <= 64 {
        Ok(())
    } else {
        Err(QuoteError::Word { what: "the name of a terminal", value: term.to_owned() })
    }
}

#[cfg(test)]
mod tests;
