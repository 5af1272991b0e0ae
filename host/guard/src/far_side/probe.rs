//! Asking a host what is there, and reading its answer. The answer is the far side's word: it is bounded and checked
//! before it is shown or used.

use sandboxer_model::ports::hosts::HostFacts;

use super::{PROBE, QuoteError, is_plain_path, render};

/// An answer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The answer is not what the script writes.
    #[error("the host's answer cannot be read: {0}")]
    Unreadable(String),
    /// The directory that would hold sandboxes has characters that it may not have.
    #[error("the directory for sandboxes would be `{}` there, but only letters, digits and `._/@+-` may be in its path; set another `root` for the host", .0.escape_default())]
    Root(String),
}

/// The line that looks at a host and changes nothing. Without `root` the host's default is looked at.
///
/// # Errors
/// [`QuoteError::Root`] for a root that is no plain absolute path, [`QuoteError::Program`] for a name that is none.
pub fn probe_line(root: Option<&str>, programs: &[String]) -> Result<String, QuoteError> {
    if let Some(root) = root
        && !is_plain_path(root)
    {
        return Err(QuoteError::Root(root.to_owned()));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-' | b'/');
    for program in programs {
        if program.is_empty() || program.len() > 128 || program.starts_with('-') || !program.bytes().all(plain) {
            return Err(QuoteError::Program(program.clone()));
        }
    }
    let mut words = vec![root.unwrap_or("-")];
    words.extend(programs.iter().map(String::as_str));
    render(&PROBE, &words)
}

/// Reads the answer to [`probe_line`]. The latency is for the caller to fill in.
///
/// # Errors
/// [`ProbeError`].
pub fn parse_probe(answer: &str) -> Result<HostFacts, ProbeError> {
    let mut facts = HostFacts {
        root: String::new(),
        uid: 0,
        os: String::new(),
        kernel: String::new(),
        cpus: 0,
        memory: (0, 0),
        disk: (0, 0),
        programs: Vec::new(),
        container_engines: Vec::new(),
        user_namespaces: false,
        sandboxes: Vec::new(),
        latency_ms: 0,
    };
    let mut ended = false;
    let mut uid = None;
    for line in answer.lines() {
        let Some((key, value)) = line.split_once('=') else { return Err(unreadable(line)) };
        match key {
            "root" => facts.root = value.to_owned(),
            "uid" => uid = Some(value.parse().map_err(|_| unreadable(line))?),
            "os" => facts.os = cleaned(value),
            "kernel" => facts.kernel = cleaned(value),
            "cpus" => facts.cpus = value.parse().map_err(|_| unreadable(line))?,
            "memory_total" => facts.memory.0 = kibibytes(line, value)?,
            "memory_available" => facts.memory.1 = kibibytes(line, value)?,
            "disk_total" => facts.disk.0 = kibibytes(line, value)?,
            "disk_available" => facts.disk.1 = kibibytes(line, value)?,
            "program" => facts.programs.push(cleaned(value)),
            "engine" => facts.container_engines.push(cleaned(value)),
            "namespaces" => facts.user_namespaces = value == "yes",
            "sandbox" => facts.sandboxes.push(cleaned(value)),
            "end" => ended = true,
            _ => return Err(unreadable(line)),
        }
    }
    if !ended {
        return Err(ProbeError::Unreadable("it breaks off".to_owned()));
    }
    facts.uid = uid.ok_or_else(|| ProbeError::Unreadable("it names no user id".to_owned()))?;
    if !is_plain_path(&facts.root) {
        return Err(ProbeError::Root(facts.root));
    }
    Ok(facts)
}

fn unreadable(line: &str) -> ProbeError {
    ProbeError::Unreadable(format!("`{}`", line.chars().take(80).flat_map(char::escape_default).collect::<String>()))
}

fn kibibytes(line: &str, value: &str) -> Result<u64, ProbeError> {
    value.parse::<u64>().ok().and_then(|n| n.checked_mul(1024)).ok_or_else(|| unreadable(line))
}

fn cleaned(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(200).collect()
}
