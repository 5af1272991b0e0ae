//! Progress: the step that is running, on standard error, for people only.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use sandboxer_guard::calls::{Narrator, Silent};

use super::{Printer, clean};

struct Spinner(ProgressBar);

impl Narrator for Spinner {
    fn step(&self, text: &str) {
        self.0.set_message(clean(text));
    }

    fn log(&self, text: &str) {
        tracing::info!("{}", clean(text));
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Steps as lines of the log, where there is no terminal to redraw.
struct Lines;

impl Narrator for Lines {
    fn step(&self, text: &str) {
        tracing::info!("{}", clean(text));
    }

    fn log(&self, text: &str) {
        tracing::info!("{}", clean(text));
    }
}

/// A narrator for what `printer` prints.
pub(crate) fn narrator(printer: &Printer) -> Arc<dyn Narrator> {
    if printer.quiet {
        return Arc::new(Silent);
    }
    if printer.is_json() || !std::io::stderr().is_terminal() {
        return Arc::new(Lines);
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    // Only what lasts is worth drawing; a create on this machine is over before the first tick.
    bar.enable_steady_tick(Duration::from_millis(120));
    Arc::new(Spinner(bar))
}
