//! WAVE calls.

use propeller_types::{ArgsError, wave};
use serde_json::{Value, json};

use crate::components::params;

/// The outcome of the call `text`, whose arguments are those of the test function `function`.
fn args(function: &str, text: &str) -> Result<Value, ArgsError> {
    let params = params(function);
    let call: wave::Call = text.parse()?;
    let plane = call.args(&params.plane);
    assert_eq!(plane, call.args(&params.host));
    wave::args_to_values::<wasmtime::component::Val>(&params.host, &call)?;
    plane
}

#[track_caller]
fn accept(function: &str, text: &str, json: Value) {
    assert_eq!(args(function, text).unwrap(), json);
}

#[track_caller]
fn refuse(function: &str, text: &str, reason: &str, message: &str) {
    let error = args(function, text).unwrap_err();
    assert_eq!((error.reason(), error.to_string().as_str()), (reason, message));
}

#[test]
fn functions_are_named() {
    for (text, name) in [
        ("add(20, 22)", "add"),
        ("  add (20,\n 22) ", "add"),
        (
            "propeller:examples/math@1.0.0#add(20, 22)",
            "propeller:examples/math@1.0.0#add",
        ),
        ("now()", "now"),
    ] {
        let call: wave::Call = text.parse().unwrap();
        assert_eq!(call.function().to_string(), name);
    }
}

#[test]
fn accepted() {
    accept("nothing", "f()", json!([]));
    accept("nothing", "f( // nothing\n )", json!([]));
    accept(
        "deep",
        "f(1, [circle(1), %none,])",
        json!([1, [{"circle": 1.0}, "none"]]),
    );
    accept("optional", "f(1)", json!([1]));
    accept("optional", "f(1, 2, some(\"x\"))", json!([1, 2, {"some": "x"}]));
    accept("option1", "f(7)", json!([7]));
    accept("result", "f(7)", json!([{"ok": 7}]));
    accept("option2", "f(some(7))", json!([{"some": 7}]));
    accept("a-mode", "f({%none, read})", json!([["none", "read"]]));
    accept("f64", "f(1e400)", json!(["Infinity"]));
    accept("s64", "f(-9223372036854775808)", json!([i64::MIN]));
}

#[test]
fn refused() {
    let wrong = "WrongArgumentType";
    refuse(
        "deep",
        "add(1, [\"ü\", 2])",
        wrong,
        "args[1][0]: expected a variant {circle, path, maybe, none}, found `\"ü\"` at column 9 (parameter `shapes`)",
    );
    refuse(
        "deep",
        "ns:p/i#add(x, [])",
        wrong,
        "args[0]: expected u32, found `x` at column 12 (parameter `id`)",
    );
    refuse(
        "a-point",
        "f({x: 1, y: 2, z: 3})",
        wrong,
        "args[0]: unknown field `z`: the record has x, y, note, found `3` at column 19 (parameter `x`)",
    );
    refuse(
        "a-point",
        "f({x: 1})",
        wrong,
        "args[0]: missing field `y`: expected f64",
    );
    refuse(
        "char",
        "f(\"a\")",
        wrong,
        "args[0]: expected char, found `\"a\"` at column 3 (parameter `x`)",
    );
    refuse(
        "strings",
        "f((\"a\"))",
        wrong,
        "args[0]: expected a list, found `(\"a\")` at column 3 (parameter `x`)",
    );
    refuse(
        "a-shape",
        "f(circle)",
        wrong,
        "args[0]: case `circle` needs f64, found `circle` at column 3 (parameter `x`)",
    );
    refuse(
        "result-unit",
        "f(ok(1))",
        wrong,
        "args[0]: expected no payload, found `1` at column 6 (parameter `x`)",
    );
    refuse(
        "option2",
        "f(7)",
        wrong,
        "args[0]: expected null or {\"some\": …}, found `7` at column 3 (parameter `x`)",
    );
    refuse(
        "u8",
        "f(256)",
        wrong,
        "args[0]: expected u8 (0 to 255), found number 256",
    );
    refuse(
        "deep",
        "f(1, [], 3)",
        "TooManyArguments",
        "too many arguments: expected 2, found 3",
    );
    refuse(
        "deep",
        "f(1)",
        "TooFewArguments",
        "too few arguments: expected 2, found 1; add `shapes` (a list)",
    );
    refuse(
        "deep",
        "f(1, [)",
        "InvalidCall",
        "can't read the call: unexpected token ParenClose at column 7; write it as `add(20, 22)`",
    );
    refuse(
        "deep",
        "f",
        "InvalidCall",
        "can't read the call: unexpected end of input at column 2; write it as `add(20, 22)`",
    );
    refuse(
        "deep",
        "f(1) g",
        "InvalidCall",
        "can't read the call: trailing characters after value at column 6; write it as `add(20, 22)`",
    );
    refuse("deep", "", "InvalidCall", "can't read the call");
}

/// Any text is read or refused, and nothing else.
#[test]
fn any_text_is_survived() {
    let nested = format!("f({}", "[".repeat(100_000));
    assert_eq!(nested.parse::<wave::Call>().unwrap_err().reason(), "InvalidCall");
    let seed = "deep(1, [circle(1.5), path([{x: 1, y: 2, note: \"☃\\u{41}\"}]), maybe(none), %none], '\\n', {a, b}, \"\"\"\n  x\n  \"\"\")";
    let alphabet = [
        "(", ")", "{", "}", "[", "]", "\"", "'", "\\", "%", "-", "☃", "#", " ", "\n", "1", "e",
    ];
    for (index, _) in seed.char_indices() {
        let (before, after) = seed.split_at(index);
        let rest: String = after.chars().skip(1).collect();
        for piece in alphabet.iter().chain([&""]) {
            for text in [format!("{before}{piece}{rest}"), format!("{before}{piece}")] {
                for function in ["deep", "a-shape", "string", "optional"] {
                    if let Err(error) = args(function, &text) {
                        assert!(error.to_string().len() < 600, "{error}");
                    }
                }
            }
        }
    }
}
