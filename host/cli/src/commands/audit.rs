//! `audit ledger|verify`.

use sandboxer_model::{
    Error, ErrorCode, Result,
    error::Problem,
    ledger::{Body, Entry, OutcomeResult},
    ports::store::Filter,
};
use serde::Serialize;

use super::compose;
use crate::{
    args::Audit,
    output::{Printer, clean},
    settings::Settings,
};

#[derive(Serialize)]
struct LedgerJson {
    sandbox: String,
    verified: bool,
    fault: Option<String>,
    entries: Vec<EntryJson>,
}

#[derive(Serialize)]
struct EntryJson {
    sequence: u64,
    at: jiff::Timestamp,
    previous: String,
    hash: String,
    body: serde_json::Value,
}

#[derive(Serialize)]
struct Verified {
    verified: Vec<VerifiedOne>,
}

#[derive(Serialize)]
struct VerifiedOne {
    sandbox: String,
    entries: usize,
    allowed: usize,
    denied: usize,
    head: String,
}

pub(super) async fn run(args: &Audit, settings: &Settings, printer: Printer) -> Result<u8> {
    let service = compose::service(settings).await?;
    match args {
        Audit::Ledger(one) => {
            let id = service.find(&one.sandbox).await?.id;
            let entries = service.store.ledger(&id).await.map_err(sandboxer_service::store_error)?;
            // A broken ledger is printed too, and said to be broken: the reader decides what to make of it.
            let fault = service.verified_ledger(&id).await.err();
            let json = LedgerJson {
                sandbox: id.to_string(),
                verified: fault.is_none(),
                fault: fault.as_ref().map(ToString::to_string),
                entries: entries.iter().map(entry_json).collect(),
            };
            printer.result(&json, |json| vec![json.sandbox.clone()], |_| entries.iter().map(line).collect())?;
            fault.map_or(Ok(0), Err)
        }
        Audit::Verify { sandboxes } => {
            let mut ids = Vec::new();
            for text in sandboxes {
                ids.push(service.find(text).await?.id);
            }
            if sandboxes.is_empty() {
                let all = Filter { all: true, limit: u32::MAX, ..Filter::default() };
                let found = service.store.list(&all).await.map_err(sandboxer_service::store_error)?;
                ids.extend(found.into_iter().map(|sandbox| sandbox.id));
            }
            let mut verified = Vec::new();
            let mut faults = Vec::new();
            for id in &ids {
                match service.verified_ledger(id).await {
                    Ok(chain) => verified.push(VerifiedOne {
                        sandbox: id.to_string(),
                        entries: chain.len(),
                        allowed: chain.iter().filter(|(_, body)| matches!(body, Body::Intent { .. })).count(),
                        denied: chain.iter().filter(|(_, body)| matches!(body, Body::Denied { .. })).count(),
                        head: chain.last().map(|(entry, _)| entry.hash.to_string()).unwrap_or_default(),
                    }),
                    Err(error) => faults.push(Problem::new(id.as_str(), error.to_string())),
                }
            }
            let verified = Verified { verified };
            printer.result(&verified, |all| all.verified.iter().map(|one| one.sandbox.clone()).collect(), human)?;
            match faults.len() {
                0 => Ok(0),
                count => {
                    Err(Error::new(ErrorCode::LedgerBroken, format!("{count} of {} ledgers do not verify", ids.len()))
                        .problems(faults))
                }
            }
        }
    }
}

fn human(all: &Verified) -> String {
    if all.verified.is_empty() {
        return "there is no ledger to verify".to_owned();
    }
    all.verified
        .iter()
        .map(|one| {
            format!(
                "{}: {} entries, {} calls allowed, {} denied; verified\n",
                one.sandbox, one.entries, one.allowed, one.denied
            )
        })
        .collect()
}

fn entry_json(entry: &Entry) -> EntryJson {
    EntryJson {
        sequence: entry.sequence,
        at: entry.at,
        previous: entry.previous.to_string(),
        hash: entry.hash.to_string(),
        body: serde_json::from_str(&entry.body).unwrap_or_else(|_| serde_json::Value::String(entry.body.clone())),
    }
}

fn line(entry: &Entry) -> String {
    let at = entry.at.strftime("%H:%M:%S%.3f");
    let what = match serde_json::from_str::<Body>(&entry.body) {
        Ok(Body::Opened { actor, profile, extension, component, host, .. }) => {
            format!("opened   {profile} with {extension} ({}) on {host} for {actor}", component.short())
        }
        Ok(Body::Intent { call }) => format!("allowed  {} [{}] {}", call.call, call.phase.as_str(), call.target),
        Ok(Body::Denied { call, reason }) => format!("DENIED   {} [{}] {reason}", call.call, call.phase.as_str()),
        Ok(Body::Outcome { of, result, duration_ms, sent, received }) => {
            let result = match result {
                OutcomeResult::Exited { exit } => exit.to_string(),
                OutcomeResult::Started => "started".to_owned(),
                OutcomeResult::Unavailable => "not sent".to_owned(),
                OutcomeResult::Lost => "lost".to_owned(),
                OutcomeResult::TimedOut => "timed out".to_owned(),
                OutcomeResult::Cancelled => "cancelled".to_owned(),
            };
            format!("outcome  of {of}: {result}, {duration_ms} ms, {sent} bytes there, {received} back")
        }
        Ok(Body::Closed { reason }) => format!("closed   {reason}"),
        Err(_) => format!("UNREADABLE {}", entry.body),
    };
    format!("{:>4}  {at}  {}\n", entry.sequence, clean(&what))
}
