//! Modules with a world of their own, as `wit-bindgen` leaves them.

use propeller_types::{Contract, LiftError, lift};
use wasmtime::component::Val;
use wasmtime_wasi::{I32Exit, WasiCtx};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{go::instantiate, run};
use crate::components::bytes;

const WIT: &str = "package test:described;
interface texts {
    record pair { left: string, right: u8 }
    swap: func(pair: pair) -> tuple<u8, string>;
}
world described { export texts; export length: func(text: string) -> u32; }";

/// Allocates by counting up, and never frees.
const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 3))))
    (func (export "length") (param i32 i32) (result i32) (local.get 1))
    (func (export "test:described/texts#swap") (param i32 i32 i32) (result i32)
        (i32.store8 (i32.const 0) (local.get 2))
        (i32.store (i32.const 4) (local.get 0))
        (i32.store (i32.const 8) (local.get 1))
        (i32.const 0)))"#;

fn module(wit: &str, text: &str) -> Vec<u8> {
    let mut module = bytes(text);
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

#[test]
fn a_described_world_is_exported() {
    let module = module(WIT, MODULE);
    let contract = Contract::read(&module).unwrap();
    let functions: Vec<_> = contract
        .functions()
        .map(|function| format!("{} {function}", function.reference()))
        .collect();
    assert_eq!(
        functions,
        [
            "length length: func(text: string) -> u32",
            "test:described/texts#swap swap: func(pair: pair) -> tuple<u8, string>",
        ]
    );
    run::check(&module, "length", &[Val::String("four".to_owned())], Val::U32(4));
}

/// Whatever the world is, also if it imports some `exit` itself.
#[test]
fn a_module_with_a_world_exits_with_its_code() {
    #[track_caller]
    fn check(own: &str, packages: &str, code: i32) {
        let quits = module(
            &format!("package test:quits; world quits {{ {own} export quit: func(); }} {packages}"),
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "quit") (call $exit (i32.const 7))))"#,
        );
        let (mut store, instance) = instantiate(&quits, WasiCtx::builder().build());
        let quit = instance.get_func(&mut store, "quit").unwrap();
        let exit = quit.call(&mut store, &[], &mut []).unwrap_err();
        assert_eq!(exit.downcast_ref::<I32Exit>().map(|exit| exit.0), Some(code), "{own}");
    }
    check("", "", 7);
    let exit =
        |version: &str, functions: &str| format!("package wasi:cli@{version} {{ interface exit {{ {functions} }} }}");
    let (status, code) = ("exit: func(status: result);", "exit-with-code: func(status-code: u8);");
    let import = "import wasi:cli/exit@0.2.12;";
    check(import, &exit("0.2.12", &format!("{status} {code}")), 7);
    check(import, &exit("0.2.12", status), 7);
    check("import wasi:cli/exit@0.2.3;", &exit("0.2.3", status), 7);
}

#[test]
fn a_described_world_that_isnt_there_is_refused() {
    #[track_caller]
    fn check(wit: &str, text: &str, words: &str) {
        let error = lift(&module(wit, text)).unwrap_err();
        assert!(
            matches!(error, LiftError::Encode { .. }) && error.to_string().contains(words),
            "{error}"
        );
    }
    check(WIT, "(module)", "`length`");
    check(
        WIT,
        &MODULE.replace("\"length\") (param i32 i32)", "\"length\") (param i64)"),
        "length",
    );
    check(
        "package a:b; world w {}",
        r#"(module (import "env" "foo" (func)))"#,
        "env",
    );
}

/// An import of a kind that no compiler writes: wit-parser panics there, in the version that this was written with.
#[test]
fn a_description_made_to_hurt_is_refused() {
    let description = bytes(
        r#"(component (@custom "wit-component-encoding" "\04\00")
            (type $w (component
                (type $world (component (import "url=<https://example.com>" (func))))
                (export "a:b/w" (component (type $world)))))
            (export "w" (type $w)))"#,
    );
    let escaped: String = description.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let error = lift(&bytes(&format!(r#"(module (@custom "component-type" "{escaped}"))"#))).unwrap_err();
    assert!(matches!(error, LiftError::Encode { .. }), "{error}");
}
