//! `events`.

use std::time::Duration;

use sandboxer_model::Result;

use super::compose;
use crate::{
    args::Events,
    output::{Printer, views::event_line},
    settings::Settings,
};

const PAGE: u32 = 500;

pub(super) async fn run(args: &Events, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    let sandbox = match &args.sandbox {
        Some(text) => Some(service.find(text).await?.id),
        None => None,
    };
    let mut after = args.after;
    loop {
        let events =
            service.store.events(sandbox.as_ref(), after, PAGE).await.map_err(sandboxer_service::store_error)?;
        for event in &events {
            after = event.sequence;
            // A stream of events is a line each, in JSON too: who follows reads as it comes.
            if printer.is_json() {
                printer.line(&serde_json::to_string(event).unwrap_or_default())?;
            } else if printer.quiet {
                printer.line(event.sandbox.as_str())?;
            } else {
                printer.line(&event_line(event))?;
            }
        }
        if events.len() == PAGE as usize {
            continue;
        }
        if !args.follow {
            return Ok(0);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
