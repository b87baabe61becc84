//! A guest ends when it must, wherever it is, and disturbs nobody until then.

use std::{sync::Arc, time::Instant};

use futures::future::join_all;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test]
async fn a_spinning_guest_ends_at_its_deadline() {
    let deadline = Duration::from_millis(100);
    let mut invocation = invocation("f", json!([]));
    invocation.sandbox.limits.deadline = deadline;
    let prepared = load(&engine(), &spin()).await.unwrap();
    let outcome = timeout(deadline + PROMPTLY, prepared.invoke(invocation)).await.unwrap();
    assert_eq!(outcome.result, Err(InvokeError::DeadlineExceeded { deadline }));
    assert!(outcome.figures.wall >= deadline);
}

/// Guests that share one thread, which so never has time to spare for timers.
#[tokio::test]
async fn deadlines_are_met_while_every_thread_is_busy() {
    let config = EngineConfig {
        guest_threads: NonZeroUsize::MIN,
        ..EngineConfig::default()
    };
    let spin = load(&Engine::new(config).unwrap(), &spin()).await.unwrap();
    let calls = (0..2).map(async |_| {
        let mut invocation = invocation("f", json!([]));
        invocation.sandbox.limits.deadline = Duration::from_millis(100);
        spin.invoke(invocation).await.figures.wall
    });
    for wall in join_all(calls).await {
        assert!(wall < PROMPTLY / 2, "{wall:?}");
    }
}

#[tokio::test]
async fn a_spinning_guest_ends_when_it_is_cancelled() {
    let check = async |wat: &str| {
        let prepared = load(&engine(), wat).await.unwrap();
        let invocation = invocation("f", json!([]));
        let cancel = invocation.sandbox.cancel.clone();
        let call = tokio::spawn(async move { prepared.invoke(invocation).await });
        sleep(Duration::from_millis(50)).await;
        assert!(!call.is_finished(), "it spins");
        cancel.cancel();
        let outcome = timeout(PROMPTLY, call).await.unwrap().unwrap();
        assert_eq!(outcome.result, Err(InvokeError::Cancelled));
    };
    check(&spin()).await;
    let before_any_call = component(
        "",
        r#"(func $start (loop $again (br $again))) (start $start) (func (export "f"))"#,
    );
    check(&before_any_call).await;
}

/// More spinning guests than threads: others still get their turn, and this runtime, the control side, its time.
#[tokio::test]
async fn spinning_guests_starve_nobody() {
    let engine = engine();
    let (spin, add) = (
        load(&engine, &spin()).await.unwrap(),
        load(&engine, &add()).await.unwrap(),
    );
    let spinning = invocation("f", json!([]));
    let calls = (0..6).map(|_| {
        let (spin, spinning) = (spin.clone(), spinning.clone());
        tokio::spawn(async move { spin.invoke(spinning).await })
    });
    let calls: Vec<_> = calls.collect();

    let added = timeout(PROMPTLY, add.invoke(invocation("f", json!([1, 2]))))
        .await
        .unwrap();
    assert_eq!(added.result.unwrap().json(), Some(&json!(3)));
    let before = Instant::now();
    sleep(Duration::from_millis(10)).await;
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());

    spinning.sandbox.cancel.cancel();
    let ended = timeout(PROMPTLY, join_all(calls)).await.unwrap();
    assert!(
        ended
            .into_iter()
            .all(|call| call.unwrap().result == Err(InvokeError::Cancelled))
    );
}

/// The run holds the engine, so the engine ends only once the run has.
#[tokio::test]
async fn a_call_that_nobody_waits_for_ends() {
    let (alive, spin) = {
        let engine = engine();
        (Arc::downgrade(&engine.0), load(&engine, &spin()).await.unwrap())
    };
    timeout(Duration::from_millis(50), spin.invoke(invocation("f", json!([]))))
        .await
        .unwrap_err();
    drop(spin);
    let ended = async {
        while alive.strong_count() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PROMPTLY, ended).await.unwrap();
}

#[tokio::test]
async fn a_trap_shows_the_functions_that_led_to_it() {
    let body = r#"(func $outer (export "f") (call $inner)) (func $inner (unreachable))"#;
    let InvokeError::Trap { message, backtrace } = failure(&component("", body), "f", json!([])).await else {
        panic!("not a trap")
    };
    assert!(message.contains("unreachable"), "{message}");
    assert_eq!(backtrace.len(), 2, "{backtrace:?}");
    assert!(
        backtrace[0].ends_with("guest!inner") && backtrace[1].ends_with("guest!outer"),
        "{backtrace:?}"
    );
}

#[tokio::test]
async fn a_backtrace_is_bounded() {
    let body = r#"(func $down (export "f") (call $down))"#;
    let InvokeError::Trap { message, backtrace } = failure(&component("", body), "f", json!([])).await else {
        panic!("not a trap")
    };
    assert!(message.contains("call stack exhausted"), "{message}");
    assert_eq!(backtrace.len(), 32);

    let long = "x".repeat(10_000);
    let body = format!(r#"(func ${long} (export "f") (unreachable))"#);
    let InvokeError::Trap { backtrace, .. } = failure(&component("", &body), "f", json!([])).await else {
        panic!("not a trap")
    };
    assert!(backtrace.concat().len() <= 4 << 10);
}

#[tokio::test]
async fn a_guest_that_exits_returned_nothing() {
    let exit = r#"(component
        (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
        (core func $exit (canon lower (func $exit "exit")))
        (core module $guest
            (import "host" "exit" (func $exit (param i32)))
            (func (export "f") (call $exit (i32.const 1))))
        (core instance $guest (instantiate $guest (with "host" (instance (export "exit" (func $exit))))))
        (func (export "f") (canon lift (core func $guest "f"))))"#;
    assert_eq!(failure(exit, "f", json!([])).await, InvokeError::Exited { code: 1 });
}
