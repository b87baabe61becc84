//! One call of one export in a fresh instance.

use std::{io, sync::Arc};

use propeller_types::{FunctionRef, UnsupportedValue, json, wave};
use serde_json::Value;
use wasmtime::{Store, component::Val};

use super::{Life, Outcome};
use crate::engine::{InvokeError, Limits, Prepared, Sandbox, state::State, traffic::Traffic};

/// What to call, for whom, and with which bounds.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The exported function.
    pub function: FunctionRef,
    /// Its arguments as JSON: an array by position or an object by name. WAVE text becomes this by
    /// [`wave::Call`](propeller_types::wave::Call).
    pub args: Value,
    /// The walls around it.
    pub sandbox: Sandbox,
}

/// What a function returned. The `ok` of a `result` is taken out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    value: Option<Val>,
    json: Option<Value>,
}

impl Returned {
    /// The value as JSON, or nothing if the function returns nothing.
    pub fn json(&self) -> Option<&Value> {
        self.json.as_ref()
    }

    /// The value as [WAVE](https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave) text.
    pub fn wave(&self) -> Option<String> {
        // What has a JSON form has a WAVE form: both fail for handles only.
        self.value.as_ref().and_then(|value| wave::to_string(value).ok())
    }
}

impl Prepared {
    /// Call a function in an instance of its own, on the engine's threads. Dropping the future ends the call too. Who makes the same call many
    /// times passes it as an [`Arc`].
    pub async fn invoke(&self, invocation: impl Into<Arc<Invocation>>) -> Outcome<Returned> {
        let invocation = invocation.into();
        if self.engine().executor().is_here() {
            return run(self, &invocation).await;
        }
        let prepared = self.clone();
        self.drive(async move { run(&prepared, &invocation).await }).await
    }
}

async fn run(prepared: &Prepared, invocation: &Invocation) -> Outcome<Returned> {
    let sandbox = &invocation.sandbox;
    let mut life = Life::begin(prepared, sandbox, &[]);
    let result = life.end(sandbox, |store| call(prepared, store, invocation)).await;
    life.outcome(result)
}

/// Nothing of the guest runs before name and arguments are known to be right.
async fn call(prepared: &Prepared, store: &mut Store<State>, invocation: &Invocation) -> Result<Returned, InvokeError> {
    let limits = &invocation.sandbox.limits;
    let export = prepared.exports().find(prepared, &invocation.function)?;
    let args: Vec<Val> = json::args_to_values(&export.params, &invocation.args)?;
    let traffic = store.data().traffic.clone();
    traffic.gave(text_bytes(&invocation.args));

    let instance = prepared.pre().instantiate_async(&mut *store).await;
    let instance = instance.map_err(|error| InvokeError::from_instantiation(&error, store.data(), limits))?;
    let callee = instance
        .get_func(&mut *store, export.index)
        .ok_or_else(|| InvokeError::host("an instance lacks what its component exports"))?;
    let mut results = vec![Val::Bool(false); export.results];
    let end = callee.call_async(&mut *store, &args, &mut results).await;
    end.map_err(|error| InvokeError::from_guest(&error, store.data(), limits))?;
    returned(results.pop(), limits, &traffic)
}

fn returned(value: Option<Val>, limits: &Limits, traffic: &Traffic) -> Result<Returned, InvokeError> {
    match value {
        Some(Val::Result(Err(error))) => Err(InvokeError::ErrResult {
            value: bounded(error.as_deref(), limits, traffic)?,
        }),
        Some(Val::Result(Ok(ok))) => keep(ok.map(|ok| *ok), limits, traffic),
        value => keep(value, limits, traffic),
    }
}

fn keep(value: Option<Val>, limits: &Limits, traffic: &Traffic) -> Result<Returned, InvokeError> {
    Ok(Returned {
        json: bounded(value.as_ref(), limits, traffic)?,
        value,
    })
}

/// The value as JSON, if its text isn't too long.
fn bounded(value: Option<&Val>, limits: &Limits, traffic: &Traffic) -> Result<Option<Value>, InvokeError> {
    let Some(value) = value else { return Ok(None) };
    let json = json::from_value(value).map_err(|error: UnsupportedValue| InvokeError::host(error))?;
    let bytes = text_bytes(&json);
    if bytes > limits.result {
        return Err(InvokeError::ResultTooLarge { limit: limits.result });
    }
    traffic.took(bytes);
    Ok(Some(json))
}

/// Length of a value's JSON text, without making the text.
fn text_bytes(value: &Value) -> usize {
    struct Length(usize);

    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut length = Length(0);
    // A writer that never fails, and a value that is JSON already.
    let _ = serde_json::to_writer(&mut length, value);
    length.0
}
