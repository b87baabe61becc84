//! WAVE arguments to the JSON arguments that mean the same.
//!
//! The type decides how a node is read, as WAVE's specification says: `1` is also some(1) and ok(1), and a case is a
//! word.

use serde_json::{Map, Value, json};
use wasm_wave::{
    ast::{Node, NodeType},
    wasm::{WasmType, WasmTypeKind},
};

use super::Source;
use crate::{
    ArgsError, json,
    text::{Place, clip, expected, list},
};

pub(super) fn args<T: WasmType>(
    params: &[(String, T)],
    args: Option<&Node>,
    source: &Source,
) -> Result<Value, ArgsError> {
    let nodes = args.and_then(|args| args.as_tuple().ok()).into_iter().flatten();
    let mut values = Vec::new();
    for (index, node) in nodes.enumerate() {
        let Some((name, ty)) = params.get(index) else {
            return Err(ArgsError::TooManyArguments {
                expected: params.len(),
                found: index + 1,
            });
        };
        let place = Place::Args.index(index);
        let reader = Reader { source, param: name };
        values.push(reader.value(ty, node, place)?);
    }
    Ok(Value::Array(values))
}

struct Reader<'a> {
    source: &'a Source,
    param: &'a str,
}

impl Reader<'_> {
    fn value<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let text = &self.source.text;
        let read = match ty.kind() {
            WasmTypeKind::Bool => node.as_bool().ok().map(Value::from),
            WasmTypeKind::Char => node.as_char(text).ok().map(|char| json!(char)),
            WasmTypeKind::String => node.as_str(text).ok().map(Value::from),
            WasmTypeKind::Enum => node.as_enum(text).ok().map(Value::from),
            WasmTypeKind::Flags => node.as_flags(text).ok().map(|names| names.map(unescaped).collect()),
            WasmTypeKind::List => return self.list(ty, node, at),
            WasmTypeKind::Tuple => return self.tuple(ty, node, at),
            WasmTypeKind::Record => return self.record(ty, node, at),
            WasmTypeKind::Variant => return self.variant(ty, node, at),
            WasmTypeKind::Option => return self.option(ty, node, at),
            WasmTypeKind::Result => return self.result(ty, node, at),
            WasmTypeKind::FixedLengthList | WasmTypeKind::Unsupported => None,
            WasmTypeKind::F32 | WasmTypeKind::F64 => self.number(node).map(float),
            _ => self.number(node).map(integer),
        };
        read.ok_or_else(|| self.mismatch(ty, node, at))
    }

    fn number(&self, node: &Node) -> Option<&str> {
        (node.ty() == NodeType::Number).then(|| self.source.at(node))
    }

    fn list<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let (Some(element), Ok(items)) = (ty.list_element_type(), node.as_list()) else {
            return Err(self.mismatch(ty, node, at));
        };
        items
            .enumerate()
            .map(|(index, item)| self.value(&element, item, at.index(index)))
            .collect()
    }

    fn tuple<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let types: Vec<_> = ty.tuple_element_types().collect();
        let items = node.as_tuple().ok().filter(|items| items.len() == types.len());
        let items = items.ok_or_else(|| self.mismatch(ty, node, at))?;
        types
            .iter()
            .zip(items)
            .enumerate()
            .map(|(index, (ty, item))| self.value(ty, item, at.index(index)))
            .collect()
    }

    fn record<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let given = node
            .as_record(&self.source.text)
            .map_err(|_| self.mismatch(ty, node, at))?;
        let mut fields = Map::new();
        for (name, node) in given {
            let Some((_, ty)) = ty.record_fields().find(|(field, _)| field == name) else {
                let known = list(ty.record_fields().map(|(name, _)| name));
                let problem = format!("unknown field `{}`: the record has {known}", clip(name));
                return Err(self.wrong(problem, node, at));
            };
            fields.insert(name.to_owned(), self.value(&ty, node, at.name(name))?);
        }
        Ok(Value::Object(fields))
    }

    fn variant<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let (name, payload) = node
            .as_variant(&self.source.text)
            .map_err(|_| self.mismatch(ty, node, at))?;
        let declared = ty.variant_cases().find(|(case, _)| case == name);
        match (declared.ok_or_else(|| self.mismatch(ty, node, at))?.1, payload) {
            (Some(ty), Some(payload)) => Ok(json!({ name: self.value(&ty, payload, at.name(name))? })),
            (None, None) => Ok(json!(name)),
            (Some(ty), None) => Err(self.wrong(format!("case `{}` needs {}", clip(name), expected(&ty)), node, at)),
            (None, Some(_)) => Err(self.wrong(format!("case `{}` has no payload", clip(name)), node, at)),
        }
    }

    fn option<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let inner = ty.option_some_type().ok_or_else(|| self.mismatch(ty, node, at))?;
        let value = match node.as_option() {
            Ok(None) => return Ok(Value::Null),
            Ok(Some(some)) => self.value(&inner, some, at)?,
            Err(_) if can_stand_alone(&inner) => self.value(&inner, node, at)?,
            Err(_) => return Err(self.mismatch(ty, node, at)),
        };
        Ok(json::some(value, inner.kind() == WasmTypeKind::Option))
    }

    fn result<T: WasmType>(&self, ty: &T, node: &Node, at: Place<'_>) -> Result<Value, ArgsError> {
        let (ok, err) = ty.result_types().ok_or_else(|| self.mismatch(ty, node, at))?;
        match (node.as_result(), ok) {
            (Ok(Ok(payload)), ok) => Ok(json!({ "ok": self.payload(ok, payload, node, at)? })),
            (Ok(Err(payload)), _) => Ok(json!({ "err": self.payload(err, payload, node, at)? })),
            (Err(_), Some(ok)) if can_stand_alone(&ok) => Ok(json!({ "ok": self.value(&ok, node, at)? })),
            (Err(_), _) => Err(self.mismatch(ty, node, at)),
        }
    }

    /// What is inside of the parentheses of `ok` or `err`, if there should be something.
    fn payload<T: WasmType>(
        &self,
        ty: Option<T>,
        payload: Option<&Node>,
        node: &Node,
        at: Place<'_>,
    ) -> Result<Value, ArgsError> {
        match (ty, payload) {
            (Some(ty), Some(payload)) => self.value(&ty, payload, at),
            (None, None) => Ok(Value::Null),
            (Some(ty), None) => Err(self.wrong(format!("expected {} in parentheses", expected(&ty)), node, at)),
            (None, Some(payload)) => Err(self.wrong("expected no payload".to_owned(), payload, at)),
        }
    }

    fn mismatch(&self, ty: &impl WasmType, node: &Node, at: Place<'_>) -> ArgsError {
        self.wrong(format!("expected {}", expected(ty)), node, at)
    }

    fn wrong(&self, problem: String, node: &Node, at: Place<'_>) -> ArgsError {
        let (found, column) = (clip(self.source.at(node)), self.source.column(node.span().start));
        at.wrong(format!(
            "{problem}, found `{found}` at column {column} (parameter `{}`)",
            clip(self.param)
        ))
    }
}

/// `some(…)` and `ok(…)` may be left out around what isn't an option or result itself.
fn can_stand_alone(ty: &impl WasmType) -> bool {
    !matches!(ty.kind(), WasmTypeKind::Option | WasmTypeKind::Result)
}

/// A `%` before a word keeps it from being read as a keyword, and isn't part of it.
fn unescaped(name: &str) -> Value {
    json!(name.strip_prefix('%').unwrap_or(name))
}

/// The number with all its digits if it has at most 64 bits; others fit no integer type, and are kept for the message.
fn integer(text: &str) -> Value {
    let number = text
        .parse::<i64>()
        .map(Value::from)
        .or_else(|_| text.parse::<u64>().map(Value::from));
    number.unwrap_or_else(|_| float(text))
}

/// The nearest float; `1e400` is infinite, as WAVE has it.
fn float(text: &str) -> Value {
    text.parse().map_or(Value::Null, json::float)
}
