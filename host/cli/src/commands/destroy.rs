//! `destroy`.

use sandboxer_model::{Error, ErrorCode, Result, error::Problem};
use serde::Serialize;

use super::{cancel_on_signals, compose};
use crate::{
    args::Destroy,
    output::{Printer, clean, progress, views::SandboxJson},
    settings::Settings,
};

#[derive(Serialize)]
struct Destroyed {
    destroyed: Vec<SandboxJson>,
}

pub(super) async fn run(args: &Destroy, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    // All are found before any is touched: a slip in one of them changes nothing.
    let mut ids = Vec::new();
    let mut unknown = Vec::new();
    for text in &args.sandboxes {
        match service.find(text).await {
            Ok(sandbox) if ids.contains(&sandbox.id) => {}
            Ok(sandbox) => ids.push(sandbox.id),
            Err(error) => unknown.push((clean(text), error)),
        }
    }
    if let Some(error) = refusal(unknown) {
        return Err(error);
    }
    let cancel = cancel_on_signals("stopped; run `sandboxer destroy` again for what `sandboxer list` still shows")?;
    let narrator = progress::narrator(&printer);
    let actor = args.actor.unwrap_or(settings.actor);
    let mut destroyed = Vec::new();
    let mut failed = Vec::new();
    for id in &ids {
        let reason = format!("destroyed by {actor}");
        match service.destroy(id, actor, &reason, std::sync::Arc::clone(&narrator), &cancel).await {
            Ok(sandbox) => destroyed.push(SandboxJson::from(&sandbox)),
            Err(error) => failed.push((id.to_string(), error)),
        }
    }
    drop(narrator);
    let answer = Destroyed { destroyed };
    printer.result(
        &answer,
        |answer| answer.destroyed.iter().map(|sandbox| sandbox.id.clone()).collect(),
        |answer| answer.destroyed.iter().map(|sandbox| format!("destroyed {}\n", sandbox.id)).collect(),
    )?;
    refusal(failed).map_or(Ok(0), Err)
}

/// One error as it is; several as one that lists all.
fn refusal(mut errors: Vec<(String, Error)>) -> Option<Error> {
    match errors.len() {
        0 => None,
        1 => errors.pop().map(|(_, error)| error),
        count => {
            let code = errors.first().map_or(ErrorCode::Internal, |(_, error)| error.code);
            let problems = errors.iter().map(|(id, error)| Problem::new(id.clone(), error.to_string())).collect();
            Some(Error::new(code, format!("{count} sandboxes were not destroyed")).problems(problems))
        }
    }
}
