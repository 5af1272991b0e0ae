//! Conveniences around what a command left.

use std::{borrow::Cow, fmt};

use crate::{Argument, Error, Exit, Output, Session};

impl Session {
    /// Runs a command; an exit other than 0 is an error that carries the first line of what it wrote to standard error.
    ///
    /// # Errors
    /// Those of [`run`](Session::run), and [`Error::Failed`].
    pub fn run_ok(&self, call: &str, arguments: &[Argument]) -> Result<Output, Error> {
        let output = self.run(call, arguments)?;
        if output.success() { Ok(output) } else { Err(output.failure(call)) }
    }
}

impl Output {
    /// Whether the command exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        matches!(self.exit, Exit::Status(0))
    }

    /// Standard output as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn error_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// The first line of standard output, trimmed.
    #[must_use]
    pub fn first_line(&self) -> String {
        first_line(&self.text())
    }

    /// The error that says how the command failed.
    #[must_use]
    pub fn failure(&self, call: &str) -> Error {
        match first_line(&self.error_text()) {
            line if line.is_empty() => Error::Failed(format!("`{call}` ended with {}", self.exit)),
            line => Error::Failed(format!("`{call}` ended with {}: {line}", self.exit)),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(exit: Exit, stdout: &str, stderr: &str) -> Output {
        Output { exit, stdout: stdout.into(), stderr: stderr.into(), truncated: false }
    }

    #[test]
    fn a_failure_says_how_it_ended_and_what_was_said_first() {
        let said = output(Exit::Status(2), "", "\n  no space left \nmore\n").failure("write");
        assert!(matches!(said, Error::Failed(text) if text == "`write` ended with exit status 2: no space left"));
        let silent = output(Exit::Signal(9), "out", "").failure("write");
        assert!(matches!(silent, Error::Failed(text) if text == "`write` ended with signal 9"));
    }

    #[test]
    fn the_first_line_is_trimmed_and_never_missing() {
        assert_eq!(output(Exit::Status(0), " one \ntwo\n", "").first_line(), "one");
        assert_eq!(output(Exit::Status(0), "", "").first_line(), "");
        assert!(output(Exit::Status(0), "", "").success());
        assert!(!output(Exit::Signal(0), "", "").success());
    }
}
