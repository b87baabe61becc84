//! `propeller run`: one call of one function, in the sandbox that a proplet has.

use std::{fmt, time::Duration};

use propeller_api::{Memory, Task};
use propeller_host::engine::{
    Engine, EngineConfig, Granted, Invocation, Limits, Output as GuestOutput, Returned, Sandbox, TaskContext,
};
use serde::{Serialize, Serializer};

use crate::{
    args::Run,
    call::{Call, Wanted},
    component::{Access, Component},
    failure::Failure,
    source::Source,
    task,
};

/// Room for a component from any toolchain, and little enough for any machine.
const DEFAULT_MEMORY: Memory = Memory::from_bytes(256 << 20);

/// A person is there to press Ctrl-C.
const NO_DEADLINE: Duration = Duration::MAX;

/// What the function returned: the value alone, in JSON as in text.
#[derive(Debug)]
pub struct Value(Returned);

/// Runs it.
pub async fn run(args: &Run, access: &Access<'_>) -> Result<Value, Failure> {
    let order = Order::new(args)?;
    let component = Component::load(&order.source, access).await?;
    let call = order.wanted.fit(&component.contract)?;
    let task = order
        .task
        .unwrap_or_else(|| context("default", &component.origin.short_name()));
    invoke(component, call, order.limits, task).await.map(Value)
}

/// What a command line and perhaps a Task ask for, before anything is fetched.
struct Order {
    source: Source,
    wanted: Wanted,
    limits: Limits,
    /// What the component is told, if a Task has a say in it.
    task: Option<TaskContext>,
}

impl Order {
    fn new(args: &Run) -> Result<Self, Failure> {
        let (source, task) = match Source::find(&args.source)? {
            Source::File(path) if task::is_task(&path) => {
                let task = task::read(&path)?;
                let image = match &args.image {
                    Some(image) => Source::find(image)?,
                    None => Source::Reference(task.spec.image.parse().map_err(propeller_artifact::Error::from)?),
                };
                (image, Some(task))
            }
            _ if args.image.is_some() => return Err(Failure::ImageWithoutTask(args.source.clone())),
            source => (source, None),
        };
        let call = task.as_ref().and_then(|task| task.spec.call.as_ref());
        Ok(Self {
            source,
            wanted: Wanted::new(args.call.as_deref(), args.function.clone(), args.args.as_deref(), call)?,
            limits: limits(args, task.as_ref()),
            task: task.map(|task| context(&task.metadata.namespace, &task.metadata.name)),
        })
    }
}

/// Flags first, then the Task. The result's bound is a report's, so that what runs here also runs on a proplet.
fn limits(args: &Run, task: Option<&Task>) -> Limits {
    let spec = task.map(|task| &task.spec);
    let memory = spec.and_then(|spec| spec.resources.as_ref()?.memory);
    let seconds = spec.and_then(|spec| spec.active_deadline_seconds);
    let deadline = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    Limits {
        memory: args.memory.or(memory).unwrap_or(DEFAULT_MEMORY).bytes(),
        deadline: args
            .timeout
            .map(|timeout| timeout.0)
            .or(deadline)
            .unwrap_or(NO_DEADLINE),
        result: Limits::DEFAULT_RESULT_BYTES,
    }
}

/// A uid of its own for each run: a component may take it for the key of a side effect.
fn context(namespace: &str, name: &str) -> TaskContext {
    TaskContext {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uuid::Uuid::new_v4().to_string(),
        attempt: 1,
    }
}

async fn invoke(component: Component, call: Call, limits: Limits, task: TaskContext) -> Result<Returned, Failure> {
    let engine = Engine::new(EngineConfig::default())?;
    let prepared = engine.prepare(&component.digest, component.bytes).await?;
    tracing::debug!(digest = %component.digest, "compiled");
    let sandbox = Sandbox {
        limits,
        task,
        grants: Granted::default(),
        output: GuestOutput::Stderr,
        // Never cancelled: Ctrl-C drops the future, which ends the call as well.
        cancel: Default::default(),
    };
    let invocation = Invocation {
        function: call.function,
        args: call.args,
        sandbox,
    };
    let outcome = prepared.invoke(invocation).await;
    tracing::info!(wall = ?outcome.figures.wall, peak_memory = outcome.figures.peak_memory, "the call ended");
    Ok(outcome.result?)
}

/// As WAVE. A function that returns nothing has no text.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.wave().unwrap_or_default())
    }
}

/// As JSON. A function that returns nothing gives null.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const TASK: &str = "
        {apiVersion: propeller.dev/v1alpha1, kind: Task, metadata: {name: a, namespace: lab},
         spec: {image: 'localhost:5000/a:1', call: {function: f}, resources: {memory: 64Mi}, activeDeadlineSeconds: 30}}";

    fn order(line: &str) -> Result<Order, Failure> {
        let line = ["propeller", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(line).unwrap().command {
            Command::Run(args) => Order::new(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_count_more_than_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.yaml");
        std::fs::write(&path, TASK).unwrap();
        let check = |flags: &str, source: &str, memory: u64, seconds: u64| {
            let order = order(&format!("{} {flags}", path.display())).unwrap();
            assert_eq!(order.source, Source::find(source).unwrap());
            assert_eq!(
                (order.limits.memory, order.limits.deadline),
                (memory, Duration::from_secs(seconds))
            );
            let task = order.task.unwrap();
            assert_eq!(
                (task.namespace.as_str(), task.name.as_str(), task.attempt),
                ("lab", "a", 1)
            );
        };
        check("", "localhost:5000/a:1", 64 << 20, 30);
        check("--image b.wasm", "b.wasm", 64 << 20, 30);
        check("--memory 1Mi --timeout 2m", "localhost:5000/a:1", 1 << 20, 120);
    }

    #[test]
    fn without_a_task_there_are_defaults() {
        let order = order("a.wasm").unwrap();
        assert_eq!((order.limits.memory, order.limits.deadline), (256 << 20, NO_DEADLINE));
        assert!(order.task.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |line: &str, reason: &str| assert_eq!(order(line).map(drop).unwrap_err().reason(), reason);
        check("nothing", "UnknownSource");
        check("a.wasm --image b.wasm", "Usage");
        check("no-such-task.yaml", "ReadFailed");
    }
}
