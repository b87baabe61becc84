//! JSON to WIT values.

mod composite;

use serde_json::Value;
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue};

use super::MAX_SAFE;
use crate::{
    ArgsError,
    text::{Place, clip, found},
};

/// How many fields of option types the arguments of one call may leave out. A record of ten thousand such fields can be
/// written as
/// `{}`, so without a limit a short text becomes values without end.
const MAX_OMITTED: usize = 100_000;

/// The conversion of one call's arguments.
#[derive(Default)]
pub(crate) struct Converter {
    omitted: usize,
}

impl Converter {
    /// The value of type `ty` that `json` stands for. `at` is where it was found.
    ///
    /// It recurses as deep as the type, which is at most 100.
    pub(crate) fn value<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        match ty.kind() {
            WasmTypeKind::Bool => json.as_bool().map(V::make_bool).ok_or_else(|| at.mismatch(ty, json)),
            WasmTypeKind::S8 => integer(ty, json, at, i8::MIN, i8::MAX).map(V::make_s8),
            WasmTypeKind::S16 => integer(ty, json, at, i16::MIN, i16::MAX).map(V::make_s16),
            WasmTypeKind::S32 => integer(ty, json, at, i32::MIN, i32::MAX).map(V::make_s32),
            WasmTypeKind::S64 => integer(ty, json, at, i64::MIN, i64::MAX).map(V::make_s64),
            WasmTypeKind::U8 => integer(ty, json, at, u8::MIN, u8::MAX).map(V::make_u8),
            WasmTypeKind::U16 => integer(ty, json, at, u16::MIN, u16::MAX).map(V::make_u16),
            WasmTypeKind::U32 => integer(ty, json, at, u32::MIN, u32::MAX).map(V::make_u32),
            WasmTypeKind::U64 => integer(ty, json, at, u64::MIN, u64::MAX).map(V::make_u64),
            WasmTypeKind::F32 => float32(ty, json, at).map(V::make_f32),
            WasmTypeKind::F64 => float64(json).map(V::make_f64).ok_or_else(|| at.mismatch(ty, json)),
            WasmTypeKind::Char => character(ty, json, at).map(V::make_char),
            WasmTypeKind::String => json
                .as_str()
                .map(|text| V::make_string(text.into()))
                .ok_or_else(|| at.mismatch(ty, json)),
            WasmTypeKind::List => self.list(ty, json, at),
            WasmTypeKind::Tuple => self.tuple(ty, json, at),
            WasmTypeKind::Record => self.record(ty, json, at),
            WasmTypeKind::Variant => self.variant(ty, json, at),
            WasmTypeKind::Enum => self.enumeration(ty, json, at),
            WasmTypeKind::Flags => self.flags(ty, json, at),
            WasmTypeKind::Option => self.option(ty, json, at),
            WasmTypeKind::Result => self.result(ty, json, at),
            _ => Err(unsupported(at)),
        }
    }

    /// none, for a field or argument that was left out.
    pub(crate) fn omitted<V: WasmValue>(&mut self, ty: &V::Type, at: Place<'_>) -> Result<V, ArgsError> {
        self.omitted += 1;
        if self.omitted > MAX_OMITTED {
            return Err(ArgsError::TooManyOmitted {
                path: at.text(),
                limit: MAX_OMITTED,
            });
        }
        made(V::make_option(ty, None), at)
    }
}

/// The types that people can call with never come here; a host may have read its types elsewhere.
fn unsupported(at: Place<'_>) -> ArgsError {
    ArgsError::UnsupportedType {
        place: at.text(),
        why: "a handle, a map or a list of fixed length".to_owned(),
    }
}

/// The value, or the complaint of the type's own library, which is checked for here but has nothing left to complain
/// about.
fn made<V>(value: Result<V, wasm_wave::wasm::WasmValueError>, at: Place<'_>) -> Result<V, ArgsError> {
    value.map_err(|error| at.wrong(clip(&error.to_string())))
}

fn integer<T>(ty: &impl WasmType, json: &Value, at: Place<'_>, min: T, max: T) -> Result<T, ArgsError>
where
    T: TryFrom<i128> + std::fmt::Display,
{
    let is_wide = matches!(ty.kind(), WasmTypeKind::S64 | WasmTypeKind::U64);
    let is_outside = |number: f64| {
        let bound = |bound: &T| bound.to_string().parse::<f64>().unwrap_or_default();
        number < bound(&min) || number >= bound(&max)
    };
    let inexact = || json.as_f64().filter(|number| is_wide && number.fract() == 0.0);
    let number = whole(json).or_else(|| json.as_str().filter(|_| is_wide)?.parse().ok());
    match number.map(T::try_from) {
        Some(Ok(number)) => Ok(number),
        None if inexact().is_some_and(|number| !is_outside(number)) => Err(at.wrong(format!(
            "expected {}, found {}, which isn't exact: write it as a string",
            ty.kind(),
            found(json)
        ))),
        None if inexact().is_none() => Err(at.mismatch(ty, json)),
        Some(Err(_)) | None => Err(at.wrong(format!(
            "expected {} ({min} to {max}), found {}",
            ty.kind(),
            found(json)
        ))),
    }
}

/// The whole number that `json` is, if it's one without doubt: a float beyond 2^53 may stand for several.
fn whole(json: &Value) -> Option<i128> {
    let Value::Number(number) = json else { return None };
    let integer = number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from));
    let is_exact = |float: &f64| float.fract() == 0.0 && float.abs() <= MAX_SAFE as f64;
    integer.or_else(|| number.as_f64().filter(is_exact).map(|float| float as i128))
}

fn float64(json: &Value) -> Option<f64> {
    match json.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => json.as_f64(),
    }
}

fn float32(ty: &impl WasmType, json: &Value, at: Place<'_>) -> Result<f32, ArgsError> {
    let wide = float64(json).ok_or_else(|| at.mismatch(ty, json))?;
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err(at.wrong(format!(
            "expected f32 ({:e} to {:e}), found {}",
            f32::MIN,
            f32::MAX,
            found(json)
        )));
    }
    Ok(narrow)
}

fn character(ty: &impl WasmType, json: &Value, at: Place<'_>) -> Result<char, ArgsError> {
    let mut chars = json.as_str().unwrap_or_default().chars();
    match (chars.next(), chars.next()) {
        (Some(character), None) => Ok(character),
        _ => Err(at.wrong(format!(
            "expected {} (a string of one character), found {}",
            ty.kind(),
            found(json)
        ))),
    }
}
