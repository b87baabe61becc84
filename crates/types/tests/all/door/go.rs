//! Modules as Go builds them for WASI preview 1, the one real toolchain that every machine with these sources has.

use std::{fs, path::PathBuf, process::Command};

use propeller_types::{Contract, Wasi, lift};
use tempfile::TempDir;
use wasmtime::{
    Config, Engine, OptLevel, Store,
    component::{Component, Instance, Linker, ResourceTable, Val},
};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView, p2::pipe::MemoryOutputPipe};

const REACTOR: &str = r#"package main

var ready = "no"

func init() { ready = "yes" }

//go:wasmexport add
func add(a, b int64) int64 { return a + b }

//go:wasmexport is_ready
func isReady() int32 { return int32(len(ready)) }

func main() {}
"#;

const COMMAND: &str = r#"package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("hello", os.Args[1])
	os.Exit(3)
}
"#;

fn build(source: &str, mode: &str) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let (input, output): (PathBuf, PathBuf) = (dir.path().join("main.go"), dir.path().join("main.wasm"));
    fs::write(&input, source).unwrap();
    let status = Command::new("go")
        .args(["build", "-buildmode", mode, "-o"])
        .args([&output, &input])
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .current_dir(&dir)
        .status();
    assert!(status.unwrap().success());
    fs::read(output).unwrap()
}

pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

pub(super) fn instantiate(module: &[u8], wasi: WasiCtx) -> (Store<State>, Instance) {
    // Go's runtime is large, and what is compiled here runs once.
    let engine = Engine::new(Config::new().cranelift_opt_level(OptLevel::None)).unwrap();
    let component = Component::from_binary(&engine, &lift(module).unwrap()).unwrap();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    let table = ResourceTable::new();
    let mut store = Store::new(&engine, State { wasi, table });
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn a_reactor_of_go_is_called() {
    let module = build(REACTOR, "c-shared");
    let contract = Contract::read(&module).unwrap();
    let functions: Vec<_> = contract.functions().map(ToString::to_string).collect();
    assert_eq!(
        functions,
        ["add: func(p0: s64, p1: s64) -> s64", "is-ready: func() -> s32"]
    );
    assert_eq!(contract.command(), None);

    let (mut store, instance) = instantiate(&module, WasiCtx::builder().build());
    let mut call = |name: &str, args: &[Val]| {
        let function = instance.get_func(&mut store, name).unwrap();
        let mut results = [Val::Bool(false)];
        function.call(&mut store, args, &mut results).unwrap();
        results
    };
    assert_eq!(call("is-ready", &[]), [Val::S32(3)]);
    assert_eq!(call("add", &[Val::S64(-20), Val::S64(62)]), [Val::S64(42)]);
}

#[test]
fn a_program_of_go_is_run() {
    let module = build(COMMAND, "exe");
    let contract = Contract::read(&module).unwrap();
    assert_eq!((contract.command(), contract.functions().count()), (Some(Wasi::V02), 0));

    let stdout = MemoryOutputPipe::new(1024);
    let wasi = WasiCtx::builder()
        .args(&["program", "world"])
        .stdout(stdout.clone())
        .build();
    let (mut store, instance) = instantiate(&module, wasi);
    let name = &contract.exports[0].name;
    let run = instance.get_export_index(&mut store, None, name).unwrap();
    let run = instance.get_export_index(&mut store, Some(&run), "run").unwrap();
    let run = instance.get_func(&mut store, run).unwrap();
    let exit = run.call(&mut store, &[], &mut [Val::Bool(false)]).unwrap_err();
    assert_eq!(exit.downcast_ref::<I32Exit>().map(|exit| exit.0), Some(3));
    assert_eq!(stdout.contents(), "hello world\n");
}
