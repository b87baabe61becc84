//! Values of generated types, there and back.

mod generate;

use generate::{any_json, typed, types};
use propeller_types::{json, wave};
use proptest::prelude::*;
use serde_json::json;
use wasm_wave::{
    value::{Type, Value},
    wasm::{WasmType, WasmTypeKind},
};
use wasmtime::{Engine, component};

use crate::components::{bytes, contract, host_params, name};

type Params = [(String, Type); 1];

proptest! {
    #[test]
    fn values_survive_json_and_wave((ty, value) in typed()) {
        let params = [("x".to_owned(), ty)];
        let written = json::from_value(&value).unwrap();
        // Through text, as it crosses the network; by position and by name.
        let reread: serde_json::Value = serde_json::from_str(&written.to_string()).unwrap();
        for args in [json!([reread]), json!({ "x": reread })] {
            same(&json::args_to_values(&params, &args).unwrap(), &value);
        }
        let text = wave::to_string(&value).unwrap();
        same(&from_wave(&params, &text), &value);
        same(&[wasm_wave::from_str::<Value>(&params[0].1, &text).unwrap()], &value);
    }

    #[test]
    fn other_json_is_refused_or_means_one_value(ty in types(), given in any_json()) {
        let params = [("x".to_owned(), ty)];
        match json::args_to_values::<Value>(&params, &json!([given])) {
            Err(error) => prop_assert!(error.to_string().starts_with("args[0]"), "{}", error),
            Ok(values) => {
                let written = json::from_value(&values[0]).unwrap();
                same(&json::args_to_values(&params, &json!([written])).unwrap(), &values[0]);
            }
        }
    }

    /// What is damaged somewhere inside is refused there, and not before.
    #[test]
    fn errors_have_the_place((ty, value) in typed(), depth in 0..6_usize) {
        let params = [("x".to_owned(), Type::tuple([ty.clone(), Type::list(ty)]).unwrap())];
        let written = json::from_value(&value).unwrap();
        let mut items = vec![written.clone(); depth];
        items.push(json!({"no": "such", "form": 0}));
        let error = json::args_to_values::<Value>(&params, &json!([[written, items]])).unwrap_err();
        prop_assert!(error.to_string().starts_with(&format!("args[0][1][{depth}]")), "{}", error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The type is read from bytes as it was meant, and the host's values have the same forms.
    #[test]
    fn host_and_control_plane_agree((ty, value) in typed()) {
        let values = import_of(&ty);
        let contract = contract(&format!(r#"(component {values} (export "e" (instance $i)))"#));
        let params = contract.find(&name("f")).unwrap().argument_types().unwrap();
        prop_assert_eq!(&params, &[("x".to_owned(), ty)]);

        let engine = Engine::default();
        let component = component::Component::new(&engine, bytes(&format!("(component {values})"))).unwrap();
        let params = host_params(&engine, &component, "f");
        let (json, wave) = (json::from_value(&value).unwrap(), wave::to_string(&value).unwrap());
        let hosts = json::args_to_values::<component::Val>(&params, &json!([json])).unwrap();
        prop_assert_eq!(json::from_value(&hosts[0]).unwrap(), json);
        prop_assert_eq!(wave::to_string(&hosts[0]).unwrap(), wave);
    }
}

/// An import of `f: func(x: T)`, as text.
fn import_of(ty: &Type) -> String {
    let mut named = String::new();
    let ty = write(ty, &mut named);
    format!(
        r#"(type $values (instance {named} (export "f" (func (param "x" {ty}))))) (import "values" (instance $i (type $values)))"#
    )
}

/// A type as text. Those that need a name are defined in `named` first.
fn write(ty: &Type, named: &mut String) -> String {
    let mut members = |keyword: &str, types: &mut dyn Iterator<Item = (String, Option<Type>)>| -> String {
        let members = types.map(|(name, ty)| match ty {
            Some(ty) => format!(r#"({keyword} "{name}" {})"#, write(&ty, named)),
            None => format!(r#"({keyword} "{name}")"#),
        });
        members.collect()
    };
    let list = |names: Vec<String>| names.iter().map(|name| format!(" {name:?}")).collect::<String>();
    let definition = match ty.kind() {
        WasmTypeKind::Record => {
            let mut fields = ty.record_fields().map(|(name, ty)| (name.into(), Some(ty)));
            format!("(record {})", members("field", &mut fields))
        }
        WasmTypeKind::Variant => {
            let mut cases = ty.variant_cases().map(|(name, ty)| (name.into(), ty));
            format!("(variant {})", members("case", &mut cases))
        }
        WasmTypeKind::Enum => format!("(enum{})", list(ty.enum_cases().map(Into::into).collect())),
        WasmTypeKind::Flags => format!("(flags{})", list(ty.flags_names().map(Into::into).collect())),
        WasmTypeKind::List => return format!("(list {})", write(&ty.list_element_type().unwrap(), named)),
        WasmTypeKind::Option => return format!("(option {})", write(&ty.option_some_type().unwrap(), named)),
        WasmTypeKind::Tuple => {
            let items: Vec<_> = ty.tuple_element_types().map(|ty| write(&ty, named)).collect();
            return format!("(tuple {})", items.join(" "));
        }
        WasmTypeKind::Result => {
            let (ok, err) = ty.result_types().unwrap();
            let ok = ok.map(|ok| write(&ok, named)).unwrap_or_default();
            let err = err
                .map(|err| format!("(error {})", write(&err, named)))
                .unwrap_or_default();
            return format!("(result {ok} {err})");
        }
        simple => return simple.to_string(),
    };
    let name = format!("t{}", named.len());
    named.push_str(&format!(
        r#"(type ${name}' {definition}) (export "{name}" (type ${name} (eq ${name}')))"#
    ));
    format!("${name}")
}

fn from_wave(params: &Params, text: &str) -> Vec<Value> {
    let call: wave::Call = format!("f({text})").parse().unwrap();
    wave::args_to_values(params, &call).unwrap()
}

/// One value, equal to the last bit: `Debug` tells -0.0 from 0.0, and all NaNs are one.
#[track_caller]
fn same(values: &[Value], expected: &Value) {
    assert_eq!(format!("{values:?}"), format!("[{expected:?}]"));
}
