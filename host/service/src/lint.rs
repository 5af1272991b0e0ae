//! Lint: what is wrong with a profile, all of it, before anyone creates from it.

use sandboxer_guard::{
    manifest::Manifest,
    warrant::{self, Unfit},
};
use sandboxer_model::{Error, ErrorCode, Result, error::Problem, input::InputKind, profile::Profile};

use crate::catalog::{Catalog, read_component};

/// Checks a profile against its extension.
///
/// # Errors
/// `profile.invalid` with every problem; `extension.unknown`, `extension.invalid`.
pub fn check(profile: &Profile, catalog: &dyn Catalog) -> Result<()> {
    let bytes = catalog.component(&profile.extension)?;
    let (_, manifest) = read_component(&bytes)?;
    refuse(profile, problems(profile, &manifest))
}

pub(crate) fn refuse(profile: &Profile, problems: Vec<Problem>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::ProfileInvalid, format!("profile.{} cannot be used", profile.name)).problems(problems))
}

pub(crate) fn problems(profile: &Profile, manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    if profile.version == 0 {
        problems.push(Problem::new("version", "must be at least 1"));
    }
    if profile.ready_within_s == 0 || profile.ready_within_s > 3600 {
        problems.push(Problem::new("ready-within-s", "must lie between 1 and 3600"));
    }
    if let Err(unfit) = warrant::within(manifest, &profile.grants) {
        problems.push(Problem::new("grants", unfit.to_string()));
    }
    let always = |name: &sandboxer_model::id::Symbol| {
        profile.inputs.get(name).is_some_and(|input| input.required || input.kind.default_value().is_some())
    };
    if let Err(unfit) = warrant::inputs_suffice(manifest, &profile.grants, &always) {
        problems.push(Problem::new("inputs", unfit.to_string()));
    }
    problems.extend(switch_problems(profile));
    for (slot, resource) in &manifest.resources {
        let granted = |path: &sandboxer_guard::manifest::CallPath| {
            profile.grants.get(&path.grant).is_some_and(|grant| grant.commands.contains(&path.command))
        };
        if granted(&resource.created_by) {
            for path in [&resource.lookup, &resource.destroyed_by] {
                if !granted(path) {
                    problems.push(Problem::new(
                        "grants",
                        format!("`{}` fills the slot `{slot}`, so `{path}` must be granted too", resource.created_by),
                    ));
                }
            }
        }
    }
    for (grant, given) in &profile.grants {
        let mut seen = std::collections::BTreeSet::new();
        for command in &given.commands {
            if !seen.insert(command) {
                problems.push(Problem::new(format!("grants.{grant}"), format!("`{command}` is listed twice")));
            }
        }
    }
    problems
}

/// What an unfit plan means to a user.
pub(crate) fn unfit(profile: &Profile, unfit: &Unfit) -> Error {
    Error::new(ErrorCode::ProfileInvalid, format!("profile.{} cannot be used: {unfit}", profile.name))
}

/// A directory's switch for ignored files is an enum input that knows the word for it.
fn switch_problems(profile: &Profile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, spec) in &profile.inputs {
        let InputKind::Directory { ignored_files: Some(switch) } = &spec.kind else {
            continue;
        };
        let knows = match profile.inputs.get(switch).map(|spec| &spec.kind) {
            Some(InputKind::Enum { values, .. }) => values.iter().any(|word| word == "include"),
            Some(
                InputKind::Directory { .. } | InputKind::File | InputKind::String { .. } | InputKind::Integer { .. },
            )
            | None => false,
        };
        if !knows {
            problems.push(Problem::new(
                format!("inputs.{name}"),
                format!("ignored-files names `{switch}`, which is no enum input with the word `include`"),
            ));
        }
    }
    problems
}
