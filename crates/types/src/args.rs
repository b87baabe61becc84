//! A call's arguments, by position or by name.

use serde_json::{Map, Value};
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue};

use crate::{
    ArgsError,
    json::Converter,
    text::{Place, clip, expected, found, list},
};

/// The values to call a function with, one for each of `params`, from the arguments that people gave.
///
/// The types may come from [`Function::argument_types`](crate::Function::argument_types) or from Wasmtime: the outcome
/// is the same.
///
/// # Errors
///
/// The first thing that is wrong, with the place.
pub fn args_to_values<V: WasmValue>(params: &[(String, V::Type)], args: &Value) -> Result<Vec<V>, ArgsError> {
    match args {
        Value::Null => by_position(params, &[]),
        Value::Array(args) => by_position(params, args),
        Value::Object(args) => by_name(params, args),
        other => {
            let problem = format!(
                "expected an array by position or an object by name, found {}",
                found(other)
            );
            Err(Place::Args.wrong(problem))
        }
    }
}

fn by_position<V: WasmValue>(params: &[(String, V::Type)], args: &[Value]) -> Result<Vec<V>, ArgsError> {
    if args.len() > params.len() {
        return Err(ArgsError::TooManyArguments {
            expected: params.len(),
            found: args.len(),
        });
    }
    let (given, left) = params.split_at(args.len());
    if left.iter().any(|(_, ty)| ty.kind() != WasmTypeKind::Option) {
        let missing = list(
            left.iter()
                .map(|(name, ty)| format!("`{}` ({})", clip(name), expected(ty))),
        );
        return Err(ArgsError::TooFewArguments {
            expected: params.len(),
            found: args.len(),
            missing,
        });
    }
    let mut converter = Converter::default();
    let mut values = Vec::with_capacity(params.len());
    for (index, ((_, ty), json)) in given.iter().zip(args).enumerate() {
        values.push(converter.value(ty, json, Place::Args.index(index))?);
    }
    for (name, ty) in left {
        values.push(converter.omitted(ty, Place::Args.name(name))?);
    }
    Ok(values)
}

fn by_name<V: WasmValue>(params: &[(String, V::Type)], args: &Map<String, Value>) -> Result<Vec<V>, ArgsError> {
    if let Some(name) = args.keys().find(|key| !params.iter().any(|(name, _)| name == *key)) {
        return Err(unknown(name, params));
    }
    let mut converter = Converter::default();
    let mut value = |(name, ty): &(String, V::Type)| match args.get(name) {
        Some(json) => converter.value(ty, json, Place::Args.name(name)),
        None if ty.kind() == WasmTypeKind::Option => converter.omitted(ty, Place::Args.name(name)),
        None => Err(ArgsError::MissingArgument {
            name: clip(name),
            expected: format!("expected {}", expected(ty)),
        }),
    };
    params.iter().map(&mut value).collect()
}

fn unknown<T>(name: &str, params: &[(String, T)]) -> ArgsError {
    let known = match params {
        [] => "the function takes no arguments".to_owned(),
        params => format!("the parameters are {}", list(params.iter().map(|(name, _)| name))),
    };
    ArgsError::UnknownArgument {
        name: clip(name),
        known,
    }
}
