//! One exported function and its signature.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::Value;
use wasm_wave::{
    value::{Type, Value as WaveValue},
    wasm::WasmType,
};

use crate::{ArgsError, FunctionRef, WitType, args, example, text::clip};

/// A function that a component exports, in an interface or bare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// The interface that exports it, with its version; none for a function exported by the world itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its own name, such as `add`; functions of a resource are called `[method]blob.read`.
    pub name: String,
    /// What it takes, in order.
    pub params: Vec<Param>,
    /// What it gives; many functions give nothing.
    pub result: Option<WitType>,
    /// Whether the component says that it may block: an `async func`.
    #[serde(rename = "async")]
    pub is_async: bool,
}

/// A parameter of a [`Function`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name in kebab-case, by which arguments can be given.
    pub name: String,
    /// What it takes.
    pub ty: WitType,
}

/// With the type as WIT text, and as a schema of its JSON.
impl Serialize for Param {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut param = serializer.serialize_struct("Param", 3)?;
        param.serialize_field("name", &self.name)?;
        param.serialize_field("type", &self.ty)?;
        param.serialize_field("schema", &self.ty.schema())?;
        param.end()
    }
}

impl Function {
    /// The name that finds this function and no other.
    pub fn reference(&self) -> FunctionRef {
        FunctionRef::new(self.interface.as_deref(), &self.name)
    }

    /// The parameters' names and types, as [`json::args_to_values`](crate::json::args_to_values) takes them.
    ///
    /// # Errors
    ///
    /// [`ArgsError::UnsupportedType`] if a parameter or the result holds a handle: resources, streams and futures live
    /// inside an instance, and a call from outside has none to give.
    pub fn argument_types(&self) -> Result<Vec<(String, Type)>, ArgsError> {
        if let Some(result) = &self.result {
            value_type(result, || format!("the result ({result})"))?;
        }
        let typed = |param: &Param| {
            let ty = value_type(&param.ty, || {
                format!("parameter `{}` ({})", clip(&param.name), param.ty)
            })?;
            Ok((param.name.clone(), ty))
        };
        self.params.iter().map(typed).collect()
    }

    /// Whether `args`, an array by position or an object by parameter name, can be passed to this function.
    ///
    /// It does everything that the host will do before the call, so what passes here isn't refused there.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the place.
    pub fn check_args(&self, args: &Value) -> Result<(), ArgsError> {
        args::args_to_values::<WaveValue>(&self.argument_types()?, args).map(drop)
    }

    /// What the function returned, as WAVE text, from its JSON form: the `ok` of a `result` is taken out of that. Nothing, if the function
    /// returns nothing, or the JSON isn't of its type.
    pub fn result_as_wave(&self, json: &Value) -> Option<String> {
        let ty = self.result.as_ref()?.value_type().ok()?;
        let ty = match ty.result_types() {
            Some((ok, _)) => ok?,
            None => ty.clone(),
        };
        let values =
            args::args_to_values::<WaveValue>(&[(String::new(), ty)], &Value::Array(vec![json.clone()])).ok()?;
        crate::wave::to_string(values.first()?).ok()
    }

    /// Arguments to start from, by name: a zero, an empty string, a first case for each parameter. They pass
    /// [`Self::check_args`] if the function can be called at all; what can't be passed is null.
    pub fn example_args(&self) -> Value {
        let example = |param: &Param| {
            (
                param.name.clone(),
                param.ty.value_type().map_or(Value::Null, example::value),
            )
        };
        self.params.iter().map(example).collect()
    }
}

fn value_type(ty: &WitType, place: impl FnOnce() -> String) -> Result<Type, ArgsError> {
    match ty.value_type() {
        Ok(ty) => Ok(ty.clone()),
        Err(why) => Err(ArgsError::UnsupportedType {
            place: place(),
            why: why.to_owned(),
        }),
    }
}

/// As in WIT: `add: func(a: s32, b: s32) -> s32`.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = if self.is_async { "async func" } else { "func" };
        write!(f, "{}: {keyword}(", self.name)?;
        for (index, param) in self.params.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {}", param.name, param.ty)?;
        }
        f.write_str(")")?;
        self.result.as_ref().map_or(Ok(()), |result| write!(f, " -> {result}"))
    }
}
