//! `create`: from a profile and inputs to a sandbox that is ready, or to an error and nothing.
//!
//! Everything that can be refused is refused before the first durable row; everything after it can be taken over by another
//! worker from what the store holds.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sandboxer_guard::{calls::Narrator, manifest::Manifest, warrant};
use sandboxer_model::{
    Error, ErrorCode, Result,
    error::Problem,
    id::{HostName, ProfileName, ProjectName, SandboxId, SandboxName, SandboxRef, Symbol},
    input::{self, InputKind, InputValue},
    ledger::Body,
    plan::{Plan, Upload},
    ports::store::NewSandbox,
    profile::Profile,
    sandbox::{Actor, Claim, Sandbox},
};
use tokio_util::sync::CancellationToken;

use crate::{Service, catalog, failures, lint};

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// By which recipe.
    pub profile: ProfileName,
    /// What the consumer says, as text.
    pub inputs: Vec<(String, String)>,
    /// What to call it.
    pub name: Option<SandboxName>,
    /// Whose it is.
    pub project: ProjectName,
    /// Who asks.
    pub actor: Actor,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Where; the default host when nobody says.
    pub host: Option<HostName>,
}

impl Service {
    /// Creates a sandbox and waits until it is ready. Cancelling removes what was made.
    ///
    /// # Errors
    /// Before anything is written: `input.invalid`, `profile.*`, `extension.*`, `host.*`, `name.taken`, `store.*`. After that: what went wrong, and
    /// the sandbox is removed or, when that fails, stays listed as failed.
    pub async fn create(
        &self,
        request: CreateRequest,
        narrator: Arc<dyn Narrator>,
        cancel: &CancellationToken,
    ) -> Result<Sandbox> {
        let (sandbox, claim) = self.open(request, &*narrator).await?;
        self.establish_or_remove(sandbox, claim, narrator, cancel).await
    }

    /// Everything up to the first durable row, and that row.
    async fn open(&self, request: CreateRequest, narrator: &dyn Narrator) -> Result<(Sandbox, Claim)> {
        let profile = self.catalog.profile(&request.profile)?;
        let bytes = self.catalog.component(&profile.extension)?;
        let (component, manifest) = catalog::read_component(&bytes)?;
        lint::refuse(&profile, lint::problems(&profile, &manifest))?;
        let inputs = read_inputs(&profile, &manifest, &request.inputs)?;
        check_labels(&request.labels)?;

        let id = SandboxId::random().map_err(|error| {
            Error::new(ErrorCode::Internal, format!("the operating system gave no randomness for an id: {error}"))
        })?;
        let host = request.host.unwrap_or_else(|| self.default_host.clone());
        narrator.step(&format!("looking at the host {host}"));
        let loading = async {
            narrator.step(&format!("loading ext.{}", manifest.name));
            let loaded = self.extensions.prepare(&component.digest).await;
            loaded.map_err(|error| failures::of_hook(&format!("ext.{} cannot be loaded", manifest.name), error))
        };
        // Both take some milliseconds, and neither needs the other. The host first: it works on the far side meanwhile.
        let (site, ()) = tokio::try_join!(biased; self.place(&host, &manifest, &profile.grants, &id), loading)?;
        self.shelf.keep(&component.digest, &bytes)?;

        let installation = self.store.installation().await.map_err(failures::of_store)?;
        let plan = Plan {
            reference: SandboxRef::new(&installation, &id),
            profile: profile.name.clone(),
            profile_version: profile.version,
            extension: manifest.name.clone(),
            extension_version: manifest.version.clone(),
            component: component.digest,
            grants_digest: warrant::grants_digest(&profile.grants),
            grants: profile.grants.clone(),
            uploads: uploads(&profile, &inputs),
            inputs,
            host,
            site,
            ready_within_s: profile.ready_within_s,
        };
        // Fails here, before anything is written, if plan and manifest could not work together later.
        warrant::Warrant::new(Arc::new(plan.clone()), Arc::new(manifest))
            .map_err(|unfit| lint::unfit(&profile, &unfit))?;
        let opened = Body::Opened {
            actor: request.actor,
            profile: plan.profile_title(),
            extension: plan.extension_title(),
            component: plan.component,
            grants: plan.grants_digest,
            host: plan.host.to_string(),
        };
        let new = NewSandbox {
            id,
            name: request.name,
            project: request.project,
            actor: request.actor,
            labels: request.labels,
            reason: format!("asked for by {} from {}", request.actor, plan.profile_title()),
            plan,
        };
        self.store.open(new, opened, &self.worker).await.map_err(failures::of_store)
    }
}

/// Reads the inputs and reports every problem of every kind at once.
fn read_inputs(
    profile: &Profile,
    manifest: &Manifest,
    given: &[(String, String)],
) -> Result<BTreeMap<Symbol, InputValue>> {
    let refused = |problems: Vec<Problem>| {
        let count = problems.len();
        let what = if count == 1 { "an input".to_owned() } else { format!("{count} inputs") };
        Error::new(ErrorCode::InputInvalid, format!("{what} of profile.{} cannot be used", profile.name))
            .problems(problems)
            .hint(format!("`sandboxer profiles show profile.{}` lists the inputs and their types", profile.name))
    };
    let (mut values, mut problems) = match input::resolve(&profile.inputs, given) {
        Ok(values) => (values, Vec::new()),
        Err(problems) => (BTreeMap::new(), problems),
    };
    for (name, text) in given {
        let Some((symbol, spec)) = profile.inputs.iter().find(|(symbol, _)| symbol.as_str() == name) else {
            continue;
        };
        if let Ok(value @ (InputValue::Directory(_) | InputValue::File(_))) = spec.kind.read(text) {
            match absolute(&value) {
                Ok(found) => drop(values.insert(symbol.clone(), found)),
                Err(why) => problems.push(Problem::new(format!("input.{name}"), why)),
            }
        }
    }
    problems.extend(warrant::input_problems(manifest, &values));
    if problems.is_empty() { Ok(values) } else { Err(refused(problems)) }
}

/// What goes into the workspace: the inputs that are directories and files of the consumer's machine.
fn uploads(profile: &Profile, inputs: &BTreeMap<Symbol, InputValue>) -> Vec<Upload> {
    let mut uploads = Vec::new();
    for (name, value) in inputs {
        let source = match value {
            InputValue::Directory(path) | InputValue::File(path) => path.into(),
            InputValue::String(_) | InputValue::Integer(_) | InputValue::Enum(_) => continue,
        };
        let switch = match profile.inputs.get(name).map(|spec| &spec.kind) {
            Some(InputKind::Directory { ignored_files }) => ignored_files.as_ref(),
            Some(InputKind::File | InputKind::String { .. } | InputKind::Integer { .. } | InputKind::Enum { .. })
            | None => None,
        };
        let include_ignored =
            switch.is_some_and(|switch| inputs.get(switch) == Some(&InputValue::Enum("include".to_owned())));
        uploads.push(Upload { input: name.clone(), source, include_ignored });
    }
    uploads
}

fn absolute(value: &InputValue) -> Result<InputValue, String> {
    let path = value.to_string();
    let found = Path::new(&path).canonicalize().map_err(|error| format!("`{path}` cannot be used: {error}"))?;
    let kind = found.metadata().map_err(|error| format!("`{path}` cannot be read: {error}"))?;
    let text = found.to_str().ok_or_else(|| format!("`{path}` is not valid UTF-8"))?.to_owned();
    match value {
        InputValue::Directory(_) if !kind.is_dir() => Err(format!("`{path}` is not a directory")),
        InputValue::File(_) if !kind.is_file() => Err(format!("`{path}` is not a regular file")),
        InputValue::Directory(_) => {
            std::fs::read_dir(&found).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
            Ok(InputValue::Directory(text))
        }
        InputValue::File(_) => Ok(InputValue::File(text)),
        InputValue::String(_) | InputValue::Integer(_) | InputValue::Enum(_) => Ok(value.clone()),
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    let mut problems = Vec::new();
    if labels.len() > 64 {
        problems.push(Problem::new("label", "at most 64 labels are kept"));
    }
    for (key, value) in labels {
        let named = !key.is_empty()
            && key.len() <= 63
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'));
        if !named {
            let shown: String = key.chars().take(64).flat_map(char::escape_default).collect();
            problems.push(Problem::new(
                format!("label.{shown}"),
                "a key has 1 to 63 letters, digits, `.`, `_`, `-` and `/`",
            ));
        } else if value.len() > 256 || value.chars().any(char::is_control) {
            problems.push(Problem::new(format!("label.{key}"), "a value is one line of at most 256 bytes"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::UsageInvalid, "the labels cannot be used").problems(problems))
}
