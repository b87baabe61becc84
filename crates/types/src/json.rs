//! The one mapping of JSON to WIT values and back.
//!
//! Every WIT value has one JSON form that it is written in; a few more forms are read. What is written can be read
//! again with the same type, and gives the same value.
//!
//! | WIT | written | also read |
//! |---|---|---|
//! | `bool` | `true`, `false` | |
//! | `s8` … `s32`, `u8` … `u32` | number | a whole number with a point or an exponent: `1.0`, `1e3` |
//! | `s64`, `u64` | number from -(2^53 - 1) to 2^53 - 1; beyond that a decimal string, since many readers of JSON keep only 53 bits | any whole number; any decimal string |
//! | `f32`, `f64` | number; `"NaN"`, `"Infinity"`, `"-Infinity"` | |
//! | `char` | string of one character (Unicode scalar value) | |
//! | `string` | string | |
//! | `list<T>` | array | `list<u8>`: `{"base64": "aGk="}` (RFC 4648 §4, padded) |
//! | `tuple<…>` | array of that length | |
//! | `record` | object with the fields' names as in WIT, in kebab-case | a field of an option type may be left out: none |
//! | `variant` | `{"case": payload}`, or `"case"` if it has no payload | |
//! | `enum` | `"case"` | |
//! | `flags` | array of the names that are set | in any order |
//! | `option<T>` | `null` for none, the value itself for some | |
//! | `option<option<T>>` | `null` for none, `{"some": value}` for some, so that some(none) is `{"some": null}` | |
//! | `result<T, E>` | `{"ok": value}`, `{"err": value}`; `null` where there is no payload | |
//!
//! Only an option is null in JSON, so only an option directly in an option needs the longer form. A list of bytes is
//! written as numbers like any list: a reader doesn't need the type to know what it gets.
//!
//! What is neither listed as written nor as read is refused: unknown fields, numbers out of range, fractions for
//! integers, numbers that don't fit an `f32`, duplicates in flags. Floats are rounded to the nearest value. All NaNs
//! are one.
//!
//! Arguments are an array by position or an object by parameter name. Trailing arguments of option types may be left
//! out by position, and any of them by name. No arguments at all are `null`, `[]` or `{}`.
//!
//! Resources, streams, futures, maps and lists of fixed length have no JSON form.

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
