//! Core modules at the door: what they become, and what is refused.

mod described;
mod go;
mod run;

use std::borrow::Cow;

use propeller_types::{Contract, LiftError, Wasi, lift};

use crate::components::{ADD, bytes, contract};

/// A function with a name of its own and no parameter names.
fn function(name: &str, ty: &str) -> String {
    format!(r#"(func (export "{name}") {ty} unreachable)"#)
}

#[track_caller]
fn signatures(module: &str) -> Vec<String> {
    contract(&format!("(module {module})"))
        .functions()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn components_pass_untouched() {
    for passing in [
        bytes(ADD),
        b"".to_vec(),
        b"\x7fELF".to_vec(),
        b"\0asm\x0d\0\x01".to_vec(),
    ] {
        assert!(matches!(lift(&passing).unwrap(), Cow::Borrowed(same) if same == passing));
    }
}

#[test]
fn functions_of_numbers_are_lifted() {
    #[track_caller]
    fn check(name: &str, ty: &str, expected: &str) {
        assert_eq!(signatures(&function(name, ty)), [expected]);
    }
    check(
        "main",
        "(param i32 i32) (result i32)",
        "main: func(p0: s32, p1: s32) -> s32",
    );
    check(
        "add",
        "(param i64 i64) (result i64)",
        "add: func(p0: s64, p1: s64) -> s64",
    );
    check(
        "scale",
        "(param f32 f64) (result f64)",
        "scale: func(p0: f32, p1: f64) -> f64",
    );
    check("tick", "", "tick: func()");
    check(
        "addTwo",
        "(param $a i32) (param $lastOne i32)",
        "add-two: func(a: s32, last-one: s32)",
    );
    check("func", "(param $record i32)", "func: func(record: s32)");
    check("a", "(param $x i32) (param $x_ i32)", "a: func(p0: s32, p1: s32)");
    check(
        "wide",
        &"(param i32)".repeat(16),
        &format!(
            "wide: func({})",
            (0..16).map(|i| format!("p{i}: s32")).collect::<Vec<_>>().join(", ")
        ),
    );
}

#[test]
fn what_toolchains_add_stays_out() {
    let added = [
        function("_initialize", ""),
        function("__wasm_call_ctors", ""),
        function("cabi_realloc", "(param i32 i32 i32 i32) (result i32)"),
        function("malloc", "(param i32) (result i32)"),
        function("free", "(param i32)"),
        function("asyncify_start_unwind", "(param i32)"),
        function("stackAlloc", "(param i32) (result i32)"),
        function("emscripten_stack_get_end", "(result i32)"),
        r#"(memory (export "memory") 1) (global (export "__heap_base") i32 (i32.const 0)) (table (export "t") 1 funcref)"#.to_owned(),
    ];
    let added = added.concat();
    assert_eq!(
        signatures(&format!("{added} {}", function("add", "(param i32)"))),
        ["add: func(p0: s32)"]
    );
    let refused = Contract::read(&bytes(&format!("(module {added})"))).unwrap_err();
    assert_eq!(refused, LiftError::NoFunctions.into());
    // The same names, and not what a toolchain means by them.
    assert_eq!(
        signatures(
            &[
                function("malloc", "(param i64)"),
                function("stack", ""),
                function("free", "(param f32)")
            ]
            .concat()
        ),
        ["malloc: func(p0: s64)", "stack: func()", "free: func(p0: f32)"]
    );
}

#[test]
fn programs_become_commands() {
    const WASI: &str = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    #[track_caller]
    fn check(module: &str, command: Option<Wasi>, expected: &[&str]) {
        let contract = contract(&format!(r#"(module {module} (memory (export "memory") 1))"#));
        let functions: Vec<_> = contract.functions().map(ToString::to_string).collect();
        assert_eq!(
            (contract.command(), &*functions),
            (
                command,
                &expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
            )
        );
        assert!(!contract.needs_03());
    }
    let start = function("_start", "");
    check(&format!("{WASI} {start}"), Some(Wasi::V02), &[]);
    check(&start, Some(Wasi::V02), &[]);
    let add = function("add", "(param i32)");
    check(
        &format!("{WASI} {start} {add}"),
        Some(Wasi::V02),
        &["add: func(p0: s32)"],
    );
    check(&format!("{WASI} {add}"), None, &["add: func(p0: s32)"]);
    // The code of `proc_exit` is passed on. The adapter's own `exit` may be there too.
    let exit = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    for other in ["", WASI] {
        let quits = format!(r#"{other} {exit} (func (export "_start") (call $exit (i32.const 7)))"#);
        check(&quits, Some(Wasi::V02), &[]);
        let quits = contract(&format!(r#"(module {quits} (memory (export "memory") 1))"#));
        assert_eq!(
            quits
                .import_names()
                .filter(|name| name.contains("exit"))
                .collect::<Vec<_>>(),
            ["wasi:cli/exit@0.2.12"]
        );
    }
    // What can't be lifted is left out, since there is something to run.
    check(
        &format!("{start} {}", function("wide", "(result i32 i32)")),
        Some(Wasi::V02),
        &[],
    );
}

#[test]
fn what_cant_be_lifted_is_named() {
    #[track_caller]
    fn check(module: &str, variant: &str, words: &[&str]) {
        let error = lift(&bytes(&format!("(module {module})"))).unwrap_err();
        let text = error.to_string();
        assert!(
            format!("{error:?}").starts_with(variant) && text.len() < 450,
            "{error:?}"
        );
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    check("", "NoFunctions", &["export one"]);
    check(
        r#"(import "env" "foo" (func))"#,
        "UnknownImport",
        &["`env.foo`", "link what is missing"],
    );
    check(
        r#"(import "env" "abort" (func))"#,
        "UnknownImport",
        &["`env.abort`", "--use abort="],
    );
    check(
        r#"(import "env" "memory" (memory 1))"#,
        "UnknownImport",
        &["`env.memory`"],
    );
    check(r#"(import "a:b/c" "d" (func))"#, "UnknownImport", &["`a:b/c.d`", "WIT"]);
    check(
        &function("pair", "(result i32 i32)"),
        "UnsupportedExport",
        &["`pair`", "2 results"],
    );
    check(
        &function("vector", "(param v128)"),
        "UnsupportedExport",
        &["`vector`", "v128"],
    );
    check(
        &function("refer", "(result externref)"),
        "UnsupportedExport",
        &["`refer`", "externref"],
    );
    check(
        &function("wide", &"(param i32)".repeat(17)),
        "UnsupportedExport",
        &["`wide`", "17 parameters"],
    );
    check(&function("2nd", ""), "UnsupportedExport", &["`2nd`", "letter"]);
    check(&function(&"a".repeat(300), ""), "UnsupportedExport", &["256"]);
    check(
        &[function("add_two", ""), function("addTwo", "")].concat(),
        "NameClash",
        &["`add_two`", "`addTwo`", "`add-two`"],
    );
    check(
        &[r#"(memory (export "memory") 1)"#, &function("Memory", "")].concat(),
        "NameClash",
        &["`memory`", "`Memory`"],
    );
    check("(memory 1 1 shared)", "UnsupportedMemory", &["shared"]);
    check("(memory i64 1)", "UnsupportedMemory", &["64-bit"]);
    let wasi = |import: &str| format!(r#"(import "wasi_snapshot_preview1" {import}) {}"#, function("f", ""));
    check(&wasi(r#""fd_write" (func (param i32))"#), "Encode", &["fd_write"]);
    check(&wasi(r#""no_such" (func)"#), "Encode", &["no_such"]);
    check(
        &wasi(r#""fd_close" (func (param i32) (result i32))"#),
        "Encode",
        &["memory"],
    );
    check(r#"(@custom "component-type" "")"#, "Encode", &["component-type"]);
    check(&function("_initialize", "(param i32)"), "NoFunctions", &[]);
    check(
        &[function("_initialize", "(param i32)"), function("f", "")].concat(),
        "Encode",
        &["_initialize"],
    );
}

#[test]
fn modules_are_bounded() {
    #[track_caller]
    fn check(module: &str, limit: usize) {
        let error = lift(&bytes(&format!("(module {module})"))).unwrap_err();
        assert!(
            matches!(error, LiftError::TooMuch { limit: found, .. } if found == limit),
            "{error:?}"
        );
    }
    let many = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<String>();
    let exports = |count| {
        format!(
            "(func $f) {}",
            many(count, &|n| format!(r#"(export "f{n}" (func $f))"#))
        )
    };
    assert_eq!(signatures(&exports(1_000)).len(), 1_000);
    check(&exports(1_001), 1_000);
    check(&many(1_001, &|n| format!(r#"(import "env" "f{n}" (func))"#)), 1_000);
    check(&many(101, &|_| r#"(@custom "component-type" "")"#.to_owned()), 100);
    check(
        &format!(r#"(@custom "component-type:x" "{}")"#, "a".repeat((1 << 20) + 1)),
        1 << 20,
    );
}

/// Control plane and host each lift on their own.
#[test]
fn lifting_is_deterministic() {
    let module = bytes(&format!(
        "(module {} {})",
        function("a", "(param f32)"),
        function("b", "(result i64)")
    ));
    let first = lift(&module).unwrap();
    assert!((0..20).all(|_| lift(&module).unwrap() == first));
}
