//! `completions`.

use clap::CommandFactory;
use sandboxer_model::Result;

use crate::{args::Cli, output::broken_pipe};

pub(super) fn run(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sandboxer", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map_err(broken_pipe)?;
    Ok(0)
}
