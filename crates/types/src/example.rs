//! A placeholder of any type, for a Task to start from.

use serde_json::{Value, json};
use wasm_wave::wasm::{WasmType, WasmTypeKind};

/// The plainest JSON that is a value of this type: zero, empty, none, or the first case.
pub(crate) fn value(ty: &impl WasmType) -> Value {
    match ty.kind() {
        WasmTypeKind::Bool => json!(false),
        WasmTypeKind::F32 | WasmTypeKind::F64 => json!(0.0),
        WasmTypeKind::Char => json!("a"),
        WasmTypeKind::String => json!(""),
        WasmTypeKind::List | WasmTypeKind::Flags => json!([]),
        WasmTypeKind::Record => ty
            .record_fields()
            .map(|(name, ty)| (name.into_owned(), value(&ty)))
            .collect(),
        WasmTypeKind::Tuple => ty.tuple_element_types().map(|ty| value(&ty)).collect(),
        WasmTypeKind::Variant => ty
            .variant_cases()
            .next()
            .map_or(Value::Null, |(name, payload)| match payload {
                Some(payload) => json!({ name: value(&payload) }),
                None => json!(name),
            }),
        WasmTypeKind::Enum => json!(ty.enum_cases().next()),
        WasmTypeKind::Result => json!({ "ok": ty.result_types().and_then(|(ok, _)| ok).as_ref().map(value) }),
        WasmTypeKind::Option => Value::Null,
        _ => json!(0),
    }
}
