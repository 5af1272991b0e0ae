//! Errors as people and programs see them: what happened, every problem, what to do next.

use std::io::Write;

use sandboxer_model::{Error, ErrorCode, error::Problem};
use serde::Serialize;

use super::clean;
use crate::args::OutputFormat;

#[derive(Serialize)]
struct Wire<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: ErrorCode,
    message: &'a str,
    problems: &'a [Problem],
    hint: &'a str,
    exit_status: u8,
}

/// Prints an error on standard error, in the format that was asked for.
pub(crate) fn print(error: &Error, format: OutputFormat, verbose: u8) {
    let mut stderr = anstream::stderr().lock();
    // There is nowhere to report that standard error cannot be written.
    drop(stderr.write_all(text(error, format, verbose).as_bytes()));
}

pub(crate) fn text(error: &Error, format: OutputFormat, verbose: u8) -> String {
    match format {
        OutputFormat::Json => {
            let body = Body {
                code: error.code,
                message: &error.message,
                problems: &error.problems,
                hint: error.advice(),
                exit_status: error.code.exit_status(),
            };
            serde_json::to_string(&Wire { error: body }).map_or_else(|_| String::new(), |line| line + "\n")
        }
        OutputFormat::Human => {
            let (bold, plain) = ("\u{1b}[1;31m", "\u{1b}[0m");
            let mut text = format!("{bold}error[{}]{plain}: {}\n", error.code, clean(&error.message));
            for problem in &error.problems {
                text.push_str(&format!("  {}: {}\n", clean(&problem.field), clean(&problem.message)));
            }
            if verbose > 0 {
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    text.push_str(&format!("  caused by: {}\n", clean(&cause.to_string())));
                    source = cause.source();
                }
            }
            text.push_str(&format!("hint: {}\n", clean(error.advice())));
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_prints_what_why_and_what_next() {
        for format in [OutputFormat::Human, OutputFormat::Json] {
            let all: String = ErrorCode::ALL
                .iter()
                .map(|code| text(&Error::new(*code, "what happened and why"), format, 0))
                .collect();
            insta::assert_snapshot!(format!("{format:?}"), all);
        }
    }

    #[test]
    fn every_hint_names_commands_that_exist() {
        use clap::CommandFactory;
        let command = crate::args::Cli::command();
        for code in ErrorCode::ALL {
            for quoted in code.hint().split('`').skip(1).step_by(2) {
                let Some(words) = quoted.strip_prefix("sandboxer ") else { continue };
                let mut at = &command;
                let mut depth = 0;
                for word in words.split(' ') {
                    match at.find_subcommand(word) {
                        Some(next) => {
                            at = next;
                            depth += 1;
                        }
                        None if word.starts_with("--") => {
                            let flag = word.trim_start_matches("--");
                            assert!(
                                at.get_arguments().any(|arg| arg.get_long() == Some(flag)),
                                "{code}: `{quoted}`: no --{flag}"
                            );
                        }
                        None => assert!(!at.has_subcommands(), "{code}: `{quoted}`: there is no `{word}`"),
                    }
                }
                assert!(depth > 0, "{code}: `{quoted}`");
            }
        }
    }

    #[test]
    fn text_from_outside_cannot_fake_a_line() {
        let error = Error::new(ErrorCode::AdapterFailed, "a\nerror[x]: b\u{1b}[2J");
        let shown = text(&error, OutputFormat::Human, 0);
        assert_eq!(shown.lines().count(), 2, "{shown:?}");
        assert!(!shown.contains("\u{1b}[2J"));
    }
}
