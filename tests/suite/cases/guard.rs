//! The choke point over a real store and a real shell: for every permission the denial beside it, and for each denial one
//! ledger line and nothing that ran.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use sandboxer_brokers::Brokers;
use sandboxer_guard::{
    Guard,
    asked::Occasion,
    calls::{GuardedCalls, Silent},
    key::InstallationKey,
    ledger::{self, LedgerSealer},
    manifest::Manifest,
    warrant::{Unfit, Warrant},
};
use sandboxer_model::{
    call::{Argument, CallError, CallOutput, CallRequest, Value},
    id::{Digest, SandboxId, SandboxRef},
    input::InputValue,
    ledger::{Body, Phase},
    plan::{Grant, Plan, Site},
    ports::{
        calls::Calls,
        milestones::Unobserved,
        store::{Begun, NewSandbox, Right, Store, Worker},
    },
    sandbox::{Actor, Claim, OperationKind},
};
use sandboxer_store::SqliteStore;

const MANIFEST: &str = r#"
name = "ext.probe"
version = "1"
world = "sandboxer:extension@0.1.0"
summary = "shows what arrives"
[ssh.host]
reason = "tests"
run-as = "connection"
[ssh.host.commands.show]
about = "prints its arguments, each followed by a NUL byte, and leaves a mark"
script = '''touch "$1/ran"; shift; printf '%s\0' "$@"'''
argv = ["{workspace}", "{name}", "{path}", "{number}", "{word}", "{text}", ["{env}"]]
holes.name = { type = "name" }
holes.path = { type = "relative-path" }
holes.number = { type = "integer", min = 1, max = 9 }
holes.word = { type = "enum", values = ["on", "off"] }
holes.text = { type = "text", max-bytes = 64 }
holes.env = { type = "assignment", max-bytes = 64 }
[ssh.host.commands.ungranted]
about = "is declared and not granted"
script = 'touch "$1/ran"'
argv = ["{workspace}"]
[ssh.host.commands.conditional]
about = "is for another input"
script = 'touch "$1/ran"'
argv = ["{workspace}"]
when = { input = "mode", is = "other" }
[ssh.host.commands.late]
about = "belongs to teardown"
script = 'touch "$1/ran"'
argv = ["{workspace}"]
phases = ["teardown"]
[ssh.host.commands.enter]
about = "belongs to exec"
script = 'touch "$1/ran"; shift; exec "$@"'
argv = ["{workspace}", "{command...}"]
holes.command = { type = "argv", max-items = 100 }
phases = ["exec"]
[ssh.host.commands.job]
about = "a job"
job = true
script = 'touch "$1/ran"'
argv = ["{workspace}"]
"#;

struct Bench {
    dir: tempfile::TempDir,
    store: Arc<SqliteStore>,
    guard: Arc<Guard>,
    warrant: Warrant,
    claim: Claim,
    id: SandboxId,
    key: Arc<InstallationKey>,
}

fn worker() -> Worker {
    Worker { owner: "test/boot/1/1".into(), lease: Duration::from_secs(60) }
}

fn grants(commands: &[&str]) -> BTreeMap<sandboxer_model::id::Symbol, Grant> {
    let commands = commands.iter().map(|name| name.parse().unwrap()).collect();
    BTreeMap::from([("host".parse().unwrap(), Grant { commands })])
}

fn plan(root: &Path, id: &SandboxId, granted: &[&str]) -> Plan {
    Plan {
        reference: SandboxRef::new(&"abc123".parse().unwrap(), id),
        profile: "probe".parse().unwrap(),
        profile_version: 1,
        extension: "probe".parse().unwrap(),
        extension_version: "1".into(),
        component: Digest::new([1; 32]),
        grants_digest: Digest::new([2; 32]),
        grants: grants(granted),
        inputs: BTreeMap::from([("mode".parse().unwrap(), InputValue::Enum("this".into()))]),
        uploads: Vec::new(),
        host: sandboxer_model::id::HostName::local(),
        site: Site { root: root.display().to_string(), uid: 0, sandbox_uid: None, programs: BTreeMap::new() },
        ready_within_s: 10,
    }
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(InstallationKey::from_bytes([3; 32]));
        let sealer = Arc::new(LedgerSealer::new(Arc::clone(&key)));
        let store = Arc::new(SqliteStore::open(&dir.path().join("store.db"), sealer, Arc::new(Unobserved)).unwrap());
        let settings = sandboxer_brokers::Settings::from_user(dir.path().join("connections.toml")).unwrap();
        let brokers = Arc::new(Brokers::new(settings).unwrap());
        let guard = Arc::new(Guard::new(Arc::clone(&store) as _, brokers, Arc::new(Unobserved)));
        let id = SandboxId::random().unwrap();
        let plan = plan(&dir.path().join("root"), &id, &["show", "conditional", "late", "enter", "job"]);
        let warrant = Warrant::new(Arc::new(plan.clone()), Arc::new(Manifest::parse(MANIFEST).unwrap())).unwrap();
        let opened = Body::Opened {
            actor: Actor::Agent,
            profile: "profile.probe@1".into(),
            extension: "ext.probe@1".into(),
            component: plan.component,
            grants: plan.grants_digest,
            host: "local".into(),
        };
        let new = NewSandbox {
            id: id.clone(),
            name: None,
            project: "default".parse().unwrap(),
            actor: Actor::Agent,
            labels: BTreeMap::new(),
            plan,
            reason: "test".into(),
        };
        let (_, claim) = Store::open(&*store, new, opened, &worker()).await.unwrap();
        let bench = Self { dir, store, guard, warrant, claim, id, key };
        bench.guard.prepare_workspace(&bench.occasion(Phase::Provision)).await.unwrap();
        bench
    }

    fn occasion(&self, phase: Phase) -> Occasion {
        Occasion {
            warrant: self.warrant.clone(),
            right: Right::Operation(self.claim.clone()),
            phase,
            actor: Actor::Agent,
        }
    }

    fn calls(&self, phase: Phase) -> GuardedCalls {
        GuardedCalls::new(Arc::clone(&self.guard), self.occasion(phase), Arc::new(Silent))
    }

    /// Whether anything ran since the last time this was asked.
    fn ran(&self) -> bool {
        let plan = self.warrant.plan();
        fs::remove_file(Path::new(&plan.site.workspace(&plan.reference)).join("ran")).is_ok()
    }

    async fn bodies(&self) -> Vec<Body> {
        let entries = self.store.ledger(&self.id).await.unwrap();
        let head = self.store.head(&self.id).await.unwrap();
        ledger::verify(&self.key, &entries, head.as_ref()).unwrap()
    }

    /// The call must be refused with one ledger line, and nothing may run.
    async fn refused(&self, phase: Phase, request: CallRequest, expected: &str) {
        let before = self.bodies().await.len();
        let error = self.calls(phase).run(request.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), expected, "{request:?}");
        let bodies = self.bodies().await;
        assert_eq!(bodies.len(), before + 1, "one line for {request:?}");
        assert!(matches!(bodies.last(), Some(Body::Denied { .. })), "{:?}", bodies.last());
        assert!(!self.ran(), "{request:?} ran");
    }
}

fn text(hole: &str, value: &str) -> Argument {
    Argument { hole: hole.into(), value: Value::Text(value.into()) }
}

fn show(changed: Option<Argument>) -> CallRequest {
    let mut arguments = vec![
        text("name", "n"),
        text("path", "a/b"),
        Argument { hole: "number".into(), value: Value::Integer(3) },
        text("word", "on"),
        text("text", "t"),
    ];
    if let Some(changed) = changed {
        arguments.retain(|argument| argument.hole != changed.hole);
        arguments.push(changed);
    }
    CallRequest { grant: "host".into(), call: "show".into(), arguments }
}

fn bare(call: &str) -> CallRequest {
    CallRequest { grant: "host".into(), call: call.into(), arguments: Vec::new() }
}

#[tokio::test]
async fn a_granted_call_runs_with_exactly_its_arguments() {
    let bench = Bench::new().await;
    let env = Argument { hole: "env".into(), value: Value::List(vec!["A=$(id)".into(), "B='\n'".into()]) };
    let hostile = text("text", "$(touch x) `id` ' \" \\ {name} * ;");
    let mut request = show(Some(hostile));
    request.arguments.push(env);
    let CallOutput { exit, stdout, .. } = bench.calls(Phase::Provision).run(request).await.unwrap();
    assert!(exit.success());
    let arrived = String::from_utf8(stdout).unwrap();
    let expected = ["n", "a/b", "3", "on", "$(touch x) `id` ' \" \\ {name} * ;", "A=$(id)", "B='\n'"];
    assert_eq!(arrived.split_terminator('\0').collect::<Vec<_>>(), expected);
    assert!(bench.ran());
    let bodies = bench.bodies().await;
    let [.., Body::Intent { call }, Body::Outcome { .. }] = bodies.as_slice() else {
        panic!("{bodies:?}");
    };
    assert_eq!((call.call.as_str(), call.phase), ("host.show", Phase::Provision));
}

#[tokio::test]
async fn what_is_not_granted_is_denied_in_one_sentence() {
    let bench = Bench::new().await;
    let denied = "denied: the profile does not grant this call";
    for request in [bare("ungranted"), bare("no-such-call"), bare("../show"), bare("")] {
        bench.refused(Phase::Provision, request, denied).await;
    }
    let other = CallRequest { grant: "other".into(), ..show(None) };
    bench.refused(Phase::Provision, other, denied).await;
}

#[tokio::test]
async fn phase_condition_and_use_are_checked() {
    let bench = Bench::new().await;
    bench.refused(Phase::Provision, bare("late"), "denied: the call does not belong to this phase").await;
    bench.refused(Phase::Provision, bare("enter"), "denied: the call does not belong to this phase").await;
    bench
        .refused(Phase::Provision, bare("conditional"), "denied: the call's condition does not hold for this sandbox")
        .await;
    bench.refused(Phase::Provision, bare("job"), "denied: the call cannot be used in this way").await;
    let started = bench.calls(Phase::Provision).start(show(None)).await.unwrap_err();
    assert_eq!(started, CallError::Denied("the call cannot be used in this way".into()));
    assert!(!bench.ran());
    bench.calls(Phase::Teardown).run(bare("late")).await.unwrap();
    assert!(bench.ran());
}

#[tokio::test]
async fn every_hole_is_typed() {
    let bench = Bench::new().await;
    let wrong = [
        text("name", "-n"),
        text("name", "Upper"),
        text("path", "../x"),
        text("path", "/x"),
        Argument { hole: "number".into(), value: Value::Integer(10) },
        Argument { hole: "number".into(), value: Value::Integer(-1) },
        text("word", "maybe"),
        text("text", "--flag"),
        text("text", "a\nb"),
        text("text", "a\0b"),
        text("text", &"x".repeat(65)),
        Argument { hole: "text".into(), value: Value::List(vec!["a".into(), "b".into()]) },
        Argument { hole: "env".into(), value: Value::List(vec!["NOT-A-NAME=x".into()]) },
        text("no-such-hole", "x"),
    ];
    for argument in wrong {
        let before = bench.bodies().await.len();
        let error = bench.calls(Phase::Provision).run(show(Some(argument.clone()))).await.unwrap_err();
        assert!(matches!(error, CallError::Invalid(_)), "{argument:?}: {error:?}");
        assert!(!bench.ran(), "{argument:?} ran");
        assert_eq!(bench.bodies().await.len(), before + 1, "{argument:?}");
    }
    let mut twice = show(None);
    twice.arguments.push(text("name", "m"));
    bench.refused(Phase::Provision, twice, "invalid: `name` is given twice").await;
    let mut missing = show(None);
    missing.arguments.retain(|argument| argument.hole != "text");
    bench.refused(Phase::Provision, missing, "invalid: the hole `text` needs exactly one value").await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_does_nothing() {
    let bench = Bench::new().await;
    bench.store.expire_lease(bench.claim.operation, &worker().owner).await.unwrap();
    let successor = Worker { owner: "test/boot/2/2".into(), ..worker() };
    let begun =
        bench.store.begin(&bench.id, OperationKind::Create, Actor::Agent, "takeover", &successor).await.unwrap();
    assert!(matches!(begun, Begun::Claimed(_)));
    let before = bench.bodies().await.len();
    assert_eq!(bench.calls(Phase::Provision).run(show(None)).await, Err(CallError::Cancelled));
    assert!(!bench.ran());
    assert_eq!(bench.bodies().await.len(), before, "it was not even an intent");
}

#[tokio::test]
async fn a_create_that_is_no_longer_wanted_does_nothing_more() {
    let bench = Bench::new().await;
    let other = Worker { owner: "test/boot/2/2".into(), ..worker() };
    let begun = bench.store.begin(&bench.id, OperationKind::Destroy, Actor::Agent, "enough", &other).await.unwrap();
    assert!(matches!(begun, Begun::Busy { .. }));
    assert_eq!(bench.calls(Phase::Provision).run(show(None)).await, Err(CallError::Cancelled));
    assert!(!bench.ran());
}

#[tokio::test]
async fn access_needs_a_sandbox_that_is_ready() {
    let bench = Bench::new().await;
    let occasion = Occasion { right: Right::Access(bench.id.clone()), ..bench.occasion(Phase::Exec) };
    let command = Argument { hole: "command".into(), value: Value::List(vec!["true".into()]) };
    let request = CallRequest { arguments: vec![command], ..bare("enter") };
    let error = bench.guard.access(&occasion, &request, None).await.err().unwrap();
    assert_eq!(error, CallError::Unavailable("the sandbox is requested, not ready".into()));
    assert!(!bench.ran());
}

#[tokio::test]
async fn notes_are_bounded_and_the_workspace_is_the_hosts() {
    let bench = Bench::new().await;
    let calls = bench.calls(Phase::Provision);
    calls.set_note("key", "value").await.unwrap();
    assert_eq!(calls.note("key").await.unwrap().as_deref(), Some("value"));
    assert!(matches!(calls.set_note("key", &"x".repeat(5000)).await, Err(CallError::Invalid(_))));
    // The workspace may be removed in teardown only.
    let error = bench.guard.remove_workspace(&bench.occasion(Phase::Provision)).await.unwrap_err();
    assert_eq!(error, CallError::Denied("the call does not belong to this phase".into()));
    bench.guard.remove_workspace(&bench.occasion(Phase::Teardown)).await.unwrap();
    assert!(!bench.dir.path().join("root").join(bench.warrant.plan().reference.as_str()).exists());
}

#[test]
fn a_profile_never_grants_more_than_the_manifest_declares() {
    let manifest = Arc::new(Manifest::parse(MANIFEST).unwrap());
    let id = SandboxId::random().unwrap();
    let wide = plan(Path::new("/nowhere"), &id, &["show", "undeclared"]);
    let unfit = Warrant::new(Arc::new(wide), Arc::clone(&manifest)).unwrap_err();
    assert_eq!(unfit, Unfit::GrantsTooMuch("host.undeclared".into()));
    let mut foreign = plan(Path::new("/nowhere"), &id, &["show"]);
    foreign.extension = "other".parse().unwrap();
    assert!(matches!(Warrant::new(Arc::new(foreign), manifest), Err(Unfit::OtherExtension { .. })));
}
