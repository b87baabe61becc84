//! Values go in and come out by their WIT types.

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_call_returns_a_typed_value() {
    let outcome = call(&add(), "f", json!([20, 22])).await;
    let returned = outcome.result.unwrap();
    assert_eq!(returned.json(), Some(&json!(42)));
    assert_eq!(returned.wave().as_deref(), Some("42"));
    assert_eq!(outcome.figures.peak_memory, 64 << 10, "one page of memory, no tables");
    assert!(!outcome.figures.wall.is_zero());
}

#[tokio::test]
async fn a_core_module_is_called_like_a_component() {
    let module = r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;
    let returned = call(module, "add", json!([20, 22])).await.result.unwrap();
    assert_eq!(returned.json(), Some(&json!(42)));
}

#[tokio::test]
async fn a_function_without_result_returns_nothing() {
    let returned = call(&component("", r#"(func (export "f"))"#), "f", json!([]))
        .await
        .result
        .unwrap();
    assert_eq!((returned.json(), returned.wave()), (None, None));
}

#[tokio::test]
async fn what_is_wrong_with_a_call_has_its_reason() {
    let prepared = load(&engine(), &add()).await.unwrap();
    let check = async |function: &str, args: Value, reason: &str, words: &str| {
        let outcome = prepared.invoke(invocation(function, args)).await;
        let error = outcome.result.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(outcome.figures.peak_memory, 0, "nothing was instantiated");
    };
    check("g", json!([20, 22]), "UnknownExport", "f").await;
    check("f", json!([20]), "TooFewArguments", "b").await;
    check("f", json!([20, "many"]), "WrongArgumentType", "args[1]").await;
    check("f", json!({"a": 1, "b": 1_u64 << 40}), "WrongArgumentType", "args.b").await;
}

#[tokio::test]
async fn a_name_that_two_interfaces_export_must_be_qualified() {
    let interface = |name: &str, value: u32| {
        format!(
            r#"(core module $m{value} (func (export "f") (result i32) (i32.const {value})))
               (core instance $m{value} (instantiate $m{value}))
               (func $f{value} (result u32) (canon lift (core func $m{value} "f")))
               (instance $i{value} (export "f" (func $f{value})))
               (export "{name}" (instance $i{value}))"#
        )
    };
    let both = format!(
        "(component {} {})",
        interface("a:b/one@1.0.0", 1),
        interface("a:b/two@1.0.0", 2)
    );
    let error = failure(&both, "f", json!([])).await;
    assert_eq!(error.reason(), "AmbiguousExport");
    assert!(error.to_string().contains("a:b/two@1.0.0#f"), "{error}");
    let returned = call(&both, "a:b/two@1.0.0#f", json!([])).await.result.unwrap();
    assert_eq!(returned.json(), Some(&json!(2)));
}

/// `result<u8, u8>` is returned in memory: the case, then the payload.
fn result(case: u8) -> String {
    component(
        "(result (result u8 (error u8)))",
        &format!(r#"(data (i32.const 0) "\{case:02x}\07") (func (export "f") (result i32) (i32.const 0))"#),
    )
}

#[tokio::test]
async fn ok_is_the_value_and_err_a_failure_with_its_value() {
    let returned = call(&result(0), "f", json!([])).await.result.unwrap();
    assert_eq!(returned.json(), Some(&json!(7)));
    assert_eq!(
        failure(&result(1), "f", json!([])).await,
        InvokeError::ErrResult { value: Some(json!(7)) }
    );
    let without_payload = component("(result (result))", r#"(func (export "f") (result i32) (i32.const 1))"#);
    assert_eq!(
        failure(&without_payload, "f", json!([])).await,
        InvokeError::ErrResult { value: None }
    );
}

#[tokio::test]
async fn what_the_guest_returns_is_not_trusted() {
    let check = async |ty: &str, body: &str, words: &str| {
        let error = failure(&component(ty, body), "f", json!([])).await;
        assert_eq!(error.reason(), "Trap", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let first_bytes_at_0 = r#"(func (export "f") (result i32) (i32.const 0))"#;
    check(
        "(result string)",
        &format!(r#"(data (i32.const 0) "\ff\ff\ff\ff\01") {first_bytes_at_0}"#),
        "bounds",
    )
    .await;
    check(
        "(result string)",
        &format!(r#"(data (i32.const 0) "\08\00\00\00\01\00\00\00\ff") {first_bytes_at_0}"#),
        "utf-8",
    )
    .await;
    check(
        "(result u8)",
        r#"(func (export "f") (result i32) (unreachable))"#,
        "unreachable",
    )
    .await;
    check(
        "(result char)",
        r#"(func (export "f") (result i32) (i32.const 0x110000))"#,
        "char",
    )
    .await;
    check(
        "(result (result))",
        r#"(func (export "f") (result i32) (i32.const 7))"#,
        "discriminant",
    )
    .await;
}
