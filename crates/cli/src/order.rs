//! What a command line and perhaps a Task ask for, before anything is fetched.

use std::time::Duration;

use propeller_api::{BucketScope, Grants, Memory, Task, TaskSpec, Work};
use propeller_host::engine::{Granted, KeyValue, Limits, Means, Policy, Sandbox, Stdio, TaskContext};

use crate::{
    args::{Run, Timeout},
    component::Origin,
    exit::Ran,
    failure::{Failure, Known},
    grants::GrantArgs,
    settings::Environment,
    source::Source,
    task,
};

/// Room for a component from any toolchain, and little enough for any machine.
const DEFAULT_MEMORY: Memory = Memory::from_bytes(256 << 20);

/// A person is there to press Ctrl-C.
const NO_DEADLINE: Duration = Duration::MAX;

/// A component, and the Task that it was named in.
pub struct Order {
    pub source: Source,
    task: Option<Task>,
}

impl Order {
    /// Reads the Task if it's one. `image` is named in its place.
    pub fn new(source: &str, image: Option<&str>, known: &mut Known) -> Result<Self, Failure> {
        match Source::find(source)? {
            Source::File(path) if task::is_task(&path) => {
                let task = task::read(&path)?;
                if matches!(task.spec.work(), Some(Work::Call(_) | Work::Service(_))) {
                    known.ran = Ran::NoProgram;
                }
                let source = match image {
                    Some(image) => Source::find(image)?,
                    None => Source::Reference(task.spec.image.parse().map_err(propeller_artifact::Error::from)?),
                };
                let task = Some(task);
                Ok(Self { source, task })
            }
            _ if image.is_some() => Err(Failure::ImageWithoutTask(source.to_owned())),
            source => Ok(Self { source, task: None }),
        }
    }

    /// What the Task does, if there is one.
    pub fn work(&self) -> Option<Work> {
        self.task.as_ref()?.spec.work()
    }

    /// What the flags grant, and the Task.
    pub fn grants(&self, args: &GrantArgs) -> Result<Grants, Failure> {
        args.on_top_of(self.task.as_ref().and_then(|task| task.spec.grants.as_ref()))
    }

    /// The spec of a Task that does the same on a proplet, for whoever fills in the component and the work.
    pub fn spec(&self, args: &Run) -> Result<TaskSpec, Failure> {
        let mut spec = self.task.as_ref().map(|task| task.spec.clone()).unwrap_or_default();
        let grants = args.grants.for_a_proplet(spec.grants.as_ref())?;
        spec.grants = Some(grants).filter(|grants| !grants.is_empty());
        if let Some(memory) = args.memory {
            spec.resources.get_or_insert_default().memory = Some(memory);
        }
        if let Some(Timeout(timeout)) = args.timeout {
            // A Task counts seconds.
            let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
            spec.active_deadline_seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        Ok(spec)
    }

    /// Flags first, then the Task. The result's bound is a report's, so that what runs here also runs on a proplet.
    pub fn limits(&self, memory: Option<Memory>, timeout: Option<Timeout>) -> Limits {
        let spec = self.task.as_ref().map(|task| &task.spec);
        let of_task = spec.and_then(|spec| spec.resources.as_ref()?.memory);
        let seconds = spec.and_then(|spec| spec.active_deadline_seconds);
        let deadline = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        Limits {
            memory: memory.or(of_task).unwrap_or(DEFAULT_MEMORY).bytes(),
            deadline: timeout.map(|timeout| timeout.0).or(deadline).unwrap_or(NO_DEADLINE),
            result: Limits::DEFAULT_RESULT_BYTES,
        }
    }

    /// A uid of its own for each run: a component may take it for the key of a side effect.
    pub fn context(&self, origin: &Origin) -> TaskContext {
        let (namespace, name) = match &self.task {
            Some(task) => (task.metadata.namespace.clone(), task.metadata.name.clone()),
            None => ("default".to_owned(), origin.short_name()),
        };
        TaskContext {
            namespace,
            name,
            uid: uuid::Uuid::new_v4().to_string(),
            attempt: 1,
        }
    }
}

/// The walls of a run here, where who runs a component is who grants.
pub fn sandbox(
    limits: Limits,
    task: TaskContext,
    grants: &Grants,
    stdio: Stdio,
    environment: &Environment,
) -> Result<Sandbox, Failure> {
    let means = Means {
        keyvalue: environment.keyvalue().map(KeyValue::at),
        ..Means::system()
    };
    Ok(Sandbox {
        limits,
        grants: Granted::check(grants, &Policy::anything(), &task, &means)?,
        task: task.into(),
        stdio,
        // Nobody cancels a call or a program: Ctrl-C drops the future, which ends it as well.
        cancel: Default::default(),
    })
}

/// Nobody else ever has this run's uid, so nobody could read what it kept for itself, or remove it.
pub fn forget(uid: &str, grants: &Grants, environment: &Environment) {
    let kept = grants.keyvalue.iter().any(|bucket| bucket.scope == BucketScope::Task);
    if let Some(path) = environment.keyvalue().filter(|_| kept)
        && let Err(error) = KeyValue::at(path).forget(uid)
    {
        tracing::info!("what the run kept for itself stays: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "
        {apiVersion: propeller.dev/v1alpha1, kind: Task, metadata: {name: a, namespace: lab},
         spec: {image: 'localhost:5000/a:1', call: {function: f}, resources: {memory: 64Mi}, activeDeadlineSeconds: 30}}";

    #[test]
    fn flags_count_more_than_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.yaml");
        std::fs::write(&path, TASK).unwrap();
        let check =
            |image: Option<&str>, flags: (Option<&str>, Option<&str>), source: &str, memory: u64, seconds: u64| {
                let order = Order::new(path.to_str().unwrap(), image, &mut Known::default()).unwrap();
                assert_eq!(order.source, Source::find(source).unwrap());
                let (bytes, timeout) = (
                    flags.0.map(|text| text.parse().unwrap()),
                    flags.1.map(|text| text.parse().unwrap()),
                );
                let limits = order.limits(bytes, timeout);
                assert_eq!((limits.memory, limits.deadline), (memory, Duration::from_secs(seconds)));
                let task = order.context(&Origin::File { file: "b.wasm".into() });
                assert_eq!(
                    (task.namespace.as_str(), task.name.as_str(), task.attempt),
                    ("lab", "a", 1)
                );
            };
        check(None, (None, None), "localhost:5000/a:1", 64 << 20, 30);
        check(Some("b.wasm"), (None, None), "b.wasm", 64 << 20, 30);
        check(None, (Some("1Mi"), Some("2m")), "localhost:5000/a:1", 1 << 20, 120);
    }

    #[test]
    fn without_a_task_there_are_defaults() {
        let order = Order::new("a.wasm", None, &mut Known::default()).unwrap();
        let limits = order.limits(None, None);
        assert_eq!((limits.memory, limits.deadline), (256 << 20, NO_DEADLINE));
        let task = order.context(&Origin::File {
            file: "my_b.wasm".into(),
        });
        assert_eq!((task.namespace.as_str(), task.name.as_str()), ("default", "my-b"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |source: &str, image: Option<&str>, reason: &str| {
            let failure = Order::new(source, image, &mut Known::default()).err();
            assert_eq!(failure.as_ref().map(Failure::reason), Some(reason));
        };
        check("nothing", None, "UnknownSource");
        check("a.wasm", Some("b.wasm"), "Usage");
        check("no-such-task.yaml", None, "ReadFailed");
    }

    #[test]
    fn a_failure_of_a_task_that_calls_is_no_programs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.yaml");
        for (work, ran) in [("call: {function: f}", Ran::NoProgram), ("command: {}", Ran::Program)] {
            let task = TASK.replace("call: {function: f}", work);
            std::fs::write(&path, task).unwrap();
            let mut known = Known {
                ran: Ran::Program,
                figures: None,
            };
            let order = Order::new(path.to_str().unwrap(), Some("nothing"), &mut known);
            assert!(matches!(order.err(), Some(Failure::UnknownSource { .. })));
            assert_eq!(known.ran, ran);
        }
    }
}
