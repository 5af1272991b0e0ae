//! `extension list|inspect`: what an extension could ever do, read from its bytes.

use std::path::Path;

use sandboxer_guard::{
    far_side,
    review::{self, Review},
};
use sandboxer_model::{Error, ErrorCode, Result, profile::parse_extension_name};
use sandboxer_service::catalog::{Catalog, read_component};
use serde::Serialize;

use crate::{
    args::Extension,
    catalog::BundledCatalog,
    output::{Printer, clean, table},
};

#[derive(Serialize)]
struct ExtensionList {
    extensions: Vec<Review>,
}

pub(super) fn run(args: &Extension, printer: Printer) -> Result<u8> {
    match args {
        Extension::List => {
            let extensions = BundledCatalog
                .extensions()
                .iter()
                .map(|name| review_of(&BundledCatalog.component(name)?))
                .collect::<Result<Vec<_>>>()?;
            let list = ExtensionList { extensions };
            printer.result(
                &list,
                |list| list.extensions.iter().map(|review| review.name.clone()).collect(),
                |list| {
                    let rows = list
                        .extensions
                        .iter()
                        .map(|review| {
                            vec![review.name.clone(), review.version.clone(), wide(review), review.summary.clone()]
                        })
                        .collect();
                    table(&["EXTENSION", "VERSION", "WIDE", "SUMMARY"], rows)
                },
            )?;
        }
        Extension::Inspect { extension, full } => {
            let review = review_of(&bytes(extension)?)?;
            printer.result(&review, |review| vec![review.digest.clone()], |review| human(review, *full))?;
        }
    }
    Ok(0)
}

fn review_of(bytes: &[u8]) -> Result<Review> {
    let (component, manifest) = read_component(bytes)?;
    Ok(review::review(&component, &manifest))
}

fn bytes(which: &str) -> Result<Vec<u8>> {
    // A path is something with a slash or an ending; names have neither.
    if which.contains('/') || which.ends_with(".wasm") || Path::new(which).is_file() {
        return std::fs::read(which).map_err(|error| {
            Error::new(ErrorCode::FileUnusable, format!("`{which}` cannot be read: {error}")).because(error)
        });
    }
    let name = parse_extension_name(which)
        .map_err(|error| Error::new(ErrorCode::ExtensionUnknown, error.to_string()).because(error))?;
    BundledCatalog.component(&name).map(|bytes| bytes.to_vec())
}

fn wide(review: &Review) -> String {
    let items: Vec<String> = review.wide.iter().map(|item| format!("{}: {}", item.command, item.hole)).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

fn human(review: &Review, full: bool) -> String {
    let mut text = format!("WIDE       {}\n", wide(review));
    for item in &review.wide {
        let phases: Vec<&str> = item.phases.iter().map(|phase| phase.as_str()).collect();
        text.push_str(&format!("           {} takes {} in {}\n", item.command, item.takes, phases.join(", ")));
    }
    text.push_str(&format!("{:<10} {} {}: {}\n", "EXTENSION", review.name, review.version, clean(&review.summary)));
    text.push_str(&format!("{:<10} {} ({} bytes)\n", "DIGEST", review.digest, review.size));
    text.push_str(&format!("{:<10} {}\n", "IMPORTS", names(&review.capabilities)));
    text.push_str(&format!("{:<10} {}\n", "WASI", names(&review.wasi)));
    text.push_str(&format!("{:<10} {}\n", "HOOKS", names(&review.hooks)));
    for grant in &review.grants {
        text.push_str(&format!("{:<10} {} as {}: {}\n", "GRANT", grant.name, grant.run_as, clean(&grant.reason)));
        if !grant.needs.is_empty() {
            text.push_str(&format!("{:<10} {}\n", "NEEDS", grant.needs.join(" ")));
        }
    }
    for resource in &review.resources {
        text.push_str(&format!(
            "{:<10} {}: made by {}, found by {}, removed by {}\n",
            "RESOURCE", resource.slot, resource.created_by, resource.lookup, resource.destroyed_by
        ));
    }
    text.push_str("COMMANDS\n");
    for command in &review.commands {
        let phases: Vec<&str> = command.phases.iter().map(|phase| phase.as_str()).collect();
        let job = if command.job { ", job" } else { "" };
        text.push_str(&format!("  {:<14} {} [{}{job}]\n", command.name, clean(&command.about), phases.join(", ")));
        if full {
            text.push_str(&format!("    {}\n", clean(&command.template)));
            for (hole, kind) in &command.holes {
                text.push_str(&format!("    {{{hole}}}: {kind}\n"));
            }
            for line in command.script.iter().flat_map(|script| script.lines()) {
                text.push_str(&format!("    | {}\n", clean(line)));
            }
        }
    }
    if full {
        text.push_str("THE FIXED WRAPPER ON THE FAR SIDE\n");
        for (name, script) in far_side::scripts() {
            text.push_str(&format!("  {name}\n"));
            for line in script.lines() {
                text.push_str(&format!("    | {}\n", clean(line)));
            }
        }
    } else {
        text.push_str("templates, holes, scripts and the fixed wrapper: --full, or --output json\n");
    }
    text
}

/// Interfaces without the package and version that they share.
fn names(interfaces: &[String]) -> String {
    let short: Vec<&str> = interfaces
        .iter()
        .map(|interface| {
            let bare = interface.split_once('@').map_or(interface.as_str(), |(bare, _)| bare);
            bare.strip_prefix("sandboxer:extension/").or_else(|| bare.strip_prefix("wasi:")).unwrap_or(bare)
        })
        .collect();
    if short.is_empty() { "nothing".to_owned() } else { short.join(" ") }
}
