//! Arguments of a whole call, by position and by name.

use propeller_types::json;
use serde_json::{Value, json};

use crate::components::{params, values};

/// The outcome of a call of `function` with `args`, the same for both value types.
fn call(function: &str, args: &Value) -> Result<Vec<Value>, (&'static str, String)> {
    let params = params(function);
    let plane = json::args_to_values::<wasm_wave::value::Value>(&params.plane, args);
    let host = json::args_to_values::<wasmtime::component::Val>(&params.host, args);
    let plane = plane.map(|values| {
        values
            .iter()
            .map(|value| json::from_value(value).unwrap())
            .collect::<Vec<_>>()
    });
    let host = host.map(|values| {
        values
            .iter()
            .map(|value| json::from_value(value).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(plane, host);
    plane.map_err(|error| (error.reason(), error.to_string()))
}

#[track_caller]
fn accept(function: &str, args: Value, values: Value) {
    assert_eq!(json!(call(function, &args).unwrap()), values);
}

#[track_caller]
fn refuse(function: &str, args: Value, reason: &str, message: &str) {
    let (found_reason, found_message) = call(function, &args).unwrap_err();
    assert_eq!((found_reason, found_message.as_str()), (reason, message));
}

#[test]
fn accepted() {
    accept("nothing", json!(null), json!([]));
    accept("nothing", json!([]), json!([]));
    accept("nothing", json!({}), json!([]));
    accept("optional", json!([1, 2, {"some": "x"}]), json!([1, 2, {"some": "x"}]));
    accept("optional", json!([1]), json!([1, null, null]));
    accept("optional", json!({"b": 2, "a": 1}), json!([1, 2, null]));
}

#[test]
fn refused() {
    let shapes = json!([{"path": [{"x": 0, "y": 0}, {"x": "abc", "y": 0}]}]);
    let wrong = |path: &str| format!("{path}: expected f64, found string \"abc\"");
    refuse(
        "deep",
        json!([1, shapes]),
        "WrongArgumentType",
        &wrong("args[1][0].path[1].x"),
    );
    refuse(
        "deep",
        json!({"id": 1, "shapes": shapes}),
        "WrongArgumentType",
        &wrong("args.shapes[0].path[1].x"),
    );
    refuse(
        "deep",
        json!([]),
        "TooFewArguments",
        "too few arguments: expected 2, found 0; add `id` (u32), `shapes` (a list)",
    );
    refuse(
        "deep",
        json!(null),
        "TooFewArguments",
        "too few arguments: expected 2, found 0; add `id` (u32), `shapes` (a list)",
    );
    refuse(
        "deep",
        json!([1, [], 3]),
        "TooManyArguments",
        "too many arguments: expected 2, found 3",
    );
    refuse(
        "deep",
        json!({"id": 1}),
        "MissingArgument",
        "missing argument `shapes`: expected a list",
    );
    refuse(
        "deep",
        json!({"idd": 1}),
        "UnknownArgument",
        "unknown argument `idd`: the parameters are id, shapes",
    );
    refuse(
        "nothing",
        json!({"a": 1}),
        "UnknownArgument",
        "unknown argument `a`: the function takes no arguments",
    );
    refuse(
        "deep",
        json!("20, 22"),
        "WrongArgumentType",
        "args: expected an array by position or an object by name, found string \"20, 22\"",
    );
}

/// What the control plane accepts is what the host can make values of.
#[test]
fn examples_fit() {
    for function in values().functions() {
        let args = function.example_args();
        function.check_args(&args).unwrap();
        call(&function.name, &args).unwrap();
    }
    let contract = values();
    let example = |name: &str| {
        contract
            .functions()
            .find(|function| function.name == name)
            .unwrap()
            .example_args()
    };
    assert_eq!(example("deep"), json!({"id": 0, "shapes": []}));
    assert_eq!(example("a-shape"), json!({"x": {"circle": 0.0}}));
    assert_eq!(example("a-point"), json!({"x": {"x": 0.0, "y": 0.0, "note": null}}));
}

/// A short text can't become values without end.
#[test]
fn omitted_fields_are_bounded() {
    let fields: String = (0..5_000).map(|n| format!(r#"(field "f{n}" (option u8))"#)).collect();
    let text = format!(
        r#"(component (type $t (instance (type $r' (record {fields})) (export "r" (type $r (eq $r'))) (export "f" (func (param "x" (list $r))))))
            (import "i" (instance $i (type $t))) (export "e" (instance $i)))"#
    );
    let contract = crate::components::contract(&text);
    let function = contract.find(&crate::components::name("f")).unwrap();
    function.check_args(&json!([[{}, {}]])).unwrap();
    let error = function.check_args(&json!([vec![json!({}); 1_000]])).unwrap_err();
    assert_eq!(error.reason(), "TooManyOmitted");
}
