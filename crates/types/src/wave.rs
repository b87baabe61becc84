//! Calls and results as [WAVE](https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave) text, which
//! looks like WIT:
//! `move({x: 1.5, y: 2}, some(fast))`.
//!
//! A call's arguments become the JSON arguments that mean the same, and go on from there. So there is one mapping to
//! values, WAVE has its bounds and its places in errors, and a call that was typed can be kept as a Task. wasm-wave's
//! own conversion would take less code here, but it ignores fields that a record doesn't have, and says where something
//! is wrong only by an offset.

mod to_json;

use std::str::FromStr;

use serde_json::Value;
use wasm_wave::{
    ast::Node,
    parser::ParserError,
    untyped::UntypedFuncCall,
    wasm::{DisplayValue, WasmType, WasmTypeKind, WasmValue},
};

use crate::{ArgsError, FunctionRef, UnsupportedValue, text::clip};

/// A call as people type it: `add(20, 22)`, or `propeller:examples/math@1.0.0#add(20, 22)`.
#[derive(Debug, Clone)]
pub struct Call {
    function: FunctionRef,
    source: Source,
    args: Option<Node>,
}

/// The text of a call, for which WAVE's parser gives offsets.
#[derive(Debug, Clone)]
struct Source {
    /// What the parser saw: the call with `f` for the function's name, since WAVE spells qualified names in another
    /// way.
    text: String,
    /// How many characters the call has before its parenthesis.
    head: usize,
}

impl Call {
    /// The function to call.
    pub fn function(&self) -> &FunctionRef {
        &self.function
    }

    /// The arguments as JSON, by position.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if an argument isn't written as its type is. How many there are, and ranges, are checked with the
    /// values.
    pub fn args<T: WasmType>(&self, params: &[(String, T)]) -> Result<Value, ArgsError> {
        to_json::args(params, self.args.as_ref(), &self.source)
    }
}

impl FromStr for Call {
    type Err = ArgsError;

    fn from_str(text: &str) -> Result<Self, ArgsError> {
        let text = text.trim();
        let end = text.find('(').unwrap_or(text.len());
        let (head, args) = text.split_at(end);
        let function = head.trim_end().parse().map_err(ArgsError::InvalidFunction)?;
        let source = Source {
            text: format!("f{args}"),
            head: head.chars().count(),
        };
        let parsed = UntypedFuncCall::parse(&source.text).map_err(|error| source.error(&error))?;
        let args = parsed.params_node().cloned();
        Ok(Self { function, args, source })
    }
}

impl Source {
    /// What the call has at this node.
    fn at(&self, node: &Node) -> &str {
        self.text.get(node.span()).unwrap_or_default()
    }

    /// The number of the character, counted from 1 in the call as typed, that is at this offset.
    fn column(&self, offset: usize) -> usize {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        self.head + before.chars().count()
    }

    fn error(&self, error: &ParserError) -> ArgsError {
        let detail = error
            .detail()
            .map(|detail| format!(" {}", clip(detail)))
            .unwrap_or_default();
        ArgsError::InvalidCall {
            column: self.column(error.span().start),
            problem: format!("{}{detail}", error.kind()),
        }
    }
}

/// The values to make `call` with, one for each of `params`.
///
/// # Errors
///
/// The first thing that is wrong, with the place.
pub fn args_to_values<V: WasmValue>(params: &[(String, V::Type)], call: &Call) -> Result<Vec<V>, ArgsError> {
    crate::json::args_to_values(params, &call.args(params)?)
}

/// A value as WAVE text.
///
/// # Errors
///
/// [`UnsupportedValue`] if a handle or a map is anywhere in it.
pub fn to_string<V: WasmValue>(value: &V) -> Result<String, UnsupportedValue> {
    if is_supported(value) {
        Ok(DisplayValue(value).to_string())
    } else {
        Err(UnsupportedValue)
    }
}

/// wasm-wave's writer panics at what it can't write, so look first.
fn is_supported<V: WasmValue>(value: &V) -> bool {
    match value.kind() {
        WasmTypeKind::List | WasmTypeKind::FixedLengthList => value.unwrap_list().all(|item| is_supported(&*item)),
        WasmTypeKind::Record => value.unwrap_record().all(|(_, field)| is_supported(&*field)),
        WasmTypeKind::Tuple => value.unwrap_tuple().all(|item| is_supported(&*item)),
        WasmTypeKind::Variant => value.unwrap_variant().1.is_none_or(|payload| is_supported(&*payload)),
        WasmTypeKind::Option => value.unwrap_option().is_none_or(|payload| is_supported(&*payload)),
        WasmTypeKind::Result => match value.unwrap_result() {
            Ok(payload) | Err(payload) => payload.is_none_or(|payload| is_supported(&*payload)),
        },
        kind => kind != WasmTypeKind::Unsupported,
    }
}
