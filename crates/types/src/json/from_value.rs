//! WIT values to JSON.

use serde_json::{Value, json};
use wasm_wave::wasm::{WasmTypeKind, WasmValue};

use super::{MAX_SAFE, float, some};
use crate::UnsupportedValue;

/// A value in its JSON form; see [`json`](crate::json).
///
/// # Errors
///
/// [`UnsupportedValue`] if a handle or a map is anywhere in it.
pub fn from_value<V: WasmValue>(value: &V) -> Result<Value, UnsupportedValue> {
    Ok(match value.kind() {
        WasmTypeKind::Bool => json!(value.unwrap_bool()),
        WasmTypeKind::S8 => json!(value.unwrap_s8()),
        WasmTypeKind::S16 => json!(value.unwrap_s16()),
        WasmTypeKind::S32 => json!(value.unwrap_s32()),
        WasmTypeKind::S64 => wide(value.unwrap_s64(), value.unwrap_s64().unsigned_abs()),
        WasmTypeKind::U8 => json!(value.unwrap_u8()),
        WasmTypeKind::U16 => json!(value.unwrap_u16()),
        WasmTypeKind::U32 => json!(value.unwrap_u32()),
        WasmTypeKind::U64 => wide(value.unwrap_u64(), value.unwrap_u64()),
        WasmTypeKind::F32 => float(shortest(value.unwrap_f32())),
        WasmTypeKind::F64 => float(value.unwrap_f64()),
        WasmTypeKind::Char => json!(value.unwrap_char()),
        WasmTypeKind::String => json!(value.unwrap_string()),
        WasmTypeKind::List | WasmTypeKind::FixedLengthList => value
            .unwrap_list()
            .map(|item| from_value(&*item))
            .collect::<Result<_, _>>()?,
        WasmTypeKind::Tuple => value
            .unwrap_tuple()
            .map(|item| from_value(&*item))
            .collect::<Result<_, _>>()?,
        WasmTypeKind::Record => {
            let field = |(name, value): (_, std::borrow::Cow<'_, V>)| Ok((String::from(name), from_value(&*value)?));
            value.unwrap_record().map(field).collect::<Result<_, _>>()?
        }
        WasmTypeKind::Variant => match value.unwrap_variant() {
            (name, Some(payload)) => json!({ name: from_value(&*payload)? }),
            (name, None) => json!(name),
        },
        WasmTypeKind::Enum => json!(value.unwrap_enum()),
        WasmTypeKind::Flags => value.unwrap_flags().map(String::from).collect(),
        WasmTypeKind::Option => match value.unwrap_option() {
            Some(inner) => some(from_value(&*inner)?, inner.kind() == WasmTypeKind::Option),
            None => Value::Null,
        },
        WasmTypeKind::Result => match value.unwrap_result() {
            Ok(payload) => json!({ "ok": payload_to_json(payload)? }),
            Err(payload) => json!({ "err": payload_to_json(payload)? }),
        },
        _ => return Err(UnsupportedValue),
    })
}

fn payload_to_json<V: WasmValue>(payload: Option<std::borrow::Cow<'_, V>>) -> Result<Value, UnsupportedValue> {
    payload.map_or(Ok(Value::Null), |payload| from_value(&*payload))
}

fn wide(number: impl Into<Value> + ToString, magnitude: u64) -> Value {
    if magnitude <= MAX_SAFE {
        number.into()
    } else {
        json!(number.to_string())
    }
}

/// The `f64` that prints as the `f32` does: 0.1 and not 0.10000000149011612. If that one wouldn't be read back as the
/// same `f32`, which no case is known of, it is the exact one.
fn shortest(number: f32) -> f64 {
    number
        .to_string()
        .parse()
        .ok()
        .filter(|short| *short as f32 == number)
        .unwrap_or(f64::from(number))
}
