//! `sandboxer`: sandboxes by profile, made by confined adapters.
//!
//! This file parses, settles the settings, starts the async runtime, and turns the answer into an exit status. The verbs are
//! in `commands`, one file each; `compose` joins the adapters to the ports.

mod args;
mod bundled;
mod catalog;
mod commands;
mod compose;
mod crash_points;
mod output;
mod settings;
mod shelf;
mod streams;

use std::process::ExitCode;

use clap::Parser;
use sandboxer_model::{Error, ErrorCode};

use crate::{
    args::{Cli, OutputFormat, Verb},
    output::{Printer, failure},
    settings::Settings,
};

fn main() -> ExitCode {
    // The compile child does one thing under tight limits; nothing else is set up for it.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "compile-component") {
        return sandboxer_runtime::compile_child_main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misspoken(&error),
    };
    log_to_stderr(cli.global.verbose);
    let wanted = cli.global.output.unwrap_or(OutputFormat::Human);
    let settings = match Settings::load(&cli.global) {
        Ok(settings) => settings,
        Err(error) => return failed(&error, wanted, cli.global.verbose, &cli.verb),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorCode::Internal, "the async runtime cannot start").because(error);
            return failed(&error, settings.output, settings.verbose, &cli.verb);
        }
    };
    let printer = Printer { format: settings.output, quiet: settings.quiet };
    let answer = runtime.block_on(commands::run(&cli.verb, &settings, printer));
    // A read from standard input may be under way in a thread that cannot be stopped; it must not hold us.
    runtime.shutdown_background();
    match answer {
        Ok(status) => ExitCode::from(status),
        Err(error) => failed(&error, settings.output, settings.verbose, &cli.verb),
    }
}

/// A command line that cannot be understood, or that asks for help. A program that asked for JSON gets its error as JSON too.
fn misspoken(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let json = words.iter().any(|word| word == "--output=json")
        || words.windows(2).any(|pair| pair == ["--output", "json"])
        || std::env::var("SANDBOXER_OUTPUT").is_ok_and(|format| format == "json");
    if !json || !error.use_stderr() {
        error.exit();
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    failure::print(&Error::new(ErrorCode::UsageInvalid, first), OutputFormat::Json, 0);
    ExitCode::from(ErrorCode::UsageInvalid.exit_status())
}

/// Prints the error and answers the status. Where a program's own status passes through, ours must not look like one of its: it is
/// 125, as with other tools that run programs elsewhere.
fn failed(error: &Error, format: OutputFormat, verbose: u8, verb: &Verb) -> ExitCode {
    failure::print(error, format, verbose);
    if matches!(verb, Verb::Exec(_) | Verb::Shell(_)) && error.code != ErrorCode::Cancelled {
        return ExitCode::from(125);
    }
    ExitCode::from(error.code.exit_status())
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = match std::env::var("SANDBOXER_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        Ok(_) | Err(_) => format!(
            "off,sandboxer={level},sandboxer_service={level},sandboxer_runtime={level},sandboxer_brokers={level},sandboxer_store={level}"
        ),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
}
