//! Hostile guests. Each ends in its typed error within its limit, and afterwards a good guest works.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sandboxer_model::ports::extensions::{Extensions, HookError, Limit};
use sandboxer_runtime::Limits;

use crate::{
    fixture::{Fixture, Recorder, limit, limits, sandbox},
    guests::{Guest, LOG, LOOP, OPEN, SSH, STEP, encode},
};

/// Provisions a hostile guest and gives the limit that it ended at, after a good guest has worked too.
async fn stopped(guest: Guest<'_>) -> Limit {
    let fixture = Fixture::new();
    let component = guest.component();
    let begun = Instant::now();
    let limit = limit(fixture.provision(&component).await);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    fixture.works().await;
    limit
}

#[tokio::test]
async fn an_endless_loop() {
    assert_eq!(stopped(Guest { provision: LOOP, ..Guest::default() }).await, Limit::Time);
}

#[tokio::test]
async fn an_endless_start_function() {
    let more = format!("(func $spin {LOOP}) (start $spin)");
    assert_eq!(stopped(Guest { more: &more, ..Guest::default() }).await, Limit::Time);
}

#[tokio::test]
async fn a_trap_in_a_start_function() {
    let guest = Guest { more: "(func $bad unreachable) (start $bad)", ..Guest::default() };
    let fixture = Fixture::new();
    let result = fixture.provision(&guest.component()).await;
    assert!(matches!(result, Err(HookError::Trapped(_))), "{result:?}");
    fixture.works().await;
}

#[tokio::test]
async fn endless_recursion() {
    let guest = Guest { more: "(func $deep (call $deep))", provision: "(call $deep)", ..Guest::default() };
    assert_eq!(stopped(guest).await, Limit::Stack);
}

#[tokio::test]
async fn growing_memory() {
    let provision = "(loop $more (drop (memory.grow (i32.const 1))) (br $more))";
    assert_eq!(stopped(Guest { provision, ..Guest::default() }).await, Limit::Memory);
}

#[tokio::test]
async fn a_memory_that_starts_too_large() {
    let memory = r#"(memory (export "memory") 4096)"#;
    assert_eq!(stopped(Guest { memory, ..Guest::default() }).await, Limit::Memory);
}

#[tokio::test]
async fn growing_a_table() {
    let guest = Guest {
        more: "(table $t 1 funcref)",
        provision: "(loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more))",
        ..Guest::default()
    };
    assert_eq!(stopped(guest).await, Limit::Memory);
}

#[tokio::test]
async fn memory_and_table_together() {
    let guest = Guest {
        more: "(table $t 1 funcref)",
        provision: r#"
            (drop (memory.grow (i32.const 600)))
            (drop (table.grow $t (ref.null func) (i32.const 4000000)))"#,
        ..Guest::default()
    };
    assert_eq!(stopped(guest).await, Limit::Memory, "each alone would have fitted");
}

#[tokio::test]
async fn too_many_parts() {
    // A guest that imports anything consists of more than one core instance.
    let guest = Guest { imports: LOG, ..Guest::default() };
    let fixture = Fixture::with(Limits { parts: 1, ..limits() });
    assert_eq!(limit(fixture.provision(&guest.component()).await), Limit::Memory);
    fixture.provision(&Guest::default().component()).await.unwrap();
}

#[tokio::test]
async fn a_list_that_is_claimed_and_not_there() {
    let guest = Guest {
        wait_ready: r#"
            (i32.store (i32.const 2056) (i32.const 0)) (i32.store (i32.const 2060) (i32.const 0x0fffffff))
            (return (i32.const 2048))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let result = fixture.runtime.wait_ready(&digest, &sandbox(), Arc::new(Recorder::default())).await;
    assert!(
        matches!(result, Err(HookError::Trapped(_) | HookError::Limit { limit: Limit::Transfer, .. })),
        "{result:?}"
    );
    fixture.works().await;
}

#[tokio::test]
async fn a_huge_list_that_is_there() {
    let guest = Guest {
        memory: r#"(memory (export "memory") 600)"#,
        wait_ready: r#"
            (i32.store (i32.const 2056) (i32.const 4096)) (i32.store (i32.const 2060) (i32.const 2000000))
            (return (i32.const 2048))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let result = fixture.runtime.wait_ready(&digest, &sandbox(), Arc::new(Recorder::default())).await;
    assert_eq!(limit(result.map(drop)), Limit::Transfer);
    fixture.works().await;
}

#[tokio::test]
async fn a_huge_text_to_the_host() {
    let guest = Guest {
        imports: LOG,
        memory: r#"(memory (export "memory") 600)"#,
        provision: "(call $log (i32.const 0) (i32.const 30000000))",
        ..Guest::default()
    };
    assert_eq!(stopped(guest).await, Limit::Transfer);
}

#[tokio::test]
async fn a_huge_answer_from_the_host() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: r#"(data (i32.const 1024) "hostup")"#,
        provision: r#"
            (call $open (i32.const 1024) (i32.const 4) (i32.const 2048))
            (call $run (i32.load (i32.const 2052)) (i32.const 1028) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2112))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Recorder { stdout: vec![b'x'; 100 << 20], ..Recorder::default() };
    let result = fixture.runtime.provision(&digest, &sandbox(), Arc::new(calls)).await;
    assert_eq!(limit(result), Limit::Memory);
    fixture.works().await;
}

#[tokio::test]
async fn a_flood_of_log_lines_and_steps() {
    let guest = Guest {
        imports: &format!("{LOG}{STEP}"),
        more: r#"(data (i32.const 1024) "a\0ab\0ac\0ad\0a")"#,
        provision: r#"(loop $more
            (call $log (i32.const 1024) (i32.const 8))
            (i32.store8 (i32.const 1024) (i32.xor (i32.load8_u (i32.const 1024)) (i32.const 3)))
            (call $step (i32.const 1024) (i32.const 8))
            (br $more))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Arc::new(Recorder::default());
    let result = fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await;
    assert_eq!(limit(result), Limit::Time);
    let logged = calls.logged.lock().unwrap().clone();
    assert_eq!((logged.len(), logged.last().map(String::as_str)), (200, Some("further lines are dropped")));
    assert_eq!(calls.steps.lock().unwrap().len(), 100);
    fixture.works().await;
}

#[tokio::test]
async fn a_flood_of_handles() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: r#"(data (i32.const 1024) "host")"#,
        provision: "(loop $more (call $open (i32.const 1024) (i32.const 4) (i32.const 2048)) (br $more))",
        ..Guest::default()
    };
    assert_eq!(stopped(guest).await, Limit::Handles);
}

#[tokio::test]
async fn a_flood_of_calls_is_denied_and_then_stopped() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: r#"(data (i32.const 1024) "hostup")"#,
        provision: r#"
            (call $open (i32.const 1024) (i32.const 4) (i32.const 2048))
            (loop $more
              (call $run (i32.load (i32.const 2052)) (i32.const 1028) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2112))
              (br $more))"#,
        ..Guest::default()
    };
    let fixture = Fixture::new();
    let digest = fixture.shelf.put(&guest.component());
    let calls = Arc::new(Recorder::default());
    let result = fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await;
    assert_eq!(limit(result), Limit::Time);
    assert_eq!(calls.asked.lock().unwrap().len(), 1_000);
    fixture.works().await;
}

#[tokio::test]
async fn slow_calls_end_at_the_wall_clock() {
    let guest = Guest {
        manifest: SSH,
        imports: OPEN,
        more: r#"(data (i32.const 1024) "hostup")"#,
        provision: r#"
            (call $open (i32.const 1024) (i32.const 4) (i32.const 2048))
            (loop $more
              (call $run (i32.load (i32.const 2052)) (i32.const 1028) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2112))
              (br $more))"#,
        ..Guest::default()
    };
    let fixture = Fixture::with(Limits { provision: Duration::from_millis(700), ..limits() });
    let digest = fixture.shelf.put(&guest.component());
    let calls = Arc::new(Recorder { delay: Duration::from_millis(100), ..Recorder::default() });
    let begun = Instant::now();
    let result = fixture.runtime.provision(&digest, &sandbox(), Arc::clone(&calls) as _).await;
    assert_eq!(limit(result), Limit::Time);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let asked = calls.asked.lock().unwrap().len();
    assert!((3..=7).contains(&asked), "{asked} calls in 700 ms");
    fixture.works().await;
}

#[tokio::test]
async fn a_trap_and_an_endless_loop_in_teardown() {
    let fixture = Fixture::new();
    let teardown = async |body: &str| {
        let digest = fixture.shelf.put(&Guest { teardown: body, ..Guest::default() }.component());
        fixture.runtime.teardown(&digest, &sandbox(), Arc::new(Recorder::default())).await
    };
    match teardown("unreachable").await {
        Err(HookError::Trapped(reason)) => assert_eq!(reason, "wasm `unreachable` instruction executed"),
        other => panic!("{other:?}"),
    }
    assert_eq!(limit(teardown(LOOP).await), Limit::Time);
    teardown("").await.unwrap();
    fixture.works().await;
}

#[tokio::test]
async fn an_endless_loop_does_not_keep_others_waiting() {
    // One thread for all: only because guests are interrupted does the good one get its turn.
    let fixture = Fixture::with(Limits { computing: Duration::from_secs(2), ..limits() });
    let spinning = fixture.shelf.put(&Guest { provision: LOOP, ..Guest::default() }.component());
    fixture.runtime.prepare(&spinning).await.unwrap();
    fixture.works().await;
    let calls = || Arc::new(Recorder::default());
    let good = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        fixture.works().await;
        begun.elapsed()
    };
    let sandbox = sandbox();
    let (spun, waited) = tokio::join!(fixture.runtime.provision(&spinning, &sandbox, calls()), good);
    assert_eq!(limit(spun), Limit::Time);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
}

#[tokio::test]
async fn a_compile_bomb() {
    // Small in bytes; the values that are live across its blocks multiply.
    let (locals, loops) = (1_500, 1_500);
    let mut body = String::new();
    for _ in 0..loops {
        body.push_str("(loop ");
    }
    for local in 0..locals {
        body.push_str(&format!(
            "(local.set {local} (i64.add (local.get {local}) (local.get {})))",
            (local * 7) % locals
        ));
    }
    for level in 0..loops {
        body.push_str(&format!("(br_if 0 (i64.eqz (local.get {}))))", level % locals));
    }
    let more = format!("(func (export \"x\") (local {}) {body})", "i64 ".repeat(locals));
    let core = Guest { more: &more, ..Guest::default() }.core();
    let component = encode(&core, "extension");
    assert!(component.len() < 100 << 10, "{}", component.len());
    let fixture = Fixture::new();
    let begun = Instant::now();
    assert_eq!(limit(fixture.provision(&component).await), Limit::Compile);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    fixture.works().await;
}
