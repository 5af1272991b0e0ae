//! What good guests can do, and what they are denied.

use std::{sync::Arc, time::Duration};

use sandboxer_model::{
    call::{CallError, CallRequest, ExecRequest, LogsRequest, Readiness},
    ports::extensions::{Extensions, HookError},
};

use crate::{
    fixture::{Fixture, Recorder, sandbox},
    guests::{Guest, LOG, OPEN, SSH, STATE, STEP},
};

/// Strings at 1024: `host` (4), `other` (5), `up` (2), `nothing` (7), `hole` (4), `value` (5).
const TEXTS: &str = r#"(data (i32.const 1024) "hostotherupnothingholevalue")
  (func $must (param i32) (if (i32.load8_u (local.get 0)) (then unreachable)))
  (func $must-not (param i32) (if (i32.eqz (i32.load8_u (local.get 0))) (then unreachable)))"#;

fn request() -> ExecRequest {
    ExecRequest { argv: vec!["true".to_owned()], env: Vec::new(), cwd: None, tty: false }
}

#[tokio::test]
async fn a_guest_runs_prepared_calls_through_the_handle_that_it_opened() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: TEXTS,
        // open("host"); run("up", [{hole: "hole", value: text("value")}]); start("up", []); poll.
        provision: r#"
            (call $open (i32.const 1024) (i32.const 4) (i32.const 2048))
            (call $must (i32.const 2048))
            (i32.store (i32.const 3072) (i32.const 1042)) (i32.store (i32.const 3076) (i32.const 4))
            (i32.store (i32.const 3080) (i32.const 0)) 
            (i32.store (i32.const 3088) (i32.const 1046)) (i32.store (i32.const 3092) (i32.const 5))
            (call $run (i32.load (i32.const 2052)) (i32.const 1033) (i32.const 2) (i32.const 3072) (i32.const 1) (i32.const 2112))
            (call $must (i32.const 2112))
            (call $start (i32.load (i32.const 2052)) (i32.const 1033) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2176))
            (call $must (i32.const 2176))
            (call $poll (i32.load (i32.const 2180)) (i32.const 2240))
            (call $must (i32.const 2240))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Arc::new(Recorder::default());
    fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await.unwrap();
    assert_eq!(
        *calls.asked.lock().unwrap(),
        [
            r#"run CallRequest { grant: "host", call: "up", arguments: [Argument { hole: "hole", value: Text("value") }] }"#,
            r#"start CallRequest { grant: "host", call: "up", arguments: [] }"#,
            "poll host up",
        ]
    );
}

#[tokio::test]
async fn a_denial_is_a_value_and_nothing_is_asked() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: TEXTS,
        // open("other") is denied; so is run("nothing").
        provision: r#"
            (call $open (i32.const 1028) (i32.const 5) (i32.const 2048))
            (call $must-not (i32.const 2048))
            (if (i32.load8_u (i32.const 2052)) (then unreachable))
            (call $open (i32.const 1024) (i32.const 4) (i32.const 2048))
            (call $must (i32.const 2048))
            (call $run (i32.load (i32.const 2052)) (i32.const 1035) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 2112))
            (call $must-not (i32.const 2112))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Arc::new(Recorder::default());
    fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await.unwrap();
    assert_eq!(calls.asked.lock().unwrap().len(), 1, "opening what is not granted asks for nothing");
}

#[tokio::test]
async fn a_forged_handle_traps_and_asks_for_nothing() {
    for handle in ["0", "1", "7", "-1"] {
        let guest = Guest {
            manifest: SSH,
            imports: OPEN,
            more: TEXTS,
            provision: &format!(
                "(call $run (i32.const {handle}) (i32.const 1033) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2112))"
            ),
            ..Guest::default()
        };
        let fixture = Fixture::new();
        let digest = fixture.shelf.put(&guest.component());
        let calls = Arc::new(Recorder::default());
        let result = fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await;
        assert!(matches!(result, Err(HookError::Trapped(_))), "{handle}: {result:?}");
        assert!(calls.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn notes_steps_and_log_lines_arrive_cleaned() {
    let guest = Guest {
        imports: &format!("{STATE}{LOG}{STEP}"),
        more: r#"(data (i32.const 1024) "key\1b[31mred\0d\0aINFO fake line")"#,
        provision: r#"
            (call $get (i32.const 1024) (i32.const 3) (i32.const 2048))
            (call $set (i32.const 1024) (i32.const 3) (i32.const 1024) (i32.const 3) (i32.const 2112))
            (call $step (i32.const 1024) (i32.const 3))
            (call $step (i32.const 1024) (i32.const 3))
            (call $step (i32.const 1024) (i32.const 27))
            (call $log (i32.const 1024) (i32.const 27))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Arc::new(Recorder::default());
    fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await.unwrap();
    assert_eq!(*calls.asked.lock().unwrap(), ["note key", "set key=key"]);
    assert_eq!(*calls.steps.lock().unwrap(), ["key", "key [31mred INFO fake line"], "one step is shown once");
    assert_eq!(*calls.logged.lock().unwrap(), ["key [31mred", "INFO fake line"]);
}

#[tokio::test]
async fn an_adapters_own_error_is_its_own_and_cleaned() {
    // result: error(failed("boom\n\e"))
    let guest = Guest {
        more: r#"(data (i32.const 1024) "boom\0a\1bx")"#,
        provision: r#"
            (i32.store8 (i32.const 2048) (i32.const 1)) (i32.store8 (i32.const 2052) (i32.const 7))
            (i32.store (i32.const 2056) (i32.const 1024)) (i32.store (i32.const 2060) (i32.const 7))
            (return (i32.const 2048))"#,
        ..Guest::default()
    };
    let result = Fixture::new().provision(&guest.component()).await;
    assert!(matches!(&result, Err(HookError::Failed(CallError::Failed(text))) if text == "boom x"), "{result:?}");
}

#[tokio::test]
async fn readiness_is_bounded_and_checked() {
    // ready([{name, value}]) with the name at 1024.
    let ready = |name: &str, count: usize| {
        let guest = Guest {
            more: &format!(r#"(data (i32.const 1024) "{name}\1b a value")"#),
            wait_ready: &format!(
                r#"(local $n i32)
                (i32.store (i32.const 2056) (i32.const 4096)) (i32.store (i32.const 2060) (i32.const {count}))
                (loop $next
                  (i32.store offset=4096 (i32.mul (local.get $n) (i32.const 16)) (i32.const 1024))
                  (i32.store offset=4100 (i32.mul (local.get $n) (i32.const 16)) (i32.const {len}))
                  (i32.store offset=4104 (i32.mul (local.get $n) (i32.const 16)) (i32.const {value}))
                  (i32.store offset=4108 (i32.mul (local.get $n) (i32.const 16)) (i32.const 9))
                  (local.set $n (i32.add (local.get $n) (i32.const 1)))
                  (br_if $next (i32.lt_u (local.get $n) (i32.const {count}))))
                (return (i32.const 2048))"#,
                len = name.len(),
                value = 1024 + name.len(),
            ),
            ..Guest::default()
        };
        guest.component()
    };
    let fixture = Fixture::new();
    let ask = async |component: Vec<u8>| {
        let digest = fixture.shelf.put(&component);
        fixture.runtime.wait_ready(&digest, &sandbox(), Arc::new(Recorder::default())).await
    };
    let Ok(Readiness::Ready(facts)) = ask(ready("kernel", 64)).await else { panic!("not ready") };
    assert_eq!(facts.len(), 64);
    assert_eq!((facts[0].name.as_str(), facts[0].value.as_str()), ("kernel", "a value"));
    for (name, count) in [("kernel", 65), ("Kernel", 1), ("a=b", 1), ("", 1), ("kernel\\00", 1)] {
        let result = ask(ready(name, count)).await;
        assert!(matches!(result, Err(HookError::Failed(CallError::Invalid(_)))), "{name} {count}: {result:?}");
    }
    // pending({retry-after-ms: 250, for: "the init"})
    let pending = Guest {
        more: r#"(data (i32.const 1024) "the init")"#,
        wait_ready: r#"
            (i32.store8 (i32.const 2052) (i32.const 1)) (i32.store (i32.const 2056) (i32.const 250))
            (i32.store (i32.const 2060) (i32.const 1024)) (i32.store (i32.const 2064) (i32.const 8))
            (return (i32.const 2048))"#,
        ..Guest::default()
    };
    let answer = ask(pending.component()).await.unwrap();
    assert_eq!(answer, Readiness::Pending { retry_after_ms: 250, what: "the init".to_owned() });
}

#[tokio::test]
async fn access_is_offered_or_unsupported() {
    let fixture = Fixture::new();
    let without = fixture.shelf.put(&Guest::default().component());
    let result = fixture.runtime.exec(&without, &sandbox(), &request()).await;
    assert!(matches!(result, Err(HookError::Unsupported("exec"))), "{result:?}");
    let result = fixture.runtime.logs(&without, &sandbox(), &LogsRequest { follow: true }).await;
    assert!(matches!(result, Err(HookError::Unsupported("logs"))), "{result:?}");

    // prepared-call { grant: "host", call: "up", arguments: [] }
    let guest = Guest {
        more: TEXTS,
        exec: Some(
            r#"(i32.store (i32.const 2052) (i32.const 1024)) (i32.store (i32.const 2056) (i32.const 4))
               (i32.store (i32.const 2060) (i32.const 1033)) (i32.store (i32.const 2064) (i32.const 2))
               (return (i32.const 2048))"#,
        ),
        ..Guest::default()
    };
    let with = fixture.shelf.put(&guest.component());
    let answer = fixture.runtime.exec(&with, &sandbox(), &request()).await.unwrap();
    assert_eq!(answer, CallRequest { grant: "host".into(), call: "up".into(), arguments: Vec::new() });
    fixture.runtime.provision(&with, &sandbox(), Arc::new(Recorder::default())).await.unwrap();
}

#[tokio::test]
async fn preparing_an_access_has_no_capabilities() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: TEXTS,
        exec: Some("(call $open (i32.const 1024) (i32.const 4) (i32.const 2048)) (call $must-not (i32.const 2048))"),
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    fixture.runtime.exec(&digest, &sandbox(), &request()).await.unwrap();
}

#[tokio::test]
async fn an_oversized_prepared_call_is_refused() {
    let guest = Guest {
        exec: Some(
            r#"(i32.store (i32.const 2052) (i32.const 1024)) (i32.store (i32.const 2056) (i32.const 65))
               (return (i32.const 2048))"#,
        ),
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let result = fixture.runtime.exec(&digest, &sandbox(), &request()).await;
    assert!(matches!(result, Err(HookError::Failed(CallError::Invalid(_)))), "{result:?}");
}

#[tokio::test]
async fn waiting_for_commands_is_not_computing() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: TEXTS,
        provision: r#"
            (call $open (i32.const 1024) (i32.const 4) (i32.const 2048))
            (call $run (i32.load (i32.const 2052)) (i32.const 1033) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2112))
            (call $must (i32.const 2112))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Recorder { delay: Duration::from_millis(900), ..Recorder::default() };
    fixture.runtime.provision(&digest, &sandbox(), Arc::new(calls)).await.unwrap();
}

#[tokio::test]
async fn each_call_gets_a_fresh_instance() {
    let guest = Guest {
        more: "(global $seen (mut i32) (i32.const 0))",
        provision: "(if (global.get $seen) (then unreachable)) (global.set $seen (i32.const 1))",
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let component = guest.component();
    for _ in 0..3 {
        fixture.provision(&component).await.unwrap();
    }
}
