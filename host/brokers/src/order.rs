//! What a transport is asked to carry: a permit, rendered. It has no constructor but these, so nothing is run without a
//! permit or one of the fixed lines of the far side.

use std::time::Duration;

use sandboxer_guard::{
    far_side::{self, QuoteError},
    permit::{Permit, Terminal},
};
use sandboxer_model::call::CallError;

/// One line for a far side, and how it is watched over.
#[derive(Debug)]
pub(crate) struct Order {
    /// Which call, for messages.
    pub(crate) call: String,
    /// The line.
    pub(crate) line: String,
    /// The record to watch, as the control stream wants it written; a job is meant to outlive us and has none here. No
    /// two commands may have the same one, because striking off the first might hit the second.
    pub(crate) record: Option<String>,
    /// How long it may take.
    pub(crate) timeout: Option<Duration>,
    /// How many bytes of each output stream are kept.
    pub(crate) output_limit: usize,
    /// The terminal that it gets.
    pub(crate) terminal: Option<Terminal>,
}

impl Order {
    /// Runs what the permit allows, or starts it as a job.
    pub(crate) fn run(permit: &Permit) -> Result<Self, CallError> {
        let line = far_side::line(permit).map_err(refused)?;
        let terminal = if permit.terminal().is_some() { ":t" } else { "" };
        let record = (!permit.launch().job).then(|| format!("{}{terminal}", far_side::record_path(permit)));
        Ok(Self::new(permit, line, record))
    }

    /// Asks after the job that the permitted call started.
    pub(crate) fn poll(permit: &Permit) -> Result<Self, CallError> {
        let line = far_side::poll_line(permit).map_err(refused)?;
        Ok(Self { terminal: None, output_limit: 4096, ..Self::new(permit, line, None) })
    }

    /// Looks at a host.
    pub(crate) fn probe(root: Option<&str>, programs: &[String]) -> Result<Self, QuoteError> {
        Ok(Self {
            call: "probe".to_owned(),
            line: far_side::probe_line(root, programs)?,
            record: None,
            timeout: Some(Duration::from_secs(20)),
            output_limit: 256 * 1024,
            terminal: None,
        })
    }

    fn new(permit: &Permit, line: String, record: Option<String>) -> Self {
        Self {
            call: permit.call().to_owned(),
            line,
            record,
            timeout: permit.timeout(),
            output_limit: permit.output_limit(),
            terminal: permit.terminal().cloned(),
        }
    }
}

fn refused(error: QuoteError) -> CallError {
    CallError::Invalid(error.to_string())
}
