//! `create`.

use std::collections::BTreeMap;

use sandboxer_model::{Error, ErrorCode, Result, error::Problem};
use sandboxer_service::create::CreateRequest;

use super::{cancel_on_signals, compose, show};
use crate::{
    args::Create,
    output::{Printer, progress},
    settings::Settings,
};

pub(super) async fn run(args: &Create, settings: &Settings, printer: Printer) -> Result<u8> {
    let mut labels = BTreeMap::new();
    for (key, value) in &args.label {
        if labels.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::new(ErrorCode::UsageInvalid, "the labels cannot be used")
                .problems(vec![Problem::new(format!("label.{}", key.escape_default()), "is given twice")]));
        }
    }
    let service = compose::service(settings).await?;
    let cancel = cancel_on_signals("stopped; `sandboxer list` shows what is left, and `sandboxer destroy` removes it")?;
    let narrator = progress::narrator(&printer);
    let request = CreateRequest {
        profile: args.profile.clone(),
        inputs: args.input.clone(),
        name: args.name.clone(),
        project: args.project.clone().unwrap_or_else(|| settings.project.clone()),
        actor: args.actor.unwrap_or(settings.actor),
        labels,
        host: args.host.clone(),
    };
    let sandbox = service.create(request, narrator, &cancel).await?;
    show(&service, &sandbox, printer).await?;
    if !printer.is_json() && !printer.quiet {
        anstream::eprintln!("nothing expires it: `sandboxer destroy {}` removes it", sandbox.id);
    }
    Ok(0)
}
