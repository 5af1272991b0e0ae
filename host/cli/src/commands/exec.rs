//! `exec` and `shell`.

use sandboxer_guard::permit::Terminal;
use sandboxer_model::{Error, ErrorCode, Result, call::ExecRequest};

use super::compose;
use crate::{
    args::{Exec, Shell},
    settings::Settings,
    streams,
};

pub(super) async fn run(args: &Exec, settings: &Settings) -> Result<u8> {
    let argv = args
        .argv
        .iter()
        .map(|argument| {
            argument.to_str().map(str::to_owned).ok_or_else(|| {
                Error::new(
                    ErrorCode::UsageInvalid,
                    format!("the argument {argument:?} is not valid UTF-8, which calls between sandboxer and its extensions need"),
                )
                .hint("pass such bytes through standard input or a file: see `sandboxer cp --help`")
            })
        })
        .collect::<Result<Vec<_>>>()?;
    for assignment in &args.env {
        if assignment.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
            let shown: String = assignment.chars().take(20).flat_map(char::escape_default).collect();
            return Err(Error::new(ErrorCode::UsageInvalid, format!("--env `{shown}` is not NAME=VALUE")));
        }
    }
    let wants_terminal = if args.no_tty { false } else { args.tty || streams::on_a_terminal() };
    enter(&args.sandbox, argv, args.env.clone(), args.cwd.clone(), wants_terminal, settings).await
}

pub(super) async fn shell(args: &Shell, settings: &Settings) -> Result<u8> {
    if !streams::on_a_terminal() {
        return Err(Error::new(ErrorCode::UsageInvalid, "`shell` needs a terminal on standard input and output")
            .hint("without one, run `sandboxer exec SANDBOX -- PROGRAM`"));
    }
    let argv = vec![args.shell.clone()];
    enter(&args.sandbox, argv, Vec::new(), None, true, settings).await
}

async fn enter(
    sandbox: &str,
    argv: Vec<String>,
    env: Vec<String>,
    cwd: Option<String>,
    wants_terminal: bool,
    settings: &Settings,
) -> Result<u8> {
    let service = compose::service(settings).await?;
    let sandbox = service.find(sandbox).await?;
    let terminal = wants_terminal.then(|| Terminal { term: streams::term(), size: streams::size() });
    let request = ExecRequest { argv, env, cwd, tty: wants_terminal };
    let access = service.exec(&sandbox, &request, terminal, settings.actor).await?;
    streams::pass_through(access, wants_terminal).await
}
