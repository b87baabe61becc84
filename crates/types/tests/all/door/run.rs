//! What was lifted, run by the engine.

use propeller_types::lift;
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, Val},
};

use crate::components::bytes;

#[track_caller]
pub(crate) fn check(module: &[u8], function: &str, args: &[Val], expected: Val) {
    let engine = Engine::default();
    let component = Component::from_binary(&engine, &lift(module).unwrap()).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let function = instance.get_func(&mut store, function).unwrap();
    let mut results = [Val::Bool(false)];
    function.call(&mut store, args, &mut results).unwrap();
    assert_eq!(results, [expected]);
}

#[test]
fn numbers_go_in_and_come_out() {
    let module = &bytes(
        r#"(module
        (func (export "sub") (param i32 i32) (result i32) local.get 0 local.get 1 i32.sub)
        (func (export "sub_wide") (param i64 i64) (result i64) local.get 0 local.get 1 i64.sub)
        (func (export "halve") (param f32) (result f32) local.get 0 f32.const 2 f32.div)
        (func (export "square") (param f64) (result f64) local.get 0 local.get 0 f64.mul))"#,
    );
    check(module, "sub", &[Val::S32(20), Val::S32(22)], Val::S32(-2));
    check(
        module,
        "sub-wide",
        &[Val::S64(i64::MIN), Val::S64(1)],
        Val::S64(i64::MAX),
    );
    check(module, "halve", &[Val::Float32(1.0)], Val::Float32(0.5));
    check(module, "square", &[Val::Float64(1e200)], Val::Float64(f64::INFINITY));
}

#[test]
fn a_reactor_is_initialized_before_its_first_call() {
    let module = &bytes(
        r#"(module
        (global $ready (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $ready (i32.add (global.get $ready) (i32.const 1))))
        (func (export "ready") (result i32) (global.get $ready)))"#,
    );
    check(module, "ready", &[], Val::S32(1));
}
