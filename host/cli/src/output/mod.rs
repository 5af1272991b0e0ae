//! Printing: results on standard output, everything else on standard error.
//!
//! Text that came from outside (a host's messages, an adapter's facts, names) is cleaned of control characters before it
//! reaches a terminal, so that it can neither move the cursor nor fake a line.

pub(crate) mod failure;
pub(crate) mod progress;
pub(crate) mod views;

use std::io::{self, Write};

use sandboxer_model::{Error, ErrorCode, Result};
use serde::Serialize;

use crate::args::OutputFormat;

/// Where and how results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) format: OutputFormat,
    pub(crate) quiet: bool,
}

impl Printer {
    pub(crate) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// One result: as JSON, as an id, or as text for people.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        ids: impl FnOnce(&T) -> Vec<String>,
        human: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if self.is_json() {
            return self.json(value);
        }
        if self.quiet {
            return ids(value).iter().try_for_each(|id| self.line(id));
        }
        self.line(human(value).trim_end_matches('\n'))
    }

    /// One JSON document: over several lines for people to read, on one line when a program reads.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = if io::IsTerminal::is_terminal(&io::stdout()) {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(
            &text.map_err(|error| {
                Error::new(ErrorCode::Internal, "the result cannot be written as JSON").because(error)
            })?,
        )
    }

    /// A line of a result.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(broken_pipe)
    }
}

/// Whoever reads our output may stop reading; that is no error of anybody.
pub(crate) fn broken_pipe(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Error::new(ErrorCode::Cancelled, "nobody reads the output any more").because(error)
    } else {
        Error::new(ErrorCode::FileUnusable, format!("standard output cannot be written: {error}")).because(error)
    }
}

/// Text from outside, fit for a terminal: no control characters, no direction overrides.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A table without lines around it, the way list commands print.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `3 min ago`.
pub(crate) fn ago(at: jiff::Timestamp) -> String {
    let seconds = jiff::Timestamp::now().as_second().saturating_sub(at.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}
