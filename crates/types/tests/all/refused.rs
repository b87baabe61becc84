//! JSON that isn't a value of its type: the same words for both value types.

use propeller_types::json;
use serde_json::{Value, json};

use crate::components::params;

/// The single argument `given` is refused, and the message ends with `problem`.
#[track_caller]
fn refuse(function: &str, given: Value, message: &str) {
    let params = params(function);
    let args = json!([given]);
    let plane = json::args_to_values::<wasm_wave::value::Value>(&params.plane, &args).unwrap_err();
    let host = json::args_to_values::<wasmtime::component::Val>(&params.host, &args).unwrap_err();
    assert_eq!(plane.to_string(), message);
    assert_eq!(plane, host);
    assert_eq!(plane.reason(), "WrongArgumentType");
}

#[test]
fn numbers() {
    refuse("bool", json!(1), "args[0]: expected bool, found number 1");
    refuse("s32", json!("5"), r#"args[0]: expected s32, found string "5""#);
    refuse("s32", json!(1.5), "args[0]: expected s32, found number 1.5");
    refuse("u8", json!(256), "args[0]: expected u8 (0 to 255), found number 256");
    refuse("u8", json!(-1), "args[0]: expected u8 (0 to 255), found number -1");
    refuse("s32", json!(1e300), "args[0]: expected s32, found number 1e+300");
    refuse(
        "u64",
        json!("18446744073709551616"),
        "args[0]: expected u64 (0 to 18446744073709551615), found string \"18446744073709551616\"",
    );
    refuse("s64", json!("0x10"), r#"args[0]: expected s64, found string "0x10""#);
    refuse(
        "s64",
        json!(1e17),
        "args[0]: expected s64, found number 1e+17, which isn't exact: write it as a string",
    );
    refuse("f64", json!("abc"), r#"args[0]: expected f64, found string "abc""#);
    refuse(
        "f32",
        json!(1e300),
        "args[0]: expected f32 (-3.4028235e38 to 3.4028235e38), found number 1e+300",
    );
    refuse(
        "char",
        json!("ab"),
        r#"args[0]: expected char (a string of one character), found string "ab""#,
    );
    refuse(
        "char",
        json!(""),
        r#"args[0]: expected char (a string of one character), found string """#,
    );
    refuse("string", json!(null), "args[0]: expected string, found null");
}

#[test]
fn composites() {
    refuse("strings", json!("a"), r#"args[0]: expected a list, found string "a""#);
    refuse(
        "strings",
        json!(["a", 1]),
        "args[0][1]: expected string, found number 1",
    );
    refuse(
        "strings",
        json!({"base64": "AA=="}),
        "args[0]: expected a list, found object {base64}",
    );
    refuse(
        "bytes",
        json!({"base64": "A"}),
        r#"args[0].base64: expected base64 with padding (RFC 4648), found string "A""#,
    );
    refuse(
        "bytes",
        json!("AA=="),
        r#"args[0]: expected a list, found string "AA==""#,
    );
    refuse("pair", json!([1]), "args[0]: expected a tuple of 2, found array of 1");
    refuse("a-point", json!({"x": 1}), "args[0]: missing field `y`: expected f64");
    refuse(
        "a-point",
        json!({"x": 1, "y": 1, "z": 1}),
        "args[0]: unknown field `z`: the record has x, y, note",
    );
    refuse(
        "a-point",
        json!([1, 2]),
        "args[0]: expected a record {x, y, note}, found array of 2",
    );
    refuse(
        "a-color",
        json!("blue"),
        r#"args[0]: expected one of red, dark-green, none, found string "blue""#,
    );
    refuse(
        "a-mode",
        json!(["exec"]),
        r#"args[0][0]: expected one of read, write, none, found string "exec""#,
    );
    refuse("a-mode", json!(["read", "read"]), "args[0][1]: `read` is set twice");
    refuse(
        "a-shape",
        json!("square"),
        r#"args[0]: expected a variant {circle, path, maybe, none}, found string "square""#,
    );
    refuse(
        "a-shape",
        json!("circle"),
        r#"args[0]: case `circle` needs f64: write {"circle": …}"#,
    );
    refuse(
        "a-shape",
        json!({"none": null}),
        r#"args[0]: case `none` has no payload: write "none""#,
    );
    refuse(
        "a-shape",
        json!({"circle": 1, "none": 1}),
        "args[0]: expected a variant {circle, path, maybe, none}, found object {circle, none}",
    );
    refuse("option1", json!("a"), r#"args[0]: expected u8, found string "a""#);
    refuse(
        "option2",
        json!(7),
        r#"args[0]: expected null or {"some": …}, found number 7"#,
    );
    refuse(
        "result",
        json!(7),
        r#"args[0]: expected a result, {"ok": …} or {"err": …}, found number 7"#,
    );
    refuse(
        "result",
        json!({"ok": 300}),
        "args[0].ok: expected u8 (0 to 255), found number 300",
    );
    refuse(
        "result-unit",
        json!({"ok": 1}),
        "args[0].ok: expected null, found number 1",
    );
}

#[test]
fn messages_stay_short() {
    let long = "☃".repeat(1_000_000);
    let many: Value = (0..10_000).map(|n| (n.to_string(), json!(n))).collect();
    for (function, given) in [
        ("s32", json!(long)),
        ("char", json!(long)),
        ("a-color", json!(long)),
        ("a-shape", json!({ long.clone(): 1 })),
        ("a-mode", json!([long])),
        ("a-point", json!({"x": 1, "y": 2, long: 3})),
        ("a-shape", many),
    ] {
        let error =
            json::args_to_values::<wasm_wave::value::Value>(&params(function).plane, &json!([given])).unwrap_err();
        assert!(error.to_string().len() < 600, "{error}");
    }
}
