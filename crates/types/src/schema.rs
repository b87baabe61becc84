//! A type as [JSON Schema](https://json-schema.org/draft/2020-12/schema), for editors and for forms.
//!
//! It describes the forms that are written, which docs/values.md has; that a few more are read is left out, but for 64-bit integers, which can't
//! do without.

use serde_json::{Value, json};
use wasm_wave::wasm::{WasmType, WasmTypeKind};

/// What the JSON of a value of this type is like. Titles are the names of WIT's types and cases.
pub(crate) fn schema(ty: &impl WasmType) -> Value {
    let integer = |title: &str, least: i64, most: i64| json!({"title": title, "type": "integer", "minimum": least, "maximum": most});
    match ty.kind() {
        WasmTypeKind::Bool => json!({"title": "bool", "type": "boolean"}),
        WasmTypeKind::S8 => integer("s8", i8::MIN.into(), i8::MAX.into()),
        WasmTypeKind::S16 => integer("s16", i16::MIN.into(), i16::MAX.into()),
        WasmTypeKind::S32 => integer("s32", i32::MIN.into(), i32::MAX.into()),
        WasmTypeKind::U8 => integer("u8", 0, u8::MAX.into()),
        WasmTypeKind::U16 => integer("u16", 0, u16::MAX.into()),
        WasmTypeKind::U32 => integer("u32", 0, u32::MAX.into()),
        WasmTypeKind::S64 => json!({"title": "s64", "type": ["integer", "string"], "pattern": "^-?[0-9]+$"}),
        WasmTypeKind::U64 => {
            json!({"title": "u64", "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$"})
        }
        WasmTypeKind::F32 => float("f32"),
        WasmTypeKind::F64 => float("f64"),
        WasmTypeKind::Char => json!({"title": "char", "type": "string", "minLength": 1, "maxLength": 1}),
        WasmTypeKind::String => json!({"title": "string", "type": "string"}),
        WasmTypeKind::List => {
            let items = ty.list_element_type().map(|element| schema(&element));
            json!({"title": "list", "type": "array", "items": items})
        }
        WasmTypeKind::Tuple => {
            let elements: Vec<_> = ty.tuple_element_types().map(|element| schema(&element)).collect();
            let count = elements.len();
            json!({"title": "tuple", "type": "array", "prefixItems": elements, "items": false, "minItems": count})
        }
        WasmTypeKind::Record => record(ty),
        WasmTypeKind::Variant => {
            let cases = ty.variant_cases().map(|(name, payload)| match payload {
                Some(payload) => case(&name, &schema(&payload)),
                None => json!({"title": name, "const": name}),
            });
            json!({"title": "variant", "oneOf": cases.collect::<Vec<_>>()})
        }
        WasmTypeKind::Enum => json!({"title": "enum", "enum": ty.enum_cases().collect::<Vec<_>>()}),
        WasmTypeKind::Flags => {
            let names = json!({"enum": ty.flags_names().collect::<Vec<_>>()});
            json!({"title": "flags", "type": "array", "uniqueItems": true, "items": names})
        }
        WasmTypeKind::Option => option(ty),
        WasmTypeKind::Result => {
            let nothing = || json!({"type": "null"});
            let (ok, err) = ty.result_types().unwrap_or_default();
            let cases = [("ok", ok), ("err", err)]
                .map(|(name, payload)| case(name, &payload.map_or_else(nothing, |payload| schema(&payload))));
            json!({"title": "result", "oneOf": cases})
        }
        // Nothing of it has a form in JSON.
        _ => json!(false),
    }
}

fn float(title: &str) -> Value {
    json!({"title": title, "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
}

fn record(ty: &impl WasmType) -> Value {
    let fields = || ty.record_fields();
    let is_required = |kind| kind != WasmTypeKind::Option;
    let required = fields()
        .filter(|(_, ty)| is_required(ty.kind()))
        .map(|(name, _)| name.into_owned());
    let required: Vec<_> = required.collect();
    let properties: serde_json::Map<_, _> = fields().map(|(name, ty)| (name.into_owned(), schema(&ty))).collect();
    json!({
        "title": "record",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// An option directly in an option has the longer form.
fn option(ty: &impl WasmType) -> Value {
    let some = ty.option_some_type();
    let is_nested = some.as_ref().is_some_and(|some| some.kind() == WasmTypeKind::Option);
    let some = some.map_or(Value::Bool(false), |some| schema(&some));
    let some = if is_nested { case("some", &some) } else { some };
    json!({"title": "option", "anyOf": [{"type": "null"}, some]})
}

fn case(name: &str, payload: &Value) -> Value {
    json!({
        "title": name,
        "type": "object",
        "properties": {name: payload},
        "required": [name],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use wasm_wave::value::Type;

    use super::*;

    #[test]
    fn every_type_has_one() {
        let check = |ty: Type, expected: Value| assert_eq!(schema(&ty), expected);
        check(Type::BOOL, json!({"title": "bool", "type": "boolean"}));
        check(
            Type::S8,
            json!({"title": "s8", "type": "integer", "minimum": -128, "maximum": 127}),
        );
        check(
            Type::U32,
            json!({"title": "u32", "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32}),
        );
        check(
            Type::U64,
            json!({"title": "u64", "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$"}),
        );
        let text = json!({"title": "string", "type": "string"});
        check(Type::STRING, text.clone());
        check(
            Type::list(Type::STRING),
            json!({"title": "list", "type": "array", "items": text}),
        );
        check(
            Type::tuple([Type::STRING, Type::BOOL]).unwrap(),
            json!({
                "title": "tuple", "type": "array", "items": false, "minItems": 2,
                "prefixItems": [text, {"title": "bool", "type": "boolean"}],
            }),
        );
        check(
            Type::record([("name", Type::STRING), ("note", Type::option(Type::STRING))]).unwrap(),
            json!({
                "title": "record", "type": "object", "required": ["name"], "additionalProperties": false,
                "properties": {"name": text, "note": {"title": "option", "anyOf": [{"type": "null"}, text]}},
            }),
        );
        let of = |name: &str, payload: Value| {
            json!({
                "title": name, "type": "object", "properties": {name: payload}, "required": [name], "additionalProperties": false,
            })
        };
        check(
            Type::variant([("none-at-all", None), ("said", Some(Type::STRING))]).unwrap(),
            json!({"title": "variant", "oneOf": [{"title": "none-at-all", "const": "none-at-all"}, of("said", text.clone())]}),
        );
        check(
            Type::result(Some(Type::STRING), None),
            json!({"title": "result", "oneOf": [of("ok", text.clone()), of("err", json!({"type": "null"}))]}),
        );
        let inner = json!({"title": "option", "anyOf": [{"type": "null"}, text]});
        check(
            Type::option(Type::option(Type::STRING)),
            json!({"title": "option", "anyOf": [{"type": "null"}, of("some", inner)]}),
        );
        check(
            Type::enum_ty(["a", "b"]).unwrap(),
            json!({"title": "enum", "enum": ["a", "b"]}),
        );
        check(
            Type::flags(["a", "b"]).unwrap(),
            json!({"title": "flags", "type": "array", "uniqueItems": true, "items": {"enum": ["a", "b"]}}),
        );
    }
}
