//! A guest takes no more memory than it may, and gives no more than a report carries.

use serde_json::json;

use super::*;

/// Two memories and a table that each stay below the bound of 16 MiB, and exceed it together.
#[tokio::test]
async fn memories_and_tables_are_bounded_together() {
    let component = |table: u32| {
        format!(
            r#"(component
                (core module $one (memory 100))
                (core module $two (memory 100) (table {table} funcref) (func (export "f")))
                (core instance (instantiate $one))
                (core instance $two (instantiate $two))
                (func (export "f") (canon lift (core func $two "f"))))"#
        )
    };
    assert!(call(&component(1), "f", json!([])).await.result.is_ok());
    let outcome = call(&component(1 << 20), "f", json!([])).await;
    assert_eq!(outcome.result, Err(InvokeError::OutOfMemory { limit: 16 << 20 }));
    assert!(outcome.figures.peak_memory <= 16 << 20, "{:?}", outcome.figures);
}

#[tokio::test]
async fn a_guest_that_fails_after_it_was_refused_memory_is_out_of_memory() {
    let grow = |then: &str| {
        component(
            "(result s32)",
            &format!(r#"(func (export "f") (result i32) (memory.grow (i32.const 1000)) {then})"#),
        )
    };
    assert_eq!(
        failure(&grow("unreachable"), "f", json!([])).await.reason(),
        "OutOfMemory"
    );
    let made_do = call(&grow(""), "f", json!([])).await.result.unwrap();
    assert_eq!(
        made_do.json(),
        Some(&json!(-1)),
        "being refused is not a failure by itself"
    );
}

#[tokio::test]
async fn a_result_is_bounded_by_its_text() {
    let bytes = component(
        r#"(param "length" u32) (result (list u8))"#,
        r#"(func (export "f") (param i32) (result i32)
            (drop (memory.grow (i32.const 100)))
            (i32.store (i32.const 0) (i32.const 8))
            (i32.store (i32.const 4) (local.get 0))
            (i32.const 0))"#,
    );
    let check = async |length: u32, fits: bool| {
        let result = call(&bytes, "f", json!([length])).await.result;
        let expected = InvokeError::ResultTooLarge {
            limit: Limits::DEFAULT_RESULT_BYTES,
        };
        assert_eq!(result.err(), (!fits).then_some(expected), "{length} zeros");
    };
    // As JSON, n zeros are 2n + 1 bytes.
    check(0, true).await;
    check(32_767, true).await;
    check(32_768, false).await;
    // Found out while the list is taken from the guest.
    check(5_000_000, false).await;
}

/// Handles of the component model's own take memory of the host too. Wasmtime says that there are too many in words only.
#[tokio::test]
async fn a_guest_has_no_more_resources_than_handles() {
    let makes = r#"(component
        (type $thing (resource (rep i32)))
        (core func $new (canon resource.new $thing))
        (core module $guest
            (import "host" "new" (func $new (param i32) (result i32)))
            (func (export "f") (loop $again (drop (call $new (i32.const 0))) (br $again))))
        (core instance $guest (instantiate $guest (with "host" (instance (export "new" (func $new))))))
        (func (export "f") (canon lift (core func $guest "f"))))"#;
    assert_eq!(failure(makes, "f", json!([])).await.reason(), "OutOfMemory");
}
