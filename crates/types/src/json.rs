//! The one mapping of JSON to WIT values and back.
//!
//! Users read about it in `docs/values.md`, which is this:
//!
#![doc = include_str!("../../../docs/values.md")]

mod from_value;
mod to_value;

use serde_json::{Value, json};

pub use crate::args::args_to_values;
pub use from_value::from_value;
pub(crate) use to_value::Converter;

/// The largest integer of which a 64-bit float keeps every digit, and every integer below it: 2^53 - 1.
pub(crate) const MAX_SAFE: u64 = (1 << 53) - 1;

/// A float in its JSON form.
pub(crate) fn float(number: f64) -> Value {
    match number {
        nan if nan.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        number => json!(number),
    }
}

/// some(value) in its JSON form.
pub(crate) fn some(value: Value, is_option: bool) -> Value {
    if is_option { json!({ "some": value }) } else { value }
}
