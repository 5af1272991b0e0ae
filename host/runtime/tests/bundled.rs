//! The guests that the product carries, with answers as a placement host would give them.

#[path = "../../cli/guests.rs"]
mod build;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use sandboxer_model::{
    call::{Argument, CallError, CallOutput, CallRequest, ExecRequest, Exit, JobStatus, LogsRequest, Readiness, Value},
    id::Digest,
    ports::{
        calls::Calls,
        extensions::{Extensions, HookError},
    },
};

use crate::fixture::{Fixture, sandbox};

/// The component, compiled as the product's build does it.
fn guest(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let target = Path::new(env!("CARGO_BIN_EXE_compile-child")).ancestors().nth(2).unwrap().join("guests");
    build::compile(&root, &target).unwrap();
    std::fs::read(build::built(&target, name)).unwrap()
}

/// A host that answers each command as told; the rest fails.
struct Host {
    answers: HashMap<&'static str, (u8, String, &'static str)>,
    job: JobStatus,
    asked: Mutex<Vec<String>>,
}

impl Host {
    fn new(answers: &[(&'static str, u8, &str, &'static str)], job: JobStatus) -> Arc<Self> {
        let answers = answers.iter().map(|(call, status, out, err)| (*call, (*status, (*out).to_owned(), *err)));
        Arc::new(Self { answers: answers.collect(), job, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Calls for Host {
    fn granted(&self, grant: &str) -> bool {
        grant == "host"
    }

    async fn run(&self, request: CallRequest) -> Result<CallOutput, CallError> {
        self.asked.lock().unwrap().push(request.call.clone());
        let (status, out, err) =
            self.answers.get(&*request.call).cloned().ok_or_else(|| CallError::Denied("no such call".to_owned()))?;
        let truncated = false;
        Ok(CallOutput { exit: Exit::Status(status), stdout: out.into(), stderr: err.into(), truncated })
    }

    async fn start(&self, request: CallRequest) -> Result<(), CallError> {
        self.asked.lock().unwrap().push(format!("start {}", request.call));
        Ok(())
    }

    async fn poll(&self, _grant: &str, _call: &str) -> Result<JobStatus, CallError> {
        Ok(self.job)
    }

    async fn note(&self, _key: &str) -> Result<Option<String>, CallError> {
        Ok(None)
    }

    async fn set_note(&self, _key: &str, _value: &str) -> Result<(), CallError> {
        Ok(())
    }

    async fn step(&self, _text: &str) {}

    fn log(&self, text: &str) {
        panic!("the bundled guests log nothing: {text}");
    }
}

fn facts(answer: Result<Readiness, HookError>) -> Vec<(String, String)> {
    match answer {
        Ok(Readiness::Ready(facts)) => {
            facts.into_iter().map(|fact| (fact.name.as_str().to_owned(), fact.value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

async fn exec(fixture: &Fixture, digest: &Digest, env: &[&str], cwd: Option<&str>) -> CallRequest {
    let argv = vec!["ls".to_owned(), "-l".to_owned()];
    let env = env.iter().map(|&text| text.to_owned()).collect();
    let request = ExecRequest { argv, env, cwd: cwd.map(str::to_owned), tty: false };
    fixture.runtime.exec(digest, &sandbox(), &request).await.unwrap()
}

fn text(hole: &str, value: &str) -> Argument {
    Argument { hole: hole.to_owned(), value: Value::Text(value.to_owned()) }
}

fn list(hole: &str, values: &[&str]) -> Argument {
    Argument { hole: hole.to_owned(), value: Value::List(values.iter().map(|&text| text.to_owned()).collect()) }
}

#[tokio::test]
async fn the_canary() {
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest("canary"));
    let reference = format!("{}\n", sandbox().reference);
    let host = Host::new(
        &[
            ("write", 0, "", ""),
            ("read", 0, &reference, ""),
            ("clear", 0, "", ""),
            ("kernel", 0, "Linux 6.1\nmore\n", ""),
            ("os", 1, "", "no such file"),
            ("cpus", 0, "2\n", ""),
            ("memory", 0, "", ""),
            ("disk", 0, "  9 MiB \n", ""),
        ],
        JobStatus::Absent,
    );
    fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&host) as _).await.unwrap();
    let found = facts(fixture.runtime.wait_ready(&digest, &sandbox(), Arc::clone(&host) as _).await);
    let expected = [
        pair("kernel", "Linux 6.1"),
        pair("os", "unknown"),
        pair("cpus", "2"),
        pair("memory", ""),
        pair("disk", "9 MiB"),
        pair("uptime", "unknown"),
    ];
    assert_eq!(found, expected);
    fixture.runtime.teardown(&digest, &sandbox(), Arc::clone(&host) as _).await.unwrap();
    assert_eq!(host.asked(), ["write", "read", "kernel", "os", "cpus", "memory", "disk", "uptime", "clear"]);

    let other = Host::new(&[("read", 0, "sbx-abcdef-other\n", "")], JobStatus::Absent);
    let result = fixture.runtime.wait_ready(&digest, &sandbox(), other).await;
    assert!(matches!(result, Err(HookError::Failed(CallError::Failed(_)))), "{result:?}");
    let broken = Host::new(&[("write", 2, "", "sh: cannot create: no space left\nmore")], JobStatus::Absent);
    match fixture.runtime.provision(&digest, &sandbox(), broken).await {
        Err(HookError::Failed(CallError::Failed(why))) => {
            assert_eq!(why, "`write` ended with exit status 2: sh: cannot create: no space left");
        }
        result => panic!("{result:?}"),
    }

    let call = exec(&fixture, &digest, &["A=b"], Some("sub")).await;
    assert_eq!((call.grant.as_str(), call.call.as_str()), ("host", "exec"));
    assert_eq!(call.arguments, [text("directory", "sub"), list("env", &["A=b"]), list("command", &["ls", "-l"])]);
    let call = exec(&fixture, &digest, &[], None).await;
    assert_eq!(call.arguments, [text("directory", "."), list("command", &["ls", "-l"])]);
    let logs = fixture.runtime.logs(&digest, &sandbox(), &LogsRequest { follow: true }).await.unwrap();
    assert_eq!((logs.call.as_str(), logs.arguments), ("logs", vec![text("follow", "follow")]));
}

#[tokio::test]
async fn bubblewrap() {
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest("bubblewrap"));
    let host = Host::new(
        &[("check", 0, "bubblewrap=0.8\nnoise\nkernel = Linux 6.1\n", ""), ("stop", 0, "", "")],
        JobStatus::Running,
    );
    fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&host) as _).await.unwrap();
    let found = facts(fixture.runtime.wait_ready(&digest, &sandbox(), Arc::clone(&host) as _).await);
    assert_eq!(found, [pair("bubblewrap", "0.8"), pair("kernel", "Linux 6.1")]);
    fixture.runtime.teardown(&digest, &sandbox(), Arc::clone(&host) as _).await.unwrap();
    assert_eq!(host.asked(), ["start init", "check", "stop"]);

    let starting = Host::new(&[("check", 1, "", "not yet\n")], JobStatus::Running);
    let answer = fixture.runtime.wait_ready(&digest, &sandbox(), starting).await.unwrap();
    assert_eq!(answer, Readiness::Pending { retry_after_ms: 10, what: "not yet".to_owned() });
    let dead = Host::new(
        &[("check", 1, "", "not yet\n"), ("trouble", 0, "bwrap: no user namespaces\n", "")],
        JobStatus::Ended(Exit::Status(1)),
    );
    match fixture.runtime.wait_ready(&digest, &sandbox(), dead).await {
        Err(HookError::Failed(CallError::Failed(why))) => {
            assert_eq!(why, "the init ended with exit status 1: bwrap: no user namespaces");
        }
        result => panic!("{result:?}"),
    }

    for (cwd, directory) in [(None, "/workspace"), (Some("sub"), "/workspace/sub"), (Some("/tmp"), "/tmp")] {
        let call = exec(&fixture, &digest, &[], cwd).await;
        assert_eq!(call.arguments, [text("directory", directory), list("command", &["ls", "-l"])]);
    }
    let logs = fixture.runtime.logs(&digest, &sandbox(), &LogsRequest { follow: false }).await.unwrap();
    assert_eq!((logs.call.as_str(), logs.arguments), ("logs", vec![text("follow", "once")]));
}
