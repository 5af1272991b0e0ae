//! `recreate`.

use sandboxer_model::Result;

use super::{cancel_on_signals, compose, show};
use crate::{
    output::{Printer, progress},
    settings::Settings,
};

pub(super) async fn run(sandbox: &str, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    let id = service.find(sandbox).await?.id;
    let cancel = cancel_on_signals("stopped; `sandboxer list` shows what is left")?;
    let narrator = progress::narrator(&printer);
    let sandbox = service.recreate(&id, settings.actor, narrator, &cancel).await?;
    show(&service, &sandbox, printer).await?;
    Ok(0)
}
