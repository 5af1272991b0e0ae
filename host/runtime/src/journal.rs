//! What a guest says while it works: steps, log lines, and what it writes to standard output and standard error. All of it
//! is cleaned and bounded; what goes beyond is dropped, never refused, because a full pipe makes a guest's `println!`
//! panic.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi_io::{
    bytes::Bytes,
    poll::Pollable,
    streams::{OutputStream, StreamResult},
};

use crate::{settings::Limits, text};

/// Characters of a step.
const STEP: usize = 120;
/// Characters of a line in the log.
const LINE: usize = 500;
/// Bytes that a guest may write at once.
const PERMIT: usize = 4 << 10;

/// The count of what was said, and the last step.
pub(crate) struct Journal {
    steps_left: usize,
    lines_left: usize,
    last_step: String,
    output: Output,
    errors: Output,
}

impl Journal {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            steps_left: limits.steps,
            lines_left: limits.log_lines,
            last_step: String::new(),
            output: Output::new(limits.output),
            errors: Output::new(limits.output),
        }
    }

    /// Where standard output and standard error go.
    pub(crate) fn outputs(&self) -> (Output, Output) {
        (self.output.clone(), self.errors.clone())
    }

    /// The step to show, unless it is the one that is shown or one too many.
    pub(crate) fn step(&mut self, text: &str) -> Option<String> {
        let step = text::line(text, STEP);
        if step.is_empty() || step == self.last_step || self.steps_left == 0 {
            return None;
        }
        self.steps_left -= 1;
        self.last_step.clone_from(&step);
        Some(step)
    }

    /// The lines to log of what a guest says.
    pub(crate) fn log(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in text.lines().map(|line| text::line(line, LINE)).filter(|line| !line.is_empty()) {
            match self.lines_left {
                0 => break,
                1 => lines.push("further lines are dropped".to_owned()),
                _ => lines.push(line),
            }
            self.lines_left -= 1;
        }
        lines
    }

    /// The lines to log of what was written to standard output and standard error.
    pub(crate) fn written(&mut self) -> Vec<String> {
        let written = [self.output.take(), self.errors.take()];
        written.iter().flat_map(|text| self.log(text)).collect()
    }

    /// The last line on standard error.
    pub(crate) fn last_words(&self) -> Option<String> {
        let errors = self.errors.lock();
        let text = String::from_utf8_lossy(&errors.kept);
        // The standard library follows a panic's message with a hint about backtraces.
        text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("note:")).map(str::to_owned)
    }
}

/// One of a guest's output streams. Clones share what was written.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Written>>);

struct Written {
    kept: Vec<u8>,
    limit: usize,
}

impl Output {
    fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Written { kept: Vec::new(), limit })))
    }

    /// A panic while the lock was held cannot have left a buffer in disorder.
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut written = self.lock();
        let room = written.limit.saturating_sub(written.kept.len());
        written.kept.extend(bytes.iter().take(room));
    }

    fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.lock().kept)).into_owned()
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
