//! Results as WAVE text, from the JSON that a report carries.

use serde_json::{Value, json};

use crate::components::contract;

#[test]
fn a_result_is_shown_as_a_run_here_would_show_it() {
    let check = |ty: &str, result: Value, expected: Option<&str>| {
        let text = format!(
            r#"(component
                 (core module $m (memory (export "m") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                   (func (export "f") (result i32) (i32.const 0)))
                 (core instance $i (instantiate $m))
                 (func (export "f") {ty} (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "realloc")))))"#
        );
        let contract = contract(&text);
        let wave = contract.functions().next().unwrap().result_as_wave(&result);
        assert_eq!(wave.as_deref(), expected, "{ty}");
    };
    check("(result u32)", json!(42), Some("42"));
    check("(result u32)", json!("no number"), None);
    check("(result string)", json!("a\"b"), Some(r#""a\"b""#));
    check("(result (result string (error u8)))", json!("fine"), Some(r#""fine""#));
    check("(result (result (error u8)))", Value::Null, None);
    check("(result (option string))", Value::Null, Some("none"));
    check(
        "(result (tuple string u64))",
        json!(["a", "9007199254740993"]),
        Some(r#"("a", 9007199254740993)"#),
    );
}
