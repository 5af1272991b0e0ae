//! Components that are refused before anything is compiled, and compilers that do not do their work.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sandboxer_guard::component::{MAX_SIZE, digest};
use sandboxer_model::ports::extensions::{Extensions, HookError, Limit};
use sandboxer_runtime::{CompilerCommand, Components, Limits, Runtime, Settings};

use crate::{
    fixture::{Fixture, Recorder, Shelf, limit, limits, sandbox, talker},
    guests::{Guest, OPEN, PLAIN, SSH},
};

fn text(fields: &str) -> Vec<u8> {
    let manifest = PLAIN.replace('"', "\\\"").replace('\n', "\\n");
    let text = format!(
        r#"(component {fields}
             (component $life) (instance $l (instantiate $life))
             (export "sandboxer:extension/lifecycle@0.1.0" (instance $l))
             (@custom "sandboxer:manifest" "{manifest}"))"#
    );
    wat::parse_str(text).unwrap()
}

/// The sentence that this component is refused with; nothing may have been compiled.
async fn refused(component: &[u8]) -> String {
    let fixture = Fixture::new();
    let result = fixture.provision(component).await;
    assert_eq!(std::fs::read_dir(fixture.cache()).unwrap().count(), 0, "nothing was compiled");
    fixture.works().await;
    match result {
        Err(HookError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_import() {
    let why = refused(&text(r#"(import "wasi:sockets/tcp@0.2.6" (instance (export "f" (func))))"#)).await;
    assert_eq!(why, "it imports `wasi:sockets/tcp@0.2.6`, which sandboxer does not offer");
}

#[tokio::test]
async fn an_import_that_the_manifest_does_not_declare() {
    let guest = Guest {
        imports: OPEN,
        more: r#"(data (i32.const 1024) "host")"#,
        provision: "(call $open (i32.const 1024) (i32.const 4) (i32.const 2048))",
        ..Guest::default()
    };
    let why = refused(&Guest { manifest: PLAIN, ..guest.clone() }.component()).await;
    assert_eq!(why, "it imports `sandboxer:extension/ssh@0.1.0`, which its manifest does not declare");
    Fixture::new().provision(&Guest { manifest: SSH, ..guest }.component()).await.unwrap();
}

#[tokio::test]
async fn two_manifests_none_and_a_bad_one() {
    let two = text(r#"(core module (@custom "sandboxer:manifest" "x"))"#);
    assert_eq!(refused(&two).await, "more than one manifest is embedded in it");
    let none = wat::parse_str("(component)").unwrap();
    assert!(refused(&none).await.starts_with("no manifest is embedded in it"));
    let bad = Guest { manifest: "name = 1", ..Guest::default() }.component();
    assert!(refused(&bad).await.starts_with("the manifest is refused"));
}

#[tokio::test]
async fn a_component_that_does_not_export_the_hooks() {
    let why = refused(&wat::parse_str(r#"(component (@custom "sandboxer:manifest" "x"))"#).unwrap()).await;
    assert_eq!(why, "it does not export `sandboxer:extension/lifecycle@0.1.0`");
    let fixture = Fixture::new();
    let result = fixture.provision(&text("")).await;
    assert!(matches!(result, Err(HookError::Refused(_))), "{result:?}");
    fixture.works().await;
}

#[tokio::test]
async fn too_deep_and_too_large() {
    let fixture = Fixture::new();
    let deep = text(&format!("{}{}", "(component ".repeat(30), ")".repeat(30)));
    assert_eq!(limit(fixture.provision(&deep).await), Limit::Component);
    let large = vec![0; MAX_SIZE + 1];
    assert_eq!(limit(fixture.provision(&large).await), Limit::Component);
    let many = text(&"(core module)".repeat(65));
    assert_eq!(limit(fixture.provision(&many).await), Limit::Component);
    assert_eq!(std::fs::read_dir(fixture.cache()).unwrap().count(), 0, "nothing was compiled");
    fixture.works().await;
}

#[tokio::test]
async fn bytes_that_do_not_have_their_digest() {
    let fixture = Fixture::new();
    let wanted = digest(&talker("wanted"));
    fixture.shelf.put_as(wanted, &talker("other"));
    let calls = Arc::new(Recorder::default());
    let result = fixture.runtime.provision(&wanted, &sandbox(), Arc::clone(&calls) as _).await;
    match result {
        Err(HookError::Refused(why)) => assert_eq!(why, format!("its bytes do not have the digest {wanted}")),
        other => panic!("{other:?}"),
    }
    assert!(calls.logged.lock().unwrap().is_empty());
    fixture.works().await;
}

#[tokio::test]
async fn a_component_that_is_not_there() {
    let fixture = Fixture::new();
    let result = fixture.runtime.prepare(&digest(b"nothing")).await;
    assert!(matches!(&result, Err(HookError::Refused(why)) if why == "there is no such component"), "{result:?}");
}

/// A runtime whose compiler is a shell script.
fn with_compiler(script: &str, limits: Limits) -> (Runtime, Arc<Shelf>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::default());
    let compiler = CompilerCommand { program: PathBuf::from("/bin/sh"), args: vec!["-c".into(), script.into()] };
    let settings = Settings { cache: directory.path().join("cache"), compiler, limits };
    let key = Arc::new(sandboxer_guard::key::InstallationKey::from_bytes([1; 32]));
    let components: Arc<dyn Components> = Arc::clone(&shelf) as _;
    (Runtime::new(settings, components, key).unwrap(), shelf, directory)
}

#[tokio::test]
async fn a_compiler_that_hangs_dies_or_lies() {
    let short = || Limits { compile_wall: Duration::from_millis(300), compile_cpu: Duration::from_secs(1), ..limits() };
    let ask = async |script: &str, limits: Limits| {
        let (runtime, shelf, directory) = with_compiler(script, limits);
        let result = runtime.prepare(&shelf.put(&talker("x"))).await;
        (result, directory)
    };
    assert_eq!(limit(ask("exec sleep 60", short()).await.0), Limit::Compile);
    assert_eq!(
        limit(ask("while :; do :; done", Limits { compile_wall: Duration::from_secs(20), ..short() }).await.0),
        Limit::Compile
    );
    assert_eq!(limit(ask("kill -ABRT $$", limits()).await.0), Limit::Compile);
    let (result, _) = ask("cat >/dev/null; echo 'no such thing' >&2; exit 3", limits()).await;
    assert!(
        matches!(&result, Err(HookError::Refused(why)) if why == "it does not compile: no such thing"),
        "{result:?}"
    );
    let (result, directory) = ask("cat >/dev/null; printf garbage", limits()).await;
    assert!(matches!(&result, Err(HookError::Internal(_))), "{result:?}");
    let kept = std::fs::read_dir(directory.path().join("cache")).unwrap().count();
    assert_eq!(kept, 0, "what does not load is not kept");
    let (result, _) = ask("cat >/dev/null; exec head -c 70000000 /dev/zero", limits()).await;
    assert_eq!(limit(result), Limit::Compile);
    let (result, _) = ask("cat >/dev/null; exit 9", limits()).await;
    assert!(matches!(&result, Err(HookError::Internal(_))), "{result:?}");
}

#[tokio::test]
async fn the_compiler_gets_its_limits_and_an_empty_environment() {
    let script = "cat >/dev/null; { env | cut -d= -f1 | sort | tr '\\n' ' '; ulimit -t; ulimit -c; ulimit -f; ulimit -v; ulimit -n; } | tr '\\n' ' ' >&2; exit 3";
    let (runtime, shelf, _directory) = with_compiler(script, limits());
    match runtime.prepare(&shelf.put(&talker("x"))).await {
        Err(HookError::Refused(why)) => {
            assert!(why.ends_with("3 0 0 524288 32"), "{why}");
            assert!(!why.contains("HOME") && !why.contains("CARGO") && !why.contains(" PATH"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}
