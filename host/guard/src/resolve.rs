//! Resolving a call: from what was asked to what would be sent, or to the reason why not. Pure; the choke point in
//! `authorize` calls it before it writes anything down.

use std::collections::BTreeMap;

use sandboxer_model::{
    call::{CallError, CallRequest},
    id::{Digest, ResourceRef, Slot, Symbol},
    ledger::Phase,
    ports::store::ResourceIntent,
    sandbox::{Identity, ResourceState},
};
use sha2::{Digest as _, Sha256};

use crate::{
    asked::{Asked, Occasion, Use, WorkspaceCall, workspace_slot},
    far_side, hole,
    manifest::{CallPath, Command, Program, SshSection},
    permit::{Launch, Terms},
    template::{self, Values},
    warrant::Warrant,
};

/// A call that passed every check and is not written down yet.
pub(crate) struct Checked {
    pub(crate) call: String,
    pub(crate) target: String,
    pub(crate) digest: Digest,
    pub(crate) terms: Terms,
    pub(crate) resource: Option<ResourceIntent>,
}

/// Resolves what was asked.
///
/// # Errors
/// `Denied` or `Invalid`.
pub(crate) fn check(occasion: &Occasion, asked: Asked<'_>) -> Result<Checked, CallError> {
    let warrant = &occasion.warrant;
    match asked {
        Asked::Prepared(request, usage) => check_prepared(occasion, request, usage),
        Asked::Lookup(slot) | Asked::Destroy(slot) => {
            let resource = warrant
                .manifest()
                .resources
                .get(slot)
                .ok_or_else(|| CallError::Denied("the extension has no such slot".to_owned()))?;
            let destroys = matches!(asked, Asked::Destroy(_));
            let path = if destroys { &resource.destroyed_by } else { &resource.lookup };
            let (section, command) = known(warrant, path)?;
            let mut checked = render(occasion, path, section, command, &BTreeMap::new(), Use::Run)?;
            if destroys {
                checked.resource = Some(intent(warrant, slot, resource.identity, ResourceState::Deleting));
            }
            Ok(checked)
        }
        Asked::Workspace(call) => check_workspace(occasion, &call),
    }
}

fn known<'w>(warrant: &'w Warrant, path: &CallPath) -> Result<(&'w SshSection, &'w Command), CallError> {
    warrant.manifest().command(path).ok_or_else(|| CallError::Denied("the extension has no such call".to_owned()))
}

fn check_prepared(occasion: &Occasion, request: &CallRequest, usage: Use) -> Result<Checked, CallError> {
    let warrant = &occasion.warrant;
    let denied = |why: &str| CallError::Denied(why.to_owned());
    let path = match (request.grant.parse::<Symbol>(), request.call.parse::<Symbol>()) {
        (Ok(grant), Ok(command)) => CallPath { grant, command },
        (_, _) => return Err(denied("the profile does not grant this call")),
    };
    // One sentence for "not declared" and "not granted": a guest learns nothing by trying names.
    if !warrant.grants(&path) {
        return Err(denied("the profile does not grant this call"));
    }
    let (section, command) = known(warrant, &path)?;
    if !command.phases.contains(&occasion.phase) {
        return Err(denied("the call does not belong to this phase"));
    }
    if !warrant.condition_holds(command) {
        return Err(denied("the call's condition does not hold for this sandbox"));
    }
    let access = matches!(occasion.phase, Phase::Exec | Phase::Logs);
    let fits = match usage {
        Use::Run => !command.job && !access,
        Use::Start | Use::Poll => command.job,
        Use::Stream(_) => access,
    };
    if !fits {
        return Err(denied("the call cannot be used in this way"));
    }
    let values = if usage == Use::Poll { BTreeMap::new() } else { typed(command, request)? };
    let creates = (usage != Use::Poll).then_some(command.creates.as_ref()).flatten();
    let resource = creates.and_then(|slot| {
        let identity = warrant.manifest().resources.get(slot)?.identity;
        Some(intent(warrant, slot, identity, ResourceState::Intent))
    });
    let mut checked = if usage == Use::Poll {
        polled(occasion, &path, section)
    } else {
        render(occasion, &path, section, command, &values, usage)?
    };
    checked.resource = resource;
    Ok(checked)
}

fn intent(warrant: &Warrant, slot: &Slot, identity: Identity, state: ResourceState) -> ResourceIntent {
    ResourceIntent {
        reference: ResourceRef::new(&warrant.plan().reference, slot),
        slot: slot.clone(),
        host: warrant.plan().host.clone(),
        identity,
        state,
    }
}

/// Types every value: each argument has a hole, each hole has at most one argument.
fn typed(command: &Command, request: &CallRequest) -> Result<BTreeMap<Symbol, Vec<String>>, CallError> {
    let mut values = BTreeMap::new();
    for argument in &request.arguments {
        let hole = argument.hole.parse::<Symbol>().ok().and_then(|name| command.holes.get_key_value(&name));
        let Some((name, kind)) = hole else {
            return Err(CallError::Invalid("the call has no such hole".to_owned()));
        };
        let texts = hole::check(kind, &argument.value)
            .map_err(|why| CallError::Invalid(format!("the value for `{name}` {why}")))?;
        if values.insert(name.clone(), texts).is_some() {
            return Err(CallError::Invalid(format!("`{name}` is given twice")));
        }
    }
    Ok(values)
}

fn render(
    occasion: &Occasion,
    path: &CallPath,
    section: &SshSection,
    command: &Command,
    values: &BTreeMap<Symbol, Vec<String>>,
    usage: Use,
) -> Result<Checked, CallError> {
    let warrant = &occasion.warrant;
    let arguments = template::render(&command.argv, &Values { guest: values, host: &|hole| warrant.fill(hole) })
        .map_err(CallError::Invalid)?;
    let mut argv = warrant.program(path, command).map_err(|unfit| CallError::Denied(unfit.to_string()))?;
    // A script's own text stands in the manifest; the ledger shows its name and arguments, and digests all of it.
    let shown: Vec<String> = match &command.program {
        Program::Script(_) => std::iter::once(path.to_string()).chain(arguments.clone()).collect(),
        Program::Named(_) => argv.iter().chain(&arguments).cloned().collect(),
    };
    argv.extend(arguments);
    let (terminal, timeout) = match usage {
        Use::Stream(terminal) => (terminal, None),
        Use::Run | Use::Start | Use::Poll => (None, Some(command.timeout)),
    };
    let launch = Launch {
        home: warrant.plan().site.home(&warrant.plan().reference),
        reference: warrant.plan().reference.clone(),
        record: if command.job { format!("job.{path}") } else { path.to_string() },
        run_as: warrant.run_as(section),
        needs_home: true,
        job: command.job,
    };
    let terms = Terms {
        host: warrant.plan().host.clone(),
        call: path.to_string(),
        argv,
        launch,
        timeout,
        output_limit: command.output_limit,
        terminal,
    };
    finish(terms, &shown)
}

/// Asking after a job runs the host's own fixed text, so there is nothing to render.
fn polled(occasion: &Occasion, path: &CallPath, section: &SshSection) -> Checked {
    let plan = occasion.warrant.plan();
    let terms = Terms {
        host: plan.host.clone(),
        call: format!("{path}#poll"),
        argv: Vec::new(),
        launch: Launch {
            home: plan.site.home(&plan.reference),
            reference: plan.reference.clone(),
            record: format!("job.{path}"),
            run_as: occasion.warrant.run_as(section),
            needs_home: true,
            job: true,
        },
        timeout: Some(std::time::Duration::from_secs(30)),
        output_limit: 4096,
        terminal: None,
    };
    Checked { call: terms.call.clone(), target: path.to_string(), digest: digest(&[]), terms, resource: None }
}

fn check_workspace(occasion: &Occasion, call: &WorkspaceCall) -> Result<Checked, CallError> {
    let warrant = &occasion.warrant;
    let plan = warrant.plan();
    let allowed: &[Phase] = match call {
        WorkspaceCall::Prepare | WorkspaceCall::Unpack => &[Phase::Provision],
        WorkspaceCall::Present | WorkspaceCall::Remove => &[Phase::Teardown],
    };
    if !allowed.contains(&occasion.phase) {
        return Err(CallError::Denied("the call does not belong to this phase".to_owned()));
    }
    let home = plan.site.home(&plan.reference);
    let owner = warrant.workspace_owner();
    let refused = |error: far_side::QuoteError| CallError::Invalid(error.to_string());
    let (argv, resource) = match call {
        WorkspaceCall::Prepare => (far_side::prepare_argv(&home, owner).map_err(refused)?, Some(ResourceState::Intent)),
        WorkspaceCall::Unpack => (far_side::unpack_argv(None).map_err(refused)?, None),
        WorkspaceCall::Present => (far_side::present_argv(&home).map_err(refused)?, None),
        WorkspaceCall::Remove => {
            (far_side::remove_argv(&home, plan.reference.as_str()).map_err(refused)?, Some(ResourceState::Deleting))
        }
    };
    let streamed = matches!(call, WorkspaceCall::Unpack);
    let slot = workspace_slot()?;
    let terms = Terms {
        host: plan.host.clone(),
        call: call.name().to_owned(),
        argv,
        launch: Launch {
            home: home.clone(),
            reference: plan.reference.clone(),
            record: call.name().to_owned(),
            run_as: if streamed { owner } else { None },
            needs_home: streamed,
            job: false,
        },
        timeout: (!streamed).then_some(std::time::Duration::from_secs(120)),
        output_limit: 16 * 1024,
        terminal: None,
    };
    let mut checked = finish(terms, &[call.name().to_owned(), home])?;
    checked.resource = resource.map(|state| intent(warrant, &slot, Identity::Name, state));
    Ok(checked)
}

/// The most that a ledger line shows of a rendered call; its digest covers all of it.
const SHOWN: usize = 512;

fn finish(terms: Terms, shown: &[String]) -> Result<Checked, CallError> {
    // What cannot be sent is refused before it is written down as intended.
    far_side::check_words(&terms.argv).map_err(|error| CallError::Invalid(error.to_string()))?;
    let quoted = far_side::quote(shown).map_err(|error| CallError::Invalid(error.to_string()))?;
    let mut target: String = quoted.chars().take(SHOWN).collect();
    if target.len() < quoted.len() {
        target.push('…');
    }
    let digest = digest(&terms.argv);
    Ok(Checked { call: terms.call.clone(), target, digest, terms, resource: None })
}

fn digest(argv: &[String]) -> Digest {
    let mut hasher = Sha256::new();
    for argument in argv {
        hasher.update(argument.as_bytes());
        hasher.update([0]);
    }
    Digest::new(hasher.finalize().into())
}
