//! Task files: read to run what they name, and written for people to start from.

use std::path::Path;

use propeller_api::{API_VERSION, Call, Command, Memory, Resources, Service, Task, TaskSpec};
use propeller_types::{Contract, Function, FunctionRef};
use serde::Serialize;

use crate::{
    component::{Component, Origin},
    failure::Failure,
    settings::read_file,
};

/// Bounds of a Task to start from: generous for an example, and there to be seen.
const MEMORY: Memory = Memory::from_bytes(64 << 20);
const DEADLINE_SECONDS: u32 = 30;

/// Whether a file of that name holds a Task. JSON is a part of YAML.
pub fn is_task(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

/// Reads a Task and checks the rules of its schema.
pub fn read(path: &Path) -> Result<Task, Failure> {
    let bytes = read_file(path)?;
    let task: Task = serde_saphyr::from_slice(&bytes).map_err(|source| Failure::ParseTask {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    task.validate().map_err(|source| Failure::InvalidTask {
        path: path.to_owned(),
        source,
    })?;
    Ok(task)
}

/// A Task to start from, ready to apply.
///
/// Not a [`Task`], which always has a namespace: here it is left to whoever applies it, as in `kubectl apply --namespace`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    api_version: &'static str,
    kind: &'static str,
    metadata: Name,
    spec: TaskSpec,
}

#[derive(Debug, Serialize)]
struct Name {
    name: String,
}

impl Draft {
    /// What the component is made for: a run of the program, or the service that it is, else a call of the first function that can be called,
    /// with example arguments. A `function` that is named is called, whatever it is.
    pub fn new(component: &Component, function: Option<&FunctionRef>) -> Result<Self, Failure> {
        let contract = &component.contract;
        let bounded = TaskSpec {
            image: image(&component.origin),
            resources: Some(Resources { memory: Some(MEMORY) }),
            ..TaskSpec::default()
        };
        let spec = match function {
            None if contract.command().is_some() => TaskSpec {
                command: Some(Command::default()),
                active_deadline_seconds: Some(DEADLINE_SECONDS),
                ..bounded
            },
            // It goes on until it's deleted.
            None if contract.service().is_some() => TaskSpec {
                service: Some(Service::default()),
                ..bounded
            },
            function => TaskSpec {
                call: Some(example_call(contract, function)?),
                active_deadline_seconds: Some(DEADLINE_SECONDS),
                ..bounded
            },
        };
        let name = component.origin.short_name();
        Ok(Self {
            api_version: API_VERSION,
            kind: "Task",
            metadata: Name { name },
            spec,
        })
    }

    /// The reference that the Task names.
    pub fn image(&self) -> &str {
        &self.spec.image
    }

    /// As YAML.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("structs, and maps with text for keys, have a YAML form")
    }
}

/// A file isn't in a registry yet. This is where the examples put theirs.
fn image(origin: &Origin) -> String {
    match origin {
        Origin::File { .. } => format!("localhost:5000/{}:latest", origin.short_name()),
        Origin::Registry(location) => location.reference.to_string(),
    }
}

fn example_call(contract: &Contract, function: Option<&FunctionRef>) -> Result<Call, Failure> {
    let function = match function {
        Some(function) => contract.find(function)?,
        None => first_callable(contract).ok_or(Failure::NothingToCall)?,
    };
    Ok(Call {
        function: shortest_name(function, contract),
        args: function.example_args(),
    })
}

fn first_callable(contract: &Contract) -> Option<&Function> {
    contract.functions().find(|function| function.argument_types().is_ok())
}

/// The bare name where that finds the function.
fn shortest_name(function: &Function, contract: &Contract) -> String {
    let bare = function.name.parse::<FunctionRef>().ok();
    match bare.and_then(|bare| contract.find(&bare).ok()) {
        Some(found) if found.reference() == function.reference() => function.name.clone(),
        _ => function.reference().to_string(),
    }
}
