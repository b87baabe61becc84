//! Types made of other types.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue};

use super::{Converter, made, unsupported};
use crate::{
    ArgsError,
    text::{Place, clip, expected, found, list},
};

impl Converter {
    pub(super) fn list<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let element = ty.list_element_type().ok_or_else(|| unsupported(at))?;
        if element.kind() == WasmTypeKind::U8
            && let Some(encoded) = json.as_object().and_then(|fields| only(fields, "base64"))
        {
            return bytes(ty, encoded, at);
        }
        let items = json.as_array().ok_or_else(|| at.mismatch(ty, json))?;
        let items = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.value(&element, item, at.index(index)));
        made(V::make_list(ty, items.collect::<Result<Vec<_>, _>>()?), at)
    }

    pub(super) fn tuple<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let types: Vec<_> = ty.tuple_element_types().collect();
        let items = json
            .as_array()
            .filter(|items| items.len() == types.len())
            .ok_or_else(|| at.mismatch(ty, json))?;
        let items = types
            .iter()
            .zip(items)
            .enumerate()
            .map(|(index, (ty, item))| self.value(ty, item, at.index(index)));
        made(V::make_tuple(ty, items.collect::<Result<Vec<_>, _>>()?), at)
    }

    pub(super) fn record<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let given = json.as_object().ok_or_else(|| at.mismatch(ty, json))?;
        let fields: Vec<_> = ty.record_fields().collect();
        let mut used = 0;
        let mut values = Vec::with_capacity(fields.len());
        for (name, ty) in &fields {
            let value = match given.get(name.as_ref()) {
                Some(json) => {
                    used += 1;
                    self.value(ty, json, at.name(name))?
                }
                None if ty.kind() == WasmTypeKind::Option => self.omitted(ty, at.name(name))?,
                None => return Err(at.wrong(format!("missing field `{}`: expected {}", clip(name), expected(ty)))),
            };
            values.push((name.as_ref(), value));
        }
        if used < given.len() {
            return Err(unknown_field(given, &fields, at));
        }
        made(V::make_record(ty, values), at)
    }

    pub(super) fn variant<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let (name, payload) = case(json).ok_or_else(|| at.mismatch(ty, json))?;
        let declared = ty.variant_cases().find(|(case, _)| case == name);
        let (_, payload_type) = declared.ok_or_else(|| at.mismatch(ty, json))?;
        let payload = match (payload_type, payload) {
            (Some(ty), Some(json)) => Some(self.value(&ty, json, at.name(name))?),
            (None, None) => None,
            (Some(ty), None) => {
                let problem = format!("case `{0}` needs {1}: write {{\"{0}\": …}}", clip(name), expected(&ty));
                return Err(at.wrong(problem));
            }
            (None, Some(_)) => {
                return Err(at.wrong(format!("case `{0}` has no payload: write \"{0}\"", clip(name))));
            }
        };
        made(V::make_variant(ty, name, payload), at)
    }

    pub(super) fn enumeration<V: WasmValue>(
        &mut self,
        ty: &V::Type,
        json: &Value,
        at: Place<'_>,
    ) -> Result<V, ArgsError> {
        let name = json.as_str().filter(|name| ty.enum_cases().any(|case| case == *name));
        made(V::make_enum(ty, name.ok_or_else(|| at.mismatch(ty, json))?), at)
    }

    pub(super) fn flags<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let items = json.as_array().ok_or_else(|| at.mismatch(ty, json))?;
        let declared: Vec<Cow<'_, str>> = ty.flags_names().collect();
        let mut names: Vec<&str> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let name = item
                .as_str()
                .filter(|name| declared.iter().any(|declared| declared == name))
                .ok_or_else(|| {
                    at.index(index)
                        .wrong(format!("expected one of {}, found {}", list(&declared), found(item)))
                })?;
            if names.contains(&name) {
                return Err(at.index(index).wrong(format!("`{}` is set twice", clip(name))));
            }
            names.push(name);
        }
        // In the order of the type, so that equal sets are equal values.
        let ordered = declared.iter().map(AsRef::as_ref).filter(|name| names.contains(name));
        made(V::make_flags(ty, ordered), at)
    }

    pub(super) fn option<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let inner = ty.option_some_type().ok_or_else(|| unsupported(at))?;
        let value = match json {
            Value::Null => None,
            json if inner.kind() != WasmTypeKind::Option => Some(self.value(&inner, json, at)?),
            json => {
                let some = json
                    .as_object()
                    .and_then(|fields| only(fields, "some"))
                    .ok_or_else(|| at.mismatch(ty, json))?;
                Some(self.value(&inner, some, at.name("some"))?)
            }
        };
        made(V::make_option(ty, value), at)
    }

    pub(super) fn result<V: WasmValue>(&mut self, ty: &V::Type, json: &Value, at: Place<'_>) -> Result<V, ArgsError> {
        let (ok_type, err_type) = ty.result_types().ok_or_else(|| unsupported(at))?;
        let fields = json.as_object();
        let side = |name| fields.and_then(|fields| only(fields, name));
        let value = match (side("ok"), side("err")) {
            (Some(json), _) => Ok(self.payload(ok_type, json, at.name("ok"))?),
            (None, Some(json)) => Err(self.payload(err_type, json, at.name("err"))?),
            (None, None) => {
                let problem = format!(
                    "expected a result, {{\"ok\": …}} or {{\"err\": …}}, found {}",
                    found(json)
                );
                return Err(at.wrong(problem));
            }
        };
        made(V::make_result(ty, value), at)
    }

    /// What is inside of `ok` or `err`: null where the type has nothing there.
    fn payload<V: WasmValue>(
        &mut self,
        ty: Option<V::Type>,
        json: &Value,
        at: Place<'_>,
    ) -> Result<Option<V>, ArgsError> {
        match ty {
            Some(ty) => self.value(&ty, json, at).map(Some),
            None if json.is_null() => Ok(None),
            None => Err(at.wrong(format!("expected null, found {}", found(json)))),
        }
    }
}

/// The value of the only field of an object, if it has that name.
fn only<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|_| fields.len() == 1)
}

/// A variant's case and its payload: `"case"` or `{"case": payload}`.
fn case(json: &Value) -> Option<(&str, Option<&Value>)> {
    match json {
        Value::String(name) => Some((name, None)),
        Value::Object(fields) if fields.len() == 1 => fields
            .iter()
            .next()
            .map(|(name, payload)| (name.as_str(), Some(payload))),
        _ => None,
    }
}

fn bytes<V: WasmValue>(ty: &V::Type, encoded: &Value, at: Place<'_>) -> Result<V, ArgsError> {
    let decoded = encoded
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .ok_or_else(|| {
            at.name("base64").wrong(format!(
                "expected base64 with padding (RFC 4648), found {}",
                found(encoded)
            ))
        })?;
    made(V::make_list(ty, decoded.into_iter().map(V::make_u8)), at)
}

fn unknown_field<T>(given: &Map<String, Value>, fields: &[(Cow<'_, str>, T)], at: Place<'_>) -> ArgsError {
    let unknown = given.keys().find(|key| !fields.iter().any(|(name, _)| name == *key));
    let unknown = unknown.map(String::as_str).unwrap_or_default();
    let known = list(fields.iter().map(|(name, _)| name));
    at.wrong(format!("unknown field `{}`: the record has {known}", clip(unknown)))
}
