//! Values there and back, in JSON and in WAVE, for both value types.

use propeller_types::{json, wave};
use serde_json::{Value, json};
use wasm_wave::wasm::WasmValue;

use crate::components::params;

/// `given` is an argument of `function`; it's written as `written` and, in WAVE, as `wave`, and each of those reads as the same again.
#[track_caller]
fn check(function: &str, given: Value, written: Value, wave: &str) {
    let params = params(function);
    round_trip::<wasm_wave::value::Value>(&params.plane, &given, &written, wave);
    round_trip::<wasmtime::component::Val>(&params.host, &given, &written, wave);
}

/// The plain case: the JSON is written as it was given.
#[track_caller]
fn same(function: &str, json: Value, wave: &str) {
    check(function, json.clone(), json, wave);
}

#[track_caller]
fn round_trip<V: WasmValue>(params: &[(String, V::Type)], given: &Value, written: &Value, text: &str) {
    let read = |args: &Value| json::args_to_values::<V>(params, &json!([args])).unwrap().remove(0);
    let value = read(given);
    assert_eq!(json::from_value(&value).unwrap(), *written);
    assert_eq!(wave::to_string(&value).unwrap(), text);
    // Through text, as it crosses the network.
    let reread: Value = serde_json::from_str(&written.to_string()).unwrap();
    assert_eq!(wave::to_string(&read(&reread)).unwrap(), text);

    let call: wave::Call = format!("f({text})").parse().unwrap();
    assert_eq!(
        wave::to_string(&wave::args_to_values::<V>(params, &call).unwrap()[0]).unwrap(),
        text
    );
    // Where wasm-wave's own conversion takes the text, it means the same.
    let theirs: V = wasm_wave::from_str(&params[0].1, text).unwrap();
    assert_eq!(
        json::from_value(&read(&json::from_value(&theirs).unwrap())).unwrap(),
        *written
    );
}

#[test]
fn booleans_and_integers() {
    same("bool", json!(true), "true");
    same("s8", json!(-128), "-128");
    same("u8", json!(255), "255");
    same("s16", json!(-32768), "-32768");
    same("u16", json!(65535), "65535");
    same("s32", json!(-2147483648), "-2147483648");
    same("u32", json!(4294967295_u32), "4294967295");
    check("s32", json!(20.0), json!(20), "20");
    check("s32", json!(-0.0), json!(0), "0");
    check("u32", serde_json::from_str("1e3").unwrap(), json!(1000), "1000");
}

#[test]
fn wide_integers_are_strings_beyond_53_bits() {
    same("s64", json!(9007199254740991_i64), "9007199254740991");
    same("s64", json!(-9007199254740991_i64), "-9007199254740991");
    same("s64", json!("9007199254740992"), "9007199254740992");
    same("s64", json!("-9223372036854775808"), "-9223372036854775808");
    same("u64", json!("18446744073709551615"), "18446744073709551615");
    check(
        "u64",
        json!(u64::MAX),
        json!("18446744073709551615"),
        "18446744073709551615",
    );
    check(
        "s64",
        json!(i64::MIN),
        json!("-9223372036854775808"),
        "-9223372036854775808",
    );
    check("s64", json!("42"), json!(42), "42");
    check(
        "u64",
        json!(9007199254740991_f64),
        json!(9007199254740991_u64),
        "9007199254740991",
    );
}

#[test]
fn floats() {
    same("f64", json!(0.1), "0.1");
    same("f32", json!(0.1), "0.1");
    same("f64", json!(-0.0), "-0");
    same("f64", json!(1e300), &format!("{}", 1e300));
    same("f64", json!(5e-324), &format!("{}", 5e-324));
    same("f64", json!("NaN"), "nan");
    same("f32", json!("NaN"), "nan");
    same("f64", json!("Infinity"), "inf");
    same("f32", json!("-Infinity"), "-inf");
    check("f32", json!(7), json!(7.0), "7");
    check(
        "f32",
        json!(f64::from(f32::MAX)),
        json!(3.4028235e38),
        &f32::MAX.to_string(),
    );
}

/// A float as JSON text reads back as the same bits, over a spread of all bit patterns.
#[test]
fn floats_keep_their_bits() {
    let (narrow, wide) = (params("f32").plane, params("f64").plane);
    let through_text = |params: &[_], value: wasm_wave::value::Value| {
        let text = json::from_value(&value).unwrap().to_string();
        let args = json!([serde_json::from_str::<Value>(&text).unwrap()]);
        json::args_to_values::<wasm_wave::value::Value>(params, &args)
            .unwrap()
            .remove(0)
    };
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        // xorshift64: any sequence that visits all exponents will do.
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        let (small, large) = (f32::from_bits(bits as u32), f64::from_bits(bits));
        let small_again = through_text(&narrow, WasmValue::make_f32(small)).unwrap_f32();
        let large_again = through_text(&wide, WasmValue::make_f64(large)).unwrap_f64();
        assert!(
            small.is_nan() && small_again.is_nan() || small.to_bits() == small_again.to_bits(),
            "{small:e}"
        );
        assert!(
            large.is_nan() && large_again.is_nan() || large.to_bits() == large_again.to_bits(),
            "{large:e}"
        );
    }
}

#[test]
fn text() {
    same("char", json!("☃"), "'☃'");
    same("char", json!("\""), r#"'\"'"#);
    same("char", json!("\u{0}"), r"'\u{0}'");
    same("string", json!(""), r#""""#);
    same("string", json!("a\n\"☃\"\\"), r#""a\n\"☃\"\\""#);
}

#[test]
fn lists_and_tuples() {
    same("strings", json!([]), "[]");
    same("strings", json!(["a", "b"]), r#"["a", "b"]"#);
    same("pair", json!([-1, "x"]), r#"(-1, "x")"#);
    same("bytes", json!([0, 127, 255]), "[0, 127, 255]");
    check(
        "bytes",
        json!({"base64": "AH//"}),
        json!([0, 127, 255]),
        "[0, 127, 255]",
    );
    check("bytes", json!({"base64": ""}), json!([]), "[]");
}

#[test]
fn records() {
    same(
        "a-point",
        json!({"x": 1.5, "y": -2.5, "note": "n"}),
        r#"{x: 1.5, y: -2.5, note: some("n")}"#,
    );
    check(
        "a-point",
        json!({"y": 2, "x": 1}),
        json!({"x": 1.0, "y": 2.0, "note": null}),
        "{x: 1, y: 2}",
    );
    check(
        "a-point",
        json!({"x": 1, "y": 2, "note": null}),
        json!({"x": 1.0, "y": 2.0, "note": null}),
        "{x: 1, y: 2}",
    );
}

#[test]
fn variants_enums_and_flags() {
    same("a-shape", json!({"circle": 1.5}), "circle(1.5)");
    same("a-shape", json!({"path": []}), "path([])");
    same("a-shape", json!({"maybe": null}), "maybe(none)");
    same("a-shape", json!({"maybe": 3}), "maybe(some(3))");
    same("a-shape", json!("none"), "%none");
    same("a-color", json!("dark-green"), "dark-green");
    same("a-color", json!("none"), "%none");
    same("a-mode", json!([]), "{}");
    same("a-mode", json!(["read", "none"]), "{read, none}");
    check(
        "a-mode",
        json!(["none", "read"]),
        json!(["read", "none"]),
        "{read, none}",
    );
}

#[test]
fn options_keep_their_levels() {
    same("option1", json!(null), "none");
    same("option1", json!(7), "some(7)");
    same("option2", json!(null), "none");
    same("option2", json!({"some": null}), "some(none)");
    same("option2", json!({"some": 7}), "some(some(7))");
    same("option3", json!({"some": {"some": null}}), "some(some(none))");
    same("option3", json!({"some": {"some": 7}}), "some(some(some(7)))");
    same("option-wrapped", json!({"some": 7}), "some({some: 7})");
    same("option-result", json!({"ok": null}), "some(ok)");
}

#[test]
fn results() {
    same("result", json!({"ok": 1}), "ok(1)");
    same("result", json!({"err": "e"}), r#"err("e")"#);
    same("result-ok", json!({"ok": 1}), "ok(1)");
    same("result-ok", json!({"err": null}), "err");
    same("result-err", json!({"ok": null}), "ok");
    same("result-err", json!({"err": null}), "err(none)");
    same("result-err", json!({"err": 2}), "err(some(2))");
    same("result-unit", json!({"ok": null}), "ok");
}

/// wasm-wave's writer panics at these.
#[test]
fn what_has_no_text_is_refused() {
    let map = wasmtime::component::Val::Map(vec![]);
    for value in [
        map.clone(),
        wasmtime::component::Val::Option(Some(Box::new(map.clone()))),
        wasmtime::component::Val::List(vec![map]),
    ] {
        assert!(json::from_value(&value).is_err());
        assert!(wave::to_string(&value).is_err());
    }
    let fixed = wasmtime::component::Val::FixedLengthList(vec![wasmtime::component::Val::U8(1)]);
    assert_eq!(json::from_value(&fixed).unwrap(), json!([1]));
    assert_eq!(wave::to_string(&fixed).unwrap(), "[1]");
}
