//! What can be run, what can't and why, and how often it is compiled.

use futures::future::join_all;
use serde_json::json;

use super::*;

#[tokio::test]
async fn what_cannot_run_is_refused_with_a_reason() {
    let check = async |bytes: &[u8], reason: &str, words: &str| {
        let error = engine().prepare(&digest(bytes), bytes.to_vec()).await.err().unwrap();
        let text = format!(
            "{error}: {}",
            std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default()
        );
        assert_eq!(error.reason(), reason, "{text}");
        assert!(text.contains(words), "{text}");
    };
    check(b"#!/bin/sh", "NotWasm", "not WebAssembly").await;
    check(&wat::parse_str("(module)").unwrap(), "CoreModule", "core module").await;
    let missing = r#"(component (import "acme:lab/stone@1.0.0" (instance (export "to-gold" (func)))))"#;
    check(
        &wat::parse_str(missing).unwrap(),
        "UnknownImport",
        "`acme:lab/stone@1.0.0`",
    )
    .await;
    // A version of WASI that this host doesn't know yet, and something new in it.
    for newer in [
        "wasi:http/types@0.2.99",
        "wasi:http/types@0.3.99",
        "wasi:keyvalue/store@0.9.0",
    ] {
        let text = format!(r#"(component (import "{newer}" (instance (export "to-gold" (func)))))"#);
        check(&wat::parse_str(text).unwrap(), "UnknownImport", &format!("`{newer}`")).await;
    }
    let missing = r#"(component (import "to-gold" (func)))"#;
    check(&wat::parse_str(missing).unwrap(), "UnknownImport", "`to-gold`").await;
    let other = r#"(component (import "propeller:task/context@0.1.0" (instance (export "uid" (func (result u32))))))"#;
    check(&wat::parse_str(other).unwrap(), "UnknownImport", "uid").await;
    // Valid as far as its types go; the function's body isn't, which only a compiler sees.
    let mut broken = wat::parse_str(component("", r#"(func (export "f") (i32.const 7) (drop))"#)).unwrap();
    let drop = broken.iter().rposition(|byte| *byte == 0x1a).unwrap();
    broken[drop] = 0x01;
    check(&broken, "CompileFailed", "cannot compile").await;
}

#[tokio::test]
async fn many_may_ask_for_a_component_and_call_it_at_once() {
    let (engine, add) = (engine(), add());
    let calls = (0..50).map(async |n| {
        let prepared = load(&engine, &add).await.unwrap();
        prepared
            .invoke(invocation("f", json!([n, 1])))
            .await
            .result
            .unwrap()
            .json()
            .cloned()
    });
    let bytes = wat::parse_str(&add).unwrap();
    assert!(engine.warm(&digest(&bytes)).await.is_none(), "nobody asked yet");
    let sums: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
    assert_eq!(sums, (1..=50).map(|n| json!(n)).collect::<Vec<_>>());
    assert!(engine.warm(&digest(&bytes)).await.is_some());
}

/// The engine ends with its last handle, from within a runtime too, and leaves what it prepared alone until then.
#[tokio::test]
async fn what_was_prepared_outlives_the_handle() {
    let prepared = {
        let engine = engine();
        load(&engine, &add()).await.unwrap()
    };
    assert!(prepared.invoke(invocation("f", json!([1, 2]))).await.result.is_ok());
}
