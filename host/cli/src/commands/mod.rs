//! The verbs, one file each.

mod audit;
mod completions;
mod cp;
mod create;
mod destroy;
mod doctor;
mod events;
mod exec;
mod extension;
mod get;
mod hosts;
mod inspect;
mod list;
mod logs;
mod profiles;
mod recreate;
mod wait;

use sandboxer_model::{Error, ErrorCode, Result, sandbox::Sandbox};
use sandboxer_service::{Service, wait::is_abandoned};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Verb,
    compose,
    output::{Printer, views::DetailJson},
    settings::Settings,
};

/// Does what was asked; answers the exit status.
pub(crate) async fn run(verb: &Verb, settings: &Settings, printer: Printer) -> Result<u8> {
    match verb {
        Verb::Create(args) => create::run(args, settings, printer).await,
        Verb::Get(args) => get::run(&args.sandbox, settings, printer).await,
        Verb::List(args) => list::run(args, settings, printer).await,
        Verb::Wait(args) => wait::run(args, settings, printer).await,
        Verb::Exec(args) => exec::run(args, settings).await,
        Verb::Shell(args) => exec::shell(args, settings).await,
        Verb::Cp(args) => cp::run(args, settings, printer).await,
        Verb::Logs(args) => logs::run(args, settings).await,
        Verb::Events(args) => events::run(args, settings, printer).await,
        Verb::Destroy(args) => destroy::run(args, settings, printer).await,
        Verb::Recreate(args) => recreate::run(&args.sandbox, settings, printer).await,
        Verb::Profiles(args) => profiles::run(args, settings, printer).await,
        Verb::Extension(args) => extension::run(args, printer),
        Verb::Hosts(args) => hosts::run(args, settings, printer).await,
        Verb::Inspect(args) => inspect::run(args, settings, printer).await,
        Verb::Audit(args) => audit::run(args, settings, printer).await,
        Verb::Doctor => doctor::run(settings, printer).await,
        Verb::Completions { shell } => completions::run(*shell),
        Verb::CompileComponent => Err(Error::new(ErrorCode::UsageInvalid, "this verb is for sandboxer itself")),
    }
}

/// A token that the first Ctrl-C (or a request to terminate) cancels. A second one ends the process at once and says what that
/// leaves behind.
fn cancel_on_signals(left_behind: &'static str) -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::new(ErrorCode::Internal, "signals cannot be handled").because(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        for count in 1..=2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            if count == 1 {
                anstream::eprintln!("cancelling; once more to stop at once");
                cancel.cancel();
            }
        }
        anstream::eprintln!("{left_behind}");
        std::process::exit(130);
    });
    Ok(token)
}

/// A sandbox with its resources and its open operation, as `get` and its kin print it.
async fn show(service: &Service, sandbox: &Sandbox, printer: Printer) -> Result<()> {
    let resources = service.store.resources(&sandbox.id).await.map_err(sandboxer_service::store_error)?;
    let operation = service.store.open_operation(&sandbox.id).await.map_err(sandboxer_service::store_error)?;
    let held = operation.as_ref().is_some_and(|operation| !is_abandoned(operation));
    let detail = DetailJson::new(sandbox, &resources, operation.as_ref(), held);
    printer.result(&detail, |detail| vec![detail.sandbox.id.clone()], DetailJson::human)
}
