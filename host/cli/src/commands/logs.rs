//! `logs`.

use sandboxer_model::{Result, call::LogsRequest};

use super::compose;
use crate::{args::Logs, settings::Settings, streams};

pub(super) async fn run(args: &Logs, settings: &Settings) -> Result<u8> {
    let service = compose::service(settings).await?;
    let sandbox = service.find(&args.sandbox).await?;
    let access = service.logs(&sandbox, &LogsRequest { follow: args.follow }, settings.actor).await?;
    streams::read_only(access).await
}
