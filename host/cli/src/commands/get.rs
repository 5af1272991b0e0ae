//! `get`.

use sandboxer_model::Result;

use super::{compose, show};
use crate::{output::Printer, settings::Settings};

pub(super) async fn run(sandbox: &str, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    let sandbox = service.find(sandbox).await?;
    show(&service, &sandbox, printer).await?;
    Ok(0)
}
