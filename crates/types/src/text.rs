//! Short words about types, values and places, for messages that stay short on any input.

use std::fmt;

use serde_json::Value;
use wasm_wave::wasm::{WasmType, WasmTypeKind};

use crate::ArgsError;

/// How many names a message lists before it says how many more there are.
const LISTED: usize = 12;
/// How much of one name or value a message shows, in bytes.
const SHOWN: usize = 60;
/// How much of a place a message shows, in bytes.
const PLACE_SHOWN: usize = 400;

/// The start of `text`, with an ellipsis where it was cut.
pub(crate) fn clip(text: &str) -> String {
    clip_to(text, SHOWN)
}

pub(crate) fn clip_to(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        text.to_owned()
    } else {
        format!("{}…", &text[..text.floor_char_boundary(limit)])
    }
}

/// `a, b, c`, cut after a dozen names.
pub(crate) fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut names = names.into_iter();
    let mut text = names
        .by_ref()
        .take(LISTED)
        .map(|name| clip(name.as_ref()))
        .collect::<Vec<_>>()
        .join(", ");
    let more = names.count();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// What a type takes, one level deep: `f64`, `a record {x, y}`. Deeper levels show up in the place of the error, not
/// here.
pub(crate) fn expected(ty: &impl WasmType) -> String {
    match ty.kind() {
        WasmTypeKind::List => "a list".to_owned(),
        WasmTypeKind::Record => format!("a record {{{}}}", list(ty.record_fields().map(|(name, _)| name))),
        WasmTypeKind::Tuple => format!("a tuple of {}", ty.tuple_element_types().count()),
        WasmTypeKind::Variant => format!("a variant {{{}}}", list(ty.variant_cases().map(|(name, _)| name))),
        WasmTypeKind::Enum => format!("one of {}", list(ty.enum_cases())),
        WasmTypeKind::Flags => format!("flags among {}", list(ty.flags_names())),
        WasmTypeKind::Result => "a result".to_owned(),
        WasmTypeKind::Option => match ty.option_some_type() {
            Some(some) if some.kind() != WasmTypeKind::Option => format!("{} or null", expected(&some)),
            _ => "null or {\"some\": …}".to_owned(),
        },
        simple => simple.to_string(),
    }
}

/// What a JSON value is: `string "abc"`, `array of 3`.
pub(crate) fn found(json: &Value) -> String {
    match json {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Number(number) => format!("number {}", clip(&number.to_string())),
        Value::String(text) => format!("string \"{}\"", clip(text)),
        Value::Array(items) => format!("array of {}", items.len()),
        Value::Object(fields) if fields.is_empty() => "an empty object".to_owned(),
        Value::Object(fields) => format!("object {{{}}}", list(fields.keys())),
    }
}

/// A place inside a call's arguments. It lives on the stack of the conversion and becomes text only in an error.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// All arguments: `args`.
    Args,
    /// An element by its position.
    Index(&'a Place<'a>, usize),
    /// A parameter, field or case by its name.
    Name(&'a Place<'a>, &'a str),
}

impl<'a> Place<'a> {
    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    pub(crate) fn name(&'a self, name: &'a str) -> Self {
        Self::Name(self, name)
    }

    /// The place as text, its end kept if it's long: the end is what differs.
    pub(crate) fn text(&self) -> String {
        let text = self.to_string();
        let cut = text.ceil_char_boundary(text.len().saturating_sub(PLACE_SHOWN));
        if cut == 0 { text } else { format!("…{}", &text[cut..]) }
    }

    pub(crate) fn wrong(&self, problem: impl Into<String>) -> ArgsError {
        ArgsError::WrongArgumentType {
            path: self.text(),
            problem: problem.into(),
        }
    }

    /// The usual complaint: this type was expected and that value was found.
    pub(crate) fn mismatch(&self, ty: &impl WasmType, json: &Value) -> ArgsError {
        self.wrong(format!("expected {}, found {}", expected(ty), found(json)))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args => f.write_str("args"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Name(parent, name) => write!(f, "{parent}.{}", clip(name)),
        }
    }
}
