//! What guests write to standard error, and what they see of WASI.

use std::sync::Arc;

use sandboxer_model::ports::extensions::{Extensions, HookError, Limit};

use crate::{
    fixture::{Fixture, Recorder, limit, sandbox},
    guests::{Guest, NOISE, noisy},
};

async fn run(guest: &Guest<'_>) -> (Result<(), HookError>, Vec<String>) {
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&noisy(guest));
    let calls = Arc::new(Recorder::default());
    let result = fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await;
    fixture.works().await;
    let logged = calls.logged.lock().unwrap().clone();
    (result, logged)
}

const WRITE: &str = "(call $write (call $stderr) (i32.const 1024) (i32.const 13) (i32.const 2048))";
const TEXT: &str = r#"(data (i32.const 1024) "one\0atwo \1b[0m\0a")"#;

#[tokio::test]
async fn what_is_written_reaches_the_log_cleaned() {
    let (result, logged) = run(&Guest { imports: NOISE, more: TEXT, provision: WRITE, ..Guest::default() }).await;
    result.unwrap();
    assert_eq!(logged, ["one", "two [0m"]);
}

#[tokio::test]
async fn last_words_explain_a_trap() {
    let provision = format!("{WRITE} unreachable");
    let guest = Guest { imports: NOISE, more: TEXT, provision: &provision, ..Guest::default() };
    let (result, logged) = run(&guest).await;
    match result {
        Err(HookError::Trapped(why)) => assert_eq!(why, "wasm `unreachable` instruction executed: two [0m"),
        other => panic!("{other:?}"),
    }
    assert_eq!(logged, ["one", "two [0m"]);
}

#[tokio::test]
async fn a_flood_is_dropped_and_never_a_trap() {
    // The stream is opened once: only writing floods.
    let guest = Guest {
        imports: NOISE,
        more: TEXT,
        provision: r#"(local $stream i32)
            (local.set $stream (call $stderr))
            (loop $more
              (call $write (local.get $stream) (i32.const 1024) (i32.const 13) (i32.const 2048))
              (if (i32.load8_u (i32.const 2048)) (then unreachable))
              (br $more))"#,
        ..Guest::default()
    };
    let (result, logged) = run(&guest).await;
    assert_eq!(limit(result), Limit::Time);
    assert_eq!((logged.len(), logged.last().map(String::as_str)), (200, Some("further lines are dropped")));
}

#[tokio::test]
async fn exiting_is_a_trap() {
    for (status, code) in [(0, 0), (1, 1)] {
        let provision = format!("(call $exit (i32.const {status}))");
        let (result, _) = run(&Guest { imports: NOISE, provision: &provision, ..Guest::default() }).await;
        match result {
            Err(HookError::Trapped(why)) => assert_eq!(why, format!("it exited with status {code}")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn there_is_no_environment() {
    // Each answer must be empty: a list of length 0 at offset 4, an option that is none at offset 0.
    let guest = Guest {
        imports: NOISE,
        provision: r#"
            (i32.store (i32.const 2052) (i32.const 1)) (call $environment (i32.const 2048))
            (if (i32.load (i32.const 2052)) (then unreachable))
            (i32.store (i32.const 2052) (i32.const 1)) (call $arguments (i32.const 2048))
            (if (i32.load (i32.const 2052)) (then unreachable))
            (i32.store8 (i32.const 2048) (i32.const 1)) (call $cwd (i32.const 2048))
            (if (i32.load8_u (i32.const 2048)) (then unreachable))"#,
        ..Guest::default()
    };
    run(&guest).await.0.unwrap();
}
