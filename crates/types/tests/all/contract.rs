//! What is read from bytes.

use propeller_types::{Contract, Origin, Wasi, outline};
use serde_json::json;

use crate::components::{ADD, bytes, contract, exporting_values, values};

#[test]
fn a_component_is_read() {
    let contract = contract(ADD);
    let signatures: Vec<_> = contract
        .functions()
        .map(|function| format!("{} → {function}", function.reference()))
        .collect();
    assert_eq!(
        signatures,
        [
            "propeller:examples/math@1.0.0#add → add: func(a: s32, b: s32) -> s32",
            "total → total: func(a: s32, b: s32) -> s32"
        ]
    );
    let number = json!({"title": "s32", "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX});
    let add = json!({"name": "add", "interface": "propeller:examples/math@1.0.0", "async": false, "result": "s32",
        "params": [{"name": "a", "type": "s32", "schema": number}, {"name": "b", "type": "s32", "schema": number}]});
    let mut total = add.clone();
    total["name"] = json!("total");
    total.as_object_mut().unwrap().remove("interface");
    assert_eq!(
        serde_json::to_value(&contract).unwrap(),
        json!({"imports": [], "exports": [
            {"name": "propeller:examples/math@1.0.0", "kind": "interface", "origin": "author", "functions": [add]},
            {"name": "total", "kind": "function", "origin": "author", "functions": [total]},
        ]})
    );
}

#[test]
fn types_have_their_names() {
    let contract = values();
    let export = &contract.exports[0];
    assert_eq!(
        export.types,
        [
            "record point { x: f64, y: f64, note: option<string> }",
            "variant shape { circle(f64), path(list<point>), maybe(option<u8>), none }",
            "enum color { red, dark-green, none }",
            "flags mode { read, write, none }",
            "record wrapped { some: u8 }",
        ]
    );
    let signature = |name: &str| {
        export
            .functions
            .iter()
            .find(|function| function.name == name)
            .unwrap()
            .to_string()
    };
    assert_eq!(signature("deep"), "deep: func(id: u32, shapes: list<shape>)");
    assert_eq!(signature("result"), "result: func(x: result<u8, string>)");
    assert_eq!(signature("result-ok"), "result-ok: func(x: result<u8>)");
    assert_eq!(signature("result-err"), "result-err: func(x: result<_, option<u8>>)");
    assert_eq!(signature("option-result"), "option-result: func(x: option<result>)");
    assert_eq!(signature("pair"), "pair: func(x: tuple<s32, string>)");
}

/// A world's own functions use types that the world imports; an interface may use another's.
#[test]
fn types_from_elsewhere_have_their_names() {
    let contract = contract(
        r#"(component
            (type $p' (record (field "x" f64)))
            (import "point" (type $p (eq $p')))
            (import "far" (func $far (param "p" $p) (result (list $p))))
            (type $t (instance (alias outer 1 $p (type $q')) (export "spot" (type $q (eq $q'))) (export "near" (func (param "p" $q)))))
            (import "i" (instance $i (type $t)))
            (export "a:b/c" (instance $i))
            (export "away" (func $far)))"#,
    );
    assert_eq!(contract.types, ["record point { x: f64 }"]);
    assert_eq!(contract.exports[0].functions[0].to_string(), "near: func(p: spot)");
    assert_eq!(
        contract.exports[1].functions[0].to_string(),
        "away: func(p: point) -> list<point>"
    );
    assert_eq!(contract.import_names().collect::<Vec<_>>(), ["far", "i"]);
    assert_eq!(contract.export_names().collect::<Vec<_>>(), ["a:b/c", "away"]);
}

/// Handles and the like are shown, and refused when called.
#[test]
fn what_cant_be_called_is_listed() {
    let contract = contract(
        r#"(component
            (type $t (instance
                (export "blob" (type $blob (sub resource)))
                (export "[constructor]blob" (func (param "size" u32) (result (own $blob))))
                (export "[method]blob.read" (func (param "self" (borrow $blob)) (result (list u8))))
                (export "keep" (func (param "name" string) (param "blobs" (list (own $blob)))))
                (export "feed" (func async (param "s" (stream u8)) (param "f" (future))))
                (export "wait" (func async (param "n" u32)))
                (export "log" (func (param "e" error-context)))
                (export "count" (func (result (map string u8))))
                (export "pack" (func (param "key" (option (list u8 4)))))))
            (import "i" (instance $i (type $t)))
            (export "a:b/c" (instance $i)))"#,
    );
    let export = &contract.exports[0];
    assert_eq!(export.types, ["resource blob"]);
    let shown: Vec<_> = export
        .functions
        .iter()
        .map(|function| (function.to_string(), refusal(function)))
        .collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|(text, refusal)| (text.as_str(), refusal.as_str()))
        .collect();
    let only = "can't be passed in a call; only values can";
    assert_eq!(
        shown,
        [
            (
                "[constructor]blob: func(size: u32) -> blob",
                &*format!("the result (blob): a resource handle {only}")
            ),
            (
                "[method]blob.read: func(self: borrow<blob>) -> list<u8>",
                &*format!("parameter `self` (borrow<blob>): a resource handle {only}")
            ),
            (
                "keep: func(name: string, blobs: list<blob>)",
                &*format!("parameter `blobs` (list<blob>): a resource handle {only}")
            ),
            (
                "feed: async func(s: stream<u8>, f: future)",
                &*format!("parameter `s` (stream<u8>): a stream {only}")
            ),
            (
                "wait: async func(n: u32)",
                "too few arguments: expected 1, found 0; add `n` (u32)"
            ),
            (
                "log: func(e: error-context)",
                &*format!("parameter `e` (error-context): an error context {only}")
            ),
            (
                "count: func() -> map<string, u8>",
                &*format!("the result (map<string, u8>): a map {only}")
            ),
            (
                "pack: func(key: option<list<u8, 4>>)",
                &*format!("parameter `key` (option<list<u8, 4>>): a list of fixed length {only}")
            ),
        ]
    );
    assert_eq!(export.functions[2].example_args(), json!({"name": "", "blobs": null}));
}

fn refusal(function: &propeller_types::Function) -> String {
    function.check_args(&json!([])).unwrap_err().to_string()
}

#[test]
fn other_peoples_exports_are_set_apart() {
    #[track_caller]
    fn check(name: &str, ty: &str, origin: Origin) {
        let kind = if ty.starts_with("(func") { "func" } else { "instance" };
        let contract = contract(&format!(
            r#"(component (import "x" {ty}) (export "{name}" ({kind} 0)))"#
        ));
        assert_eq!(contract.exports[0].origin, origin, "{name} {ty}");
        assert_eq!(contract.functions().count() > 0, origin == Origin::Author);
    }
    const FAILS: &str = "(result (result (error string)))";
    let python = format!(r#"(func (param "app-name" string) (param "stub-wasi" bool) {FAILS})"#);
    let quickjs =
        format!(r#"(func (param "shim" string) (param "script" string) (param "entry-path" (option string)) {FAILS})"#);
    let with = |name: &str, function: &str| format!(r#"(instance (export "{name}" {function}))"#);
    check(
        "wasi:cli/run@0.2.0",
        &with("run", "(func (result (result)))"),
        Origin::Wasi,
    );
    check("exports", &with("init", &python), Origin::Toolchain);
    check("init", &quickjs, Origin::Toolchain);
    // An author's own.
    check("init", "(func)", Origin::Author);
    check(
        "init",
        r#"(func (param "shim" string) (param "script" string))"#,
        Origin::Author,
    );
    check(
        "init",
        &format!(r#"(func (param "name" string) {FAILS})"#),
        Origin::Author,
    );
    check("exports", &with("init", "(func)"), Origin::Author);
    check("exports", &with("start", &python), Origin::Author);
    check("start", &quickjs, Origin::Author);
    check("a:b/c", &with("init", &python), Origin::Author);
    let two = format!(r#"(instance (export "init" {python}) (export "go" (func)))"#);
    check("exports", &two, Origin::Author);
}

/// Hosts of the release don't find what a draft exports.
#[test]
fn a_draft_is_not_the_release() {
    let command = |exports: &[&str]| {
        let export = |name: &&str| format!(r#"(export "{name}" (instance $i))"#);
        let exports: String = exports.iter().map(export).collect();
        contract(&format!(
            r#"(component (import "i" (instance $i (export "run" (func)))) {exports})"#
        ))
        .command()
    };
    let draft = "wasi:cli/run@0.3.0-rc-2026-01-06";
    assert_eq!(command(&[draft, "wasi:cli/run@0.2.4"]), Some(Wasi::V02));
    assert_eq!(command(&[draft]), None);
}

#[test]
fn commands_and_services_are_told_apart() {
    #[track_caller]
    fn check(exports: &[&str], command: Option<Wasi>, service: Option<Wasi>) {
        let export = |name: &&str| format!(r#"(export "{name}" (instance $i))"#);
        let exports: String = exports.iter().map(export).collect();
        let contract = contract(&format!(
            r#"(component (import "i" (instance $i (export "run" (func)))) (import "f" (func $f)) {exports} (export "run" (func $f)))"#
        ));
        assert_eq!(
            (contract.command(), contract.service()),
            (command, service),
            "{exports}"
        );
        let is_03 = [command, service].contains(&Some(Wasi::V03));
        assert_eq!(contract.needs_03(), is_03, "{exports}");
    }
    check(&[], None, None);
    check(&["wasi:cli/run@0.2.12"], Some(Wasi::V02), None);
    check(&["wasi:cli/run@0.3.0"], Some(Wasi::V03), None);
    check(&["wasi:cli/run@0.3.0", "wasi:cli/run@0.2.4"], Some(Wasi::V03), None);
    check(&["wasi:http/incoming-handler@0.2.10"], None, Some(Wasi::V02));
    check(&["wasi:http/handler@0.3.0"], None, Some(Wasi::V03));
    check(
        &["wasi:http/handler@0.2.0", "wasi:http/incoming-handler@0.4.0"],
        None,
        None,
    );
    check(
        &["wasi:cli/run@0.2.0", "wasi:http/incoming-handler@0.2.0"],
        Some(Wasi::V02),
        Some(Wasi::V02),
    );
    check(&["my:cli/run@0.2.0", "wasi:cli/runner@0.2.0"], None, None);
}

#[test]
fn what_needs_concurrency_is_known() {
    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(contract(&format!("(component {text})")).needs_03(), expected, "{text}");
    }
    check("", false);
    check(r#"(import "wasi:cli/environment@0.2.0" (instance))"#, false);
    check(r#"(import "wasi:cli/environment@0.3.0" (instance))"#, true);
    check(r#"(import "my:cli/environment@0.3.0" (instance))"#, false);
    check(r#"(import "f" (func async))"#, true);
    check(r#"(import "f" (func (param "s" (stream u8))))"#, true);
    check(r#"(type (future))"#, true);
    check(r#"(component (core func (canon task.cancel)))"#, true);
    check(r#"(component (import "f" (func (param "s" (option string)))))"#, false);
}

#[test]
fn other_bytes_are_refused() {
    #[track_caller]
    fn refuse(bytes: &[u8], reason: &str, words: &str) {
        let error = Contract::read(bytes).unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.to_string().contains(words), "{error}");
    }
    refuse(b"", "NotWasm", "not WebAssembly");
    refuse(b"(component)", "NotWasm", "not WebAssembly");
    refuse(b"#!/bin/sh\n", "NotWasm", "not WebAssembly");
    refuse(&bytes("(module)"), "CoreModule", "the core module exports no function");
    refuse(b"\0asm\x01\0\0\0\x01", "CoreModule", "at byte");
    refuse(b"\0asm\x0d\0\x01", "MalformedComponent", "at byte");
    refuse(b"\0asm\xff\0\x01\0", "MalformedComponent", "version");
    refuse(&bytes(ADD)[..101], "MalformedComponent", "at byte");
    // A module of 20 bytes that has 8.
    let cut = b"\0asm\x0d\0\x01\0\x01\x14\0asm\x01\0\0\0";
    refuse(cut, "MalformedComponent", "unexpected end (at byte 18)");
    let package =
        r#"(component (type $w (component (export "a:b/w" (component (export "f" (func)))))) (export "w" (type $w)))"#;
    refuse(&bytes(package), "WitPackage", "a WIT package");
    assert_eq!(Contract::read(&bytes("(component)")).unwrap().exports, []);
}

#[test]
fn an_outline_has_the_contract_and_no_code() {
    for text in [ADD, &exporting_values(), MUCH] {
        let bytes = bytes(text);
        let outline = outline(&bytes).unwrap();
        assert_eq!(Contract::read(&outline).unwrap(), Contract::read(&bytes).unwrap());
    }
    let (much, outline) = (bytes(MUCH), outline(&bytes(MUCH)).unwrap());
    assert!(outline.len() < much.len() / 2, "{} {}", much.len(), outline.len());
}

/// Everything that an outline leaves out, and what must agree with it.
const MUCH: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (table funcref (elem $f))
        (data "kept elsewhere")
        (data (i32.const 8) "lots of it")
        (@custom "notes" "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        (func $f (export "f") (param i32) (local i64 f32)
            (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))
            (data.drop 0)))
    (component $inner (core module (func unreachable)))
    (core instance $m (instantiate $m))
    (func (export "f") (param "x" u32) (canon lift (core func $m "f"))))"#;
