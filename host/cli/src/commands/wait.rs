//! `wait`.

use std::time::Duration;

use sandboxer_model::Result;
use sandboxer_service::wait::Until;

use super::{cancel_on_signals, compose, show};
use crate::{
    args::{Goal, Wait},
    output::{Printer, progress},
    settings::Settings,
};

pub(super) async fn run(args: &Wait, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    let id = service.find(&args.sandbox).await?.id;
    let until = match args.goal {
        Goal::Ready => Until::Ready,
        Goal::Destroyed => Until::Destroyed,
    };
    let cancel = cancel_on_signals("stopped; the sandbox goes on as it was")?;
    let narrator = progress::narrator(&printer);
    let within = Duration::from_secs(args.timeout);
    let sandbox = service.wait(&id, until, within, settings.actor, narrator, &cancel).await?;
    show(&service, &sandbox, printer).await?;
    Ok(0)
}
