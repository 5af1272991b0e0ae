//! `list`.

use sandboxer_model::{Result, ports::store::Filter};

use super::compose;
use crate::{
    args::List,
    output::{
        Printer,
        views::{PageJson, SandboxJson},
    },
    settings::Settings,
};

pub(super) async fn run(args: &List, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    let before = match &args.before {
        Some(text) => Some(service.find(text).await?.id),
        None => None,
    };
    let filter = Filter {
        all: args.all,
        project: args.project.clone(),
        states: args.state.clone(),
        profile: args.profile.clone(),
        host: args.host.clone(),
        labels: args.label.iter().cloned().collect(),
        // One more than asked for tells whether there is a next page.
        limit: args.limit + 1,
        before,
    };
    let mut found = service.store.list(&filter).await.map_err(sandboxer_service::store_error)?;
    let more = found.len() > args.limit as usize;
    found.truncate(args.limit as usize);
    let next = if more { found.last().map(|sandbox| sandbox.id.to_string()) } else { None };
    let page = PageJson { sandboxes: found.iter().map(SandboxJson::from).collect(), next };
    let ids = |page: &PageJson| page.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
    printer.result(&page, ids, PageJson::human)?;
    Ok(0)
}
