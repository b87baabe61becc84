//! Components as text, and their types as either side sees them.

use propeller_types::{Contract, FunctionRef};
use wasm_wave::value;
use wasmtime::{
    Engine,
    component::{self, types::ComponentItem},
};

/// An interface with one function `NAME: func(x: T)` for each type that values are tested with, imported.
const VALUES: &str = r#"
    (type $values (instance
        (type $point' (record (field "x" f64) (field "y" f64) (field "note" (option string))))
        (export "point" (type $point (eq $point')))
        (type $shape' (variant (case "circle" f64) (case "path" (list $point)) (case "maybe" (option u8)) (case "none")))
        (export "shape" (type $shape (eq $shape')))
        (type $color' (enum "red" "dark-green" "none"))
        (export "color" (type $color (eq $color')))
        (type $mode' (flags "read" "write" "none"))
        (export "mode" (type $mode (eq $mode')))
        (type $wrapped' (record (field "some" u8)))
        (export "wrapped" (type $wrapped (eq $wrapped')))
        (export "bool" (func (param "x" bool)))
        (export "s8" (func (param "x" s8)))
        (export "u8" (func (param "x" u8)))
        (export "s16" (func (param "x" s16)))
        (export "u16" (func (param "x" u16)))
        (export "s32" (func (param "x" s32)))
        (export "u32" (func (param "x" u32)))
        (export "s64" (func (param "x" s64)))
        (export "u64" (func (param "x" u64)))
        (export "f32" (func (param "x" f32)))
        (export "f64" (func (param "x" f64)))
        (export "char" (func (param "x" char)))
        (export "string" (func (param "x" string)))
        (export "bytes" (func (param "x" (list u8))))
        (export "strings" (func (param "x" (list string))))
        (export "pair" (func (param "x" (tuple s32 string))))
        (export "a-point" (func (param "x" $point)))
        (export "a-shape" (func (param "x" $shape)))
        (export "a-color" (func (param "x" $color)))
        (export "a-mode" (func (param "x" $mode)))
        (export "option1" (func (param "x" (option u8))))
        (export "option2" (func (param "x" (option (option u8)))))
        (export "option3" (func (param "x" (option (option (option u8))))))
        (export "option-wrapped" (func (param "x" (option $wrapped))))
        (export "option-result" (func (param "x" (option (result)))))
        (export "result" (func (param "x" (result u8 (error string)))))
        (export "result-ok" (func (param "x" (result u8))))
        (export "result-err" (func (param "x" (result (error (option u8))))))
        (export "result-unit" (func (param "x" (result))))
        (export "nothing" (func))
        (export "optional" (func (param "a" u8) (param "b" (option u8)) (param "c" (option (option string)))))
        (export "deep" (func (param "id" u32) (param "shapes" (list $shape))))))
    (import "values" (instance $i (type $values)))"#;

/// A real component with code: `add` of two numbers in an interface, and again bare.
pub(crate) const ADD: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    (core instance $m (instantiate $m))
    (func $add (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $m "add")))
    (instance $math (export "add" (func $add)))
    (export "propeller:examples/math@1.0.0" (instance $math))
    (export "total" (func $add)))"#;

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

pub(crate) fn contract(text: &str) -> Contract {
    Contract::read(&bytes(text)).unwrap()
}

pub(crate) fn name(text: &str) -> FunctionRef {
    text.parse().unwrap()
}

/// What `name` of the values component takes, as the control plane sees it and as the host does.
pub(crate) struct Params {
    pub(crate) plane: Vec<(String, value::Type)>,
    pub(crate) host: Vec<(String, component::Type)>,
}

thread_local! {
    static BOTH: (Contract, Engine, component::Component) = {
        let engine = Engine::default();
        let component = component::Component::new(&engine, bytes(&format!("(component {VALUES})"))).unwrap();
        (contract(&exporting_values()), engine, component)
    };
}

/// A component that exports what it imports, so that it needs no code. Wasmtime compiles none such; it shows its imports too.
pub(crate) fn exporting_values() -> String {
    format!(r#"(component {VALUES} (export "test:values/all@1.2.3" (instance $i)))"#)
}

pub(crate) fn values() -> Contract {
    BOTH.with(|(contract, ..)| contract.clone())
}

pub(crate) fn params(function: &str) -> Params {
    BOTH.with(|(contract, engine, component)| {
        let plane = contract.find(&name(function)).unwrap().argument_types().unwrap();
        Params {
            plane,
            host: host_params(engine, component, function),
        }
    })
}

/// A function's parameters as Wasmtime knows them.
pub(crate) fn host_params(
    engine: &Engine,
    component: &component::Component,
    function: &str,
) -> Vec<(String, component::Type)> {
    let imports = component.component_type();
    let ComponentItem::ComponentInstance(instance) = imports.get_import(engine, "values").unwrap().ty else {
        panic!("not an instance");
    };
    let ComponentItem::ComponentFunc(function) = instance.get_export(engine, function).unwrap().ty else {
        panic!("{function} isn't a function");
    };
    function.params().map(|(name, ty)| (name.to_owned(), ty)).collect()
}
