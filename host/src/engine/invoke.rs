//! One call of one export in a fresh instance.

use std::time::{Duration, Instant};

use propeller_types::{Function, FunctionRef, UnsupportedValue, json, wave};
use serde_json::Value;
use wasmtime::{
    Store,
    component::{ComponentExportIndex, Type, Val, types::ComponentItem},
};

use super::{InvokeError, Limits, Prepared, Sandbox, state::State};

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

/// How a call ended, and what it used.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The value, or why there is none.
    pub result: Result<Returned, InvokeError>,
    /// What it used, however it ended.
    pub figures: Figures,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// From when its turn came to its end, waiting inside included.
    pub wall: Duration,
    /// Most bytes that its memories and tables held together.
    pub peak_memory: u64,
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
    /// Call a function in an instance of its own, on the engine's threads. Dropping the future ends the call too.
    pub async fn invoke(&self, invocation: Invocation) -> Outcome {
        let run = run(self.clone(), invocation);
        self.engine()
            .executor()
            .run(run)
            .await
            .unwrap_or_else(|failure| Outcome {
                result: Err(InvokeError::host(failure)),
                figures: Figures::default(),
            })
    }
}

/// The whole life of an instance. Which of the three ends comes first decides, and the others are dropped with the store.
async fn run(prepared: Prepared, invocation: Invocation) -> Outcome {
    let start = Instant::now();
    let mut store = State::store(prepared.pre().engine(), &invocation.sandbox);
    let deadline = invocation.sandbox.limits.deadline;
    let result = tokio::select! {
        biased;
        () = invocation.sandbox.cancel.cancelled() => Err(InvokeError::Cancelled),
        () = tokio::time::sleep(deadline) => Err(InvokeError::DeadlineExceeded { deadline }),
        result = call(&prepared, &mut store, &invocation) => result,
    };
    let figures = Figures {
        wall: start.elapsed(),
        peak_memory: store.data().memory.peak(),
    };
    Outcome { result, figures }
}

/// Nothing of the guest runs before name and arguments are known to be right.
async fn call(prepared: &Prepared, store: &mut Store<State>, invocation: &Invocation) -> Result<Returned, InvokeError> {
    let limits = &invocation.sandbox.limits;
    let function = prepared.contract().find(&invocation.function)?;
    function.argument_types()?;
    let export = Export::of(prepared, function)?;
    let args: Vec<Val> = json::args_to_values(&export.params, &invocation.args)?;

    let instance = prepared.pre().instantiate_async(&mut *store).await;
    let instance = instance.map_err(|error| InvokeError::from_instantiation(&error, store.data(), limits))?;
    let callee = instance
        .get_func(&mut *store, export.index)
        .ok_or_else(|| missing(function))?;
    let mut results = vec![Val::Bool(false); export.results];
    let end = callee.call_async(&mut *store, &args, &mut results).await;
    end.map_err(|error| InvokeError::from_guest(&error, store.data(), limits))?;
    returned(results.pop(), limits)
}

/// A function as the compiled component has it.
struct Export {
    index: ComponentExportIndex,
    params: Vec<(String, Type)>,
    results: usize,
}

impl Export {
    fn of(prepared: &Prepared, function: &Function) -> Result<Self, InvokeError> {
        let component = prepared.pre().component();
        let interface = match &function.interface {
            Some(name) => Some(
                component
                    .get_export_index(None, name.as_str())
                    .ok_or_else(|| missing(function))?,
            ),
            None => None,
        };
        match component.get_export(interface.as_ref(), function.name.as_str()) {
            Some((ComponentItem::ComponentFunc(ty), index)) => Ok(Self {
                index,
                params: ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect(),
                results: ty.results().len(),
            }),
            _ => Err(missing(function)),
        }
    }
}

/// Contract and compiled code come from the same bytes, so this is for a reader that disagrees with the compiler.
fn missing(function: &Function) -> InvokeError {
    InvokeError::host(format!(
        "the compiled component has no function `{}`",
        function.reference()
    ))
}

fn returned(value: Option<Val>, limits: &Limits) -> Result<Returned, InvokeError> {
    match value {
        Some(Val::Result(Err(error))) => Err(InvokeError::ErrResult {
            value: bounded(error.as_deref(), limits)?,
        }),
        Some(Val::Result(Ok(ok))) => keep(ok.map(|ok| *ok), limits),
        value => keep(value, limits),
    }
}

fn keep(value: Option<Val>, limits: &Limits) -> Result<Returned, InvokeError> {
    Ok(Returned {
        json: bounded(value.as_ref(), limits)?,
        value,
    })
}

/// The value as JSON, if its text isn't too long.
fn bounded(value: Option<&Val>, limits: &Limits) -> Result<Option<Value>, InvokeError> {
    let Some(value) = value else { return Ok(None) };
    let json = json::from_value(value).map_err(|error: UnsupportedValue| InvokeError::host(error))?;
    if json.to_string().len() > limits.result {
        return Err(InvokeError::ResultTooLarge { limit: limits.result });
    }
    Ok(Some(json))
}
