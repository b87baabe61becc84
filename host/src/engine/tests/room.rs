//! How much there can be of instances, and of what is in one.

use futures::future::join_all;
use serde_json::json;

use super::*;

fn small() -> Engine {
    Engine::new(EngineConfig {
        instances: NonZeroU32::new(8).unwrap(),
        ..EngineConfig::default()
    })
    .unwrap()
}

#[tokio::test]
async fn one_instance_too_many_is_refused_and_harms_no_other() {
    let engine = small();
    let (spin, add) = (
        load(&engine, &spin()).await.unwrap(),
        load(&engine, &add()).await.unwrap(),
    );
    let spinning = invocation("f", json!([]));
    let calls: Vec<_> = (0..9)
        .map(|_| {
            let (spin, spinning) = (spin.clone(), spinning.clone());
            tokio::spawn(async move { spin.invoke(spinning).await })
        })
        .collect();
    while calls.iter().all(|call| !call.is_finished()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = add.invoke(invocation("f", json!([1, 2]))).await.result.unwrap_err();
    assert_eq!(refused.reason(), "Busy", "{refused}");
    assert!(refused.to_string().contains('8'), "{refused}");

    spinning.sandbox.cancel.cancel();
    let reasons = join_all(calls).await.into_iter();
    let mut reasons: Vec<_> = reasons.map(|call| call.unwrap().result.unwrap_err().reason()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons.split_off(1), ["Cancelled"; 8]);
    assert_eq!(reasons, ["Busy"]);
    assert!(add.invoke(invocation("f", json!([1, 2]))).await.result.is_ok());
}

#[tokio::test]
async fn a_thousand_instances_live_at_once() {
    let engine = engine();
    let spin = load(&engine, &spin()).await.unwrap();
    let spinning = invocation("f", json!([]));
    let mut calls: Vec<_> = (0..1000).map(|_| spin.invoke(spinning.clone())).collect();
    let ends = async {
        let ends = join_all(calls.drain(..)).await;
        ends.into_iter()
            .map(|end| end.result.unwrap_err().reason())
            .collect::<Vec<_>>()
    };
    let cancel = spinning.sandbox.cancel.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
    };
    let (ends, ()) = tokio::join!(ends, stop);
    assert_eq!(ends, vec!["Cancelled"; 1000]);
}

#[tokio::test]
async fn a_component_that_no_slot_can_hold_is_refused_with_the_limit() {
    let check = async |core: &str, words: &str| {
        let error = load(&small(), &format!("(component {core})")).await.err().unwrap();
        assert_eq!(error.reason(), "ComponentTooLarge", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let one = "(core module $m (memory 1))";
    check(&format!("{one}{}", "(core instance (instantiate $m))".repeat(65)), "64").await;
    check(
        "(core module $m (table 2000000 funcref)) (core instance (instantiate $m))",
        "1048576",
    )
    .await;
    let none = "(core module $m)";
    check(
        &format!("{none}{}", "(core instance (instantiate $m))".repeat(513)),
        "512",
    )
    .await;
}

#[tokio::test]
async fn what_needs_concurrency_runs_beside_what_does_not() {
    let engine = engine();
    let asynchronous = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 7)))
        (core instance $m (instantiate $m))
        (func (export "f") async (result u32) (canon lift (core func $m "f"))))"#;
    let prepared = load(&engine, asynchronous).await.unwrap();
    assert!(prepared.contract().needs_03());
    let returned = prepared.invoke(invocation("f", json!([]))).await.result.unwrap();
    assert_eq!(returned.json(), Some(&json!(7)));
    let add = load(&engine, &add()).await.unwrap();
    assert!(add.invoke(invocation("f", json!([1, 2]))).await.result.is_ok());
}
