//! Runs attempts, each as a task of its own, and knows of each until it has told how it ended.
//!
//! Every run ends in exactly one outcome, also one that panics: the set of tasks tells of those too. Nothing here decides whether an
//! attempt should run.

use std::{collections::HashMap, sync::Arc};

use propeller_api::Work;
use propeller_artifact::{Client, Progress, Reference};
use propeller_protocol::{AttemptRef, Outcome, Start};
use propeller_types::FunctionRef;
use serde_json::Value;
use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::TaskSettings,
    limits::Limits,
    outcome::{Run, RunError, Why, outcome},
};
use crate::engine::{self, Engine, Granted, Invocation, Prepared, Sandbox, Stdio, TaskContext};

/// Runs attempts.
pub struct Supervisor {
    workshop: Arc<Workshop>,
    settings: TaskSettings,
    runs: JoinSet<Run>,
    running: HashMap<Id, Running>,
}

/// What every run needs.
struct Workshop {
    engine: Engine,
    artifacts: Client,
}

struct Running {
    attempt: AttemptRef,
    limits: Limits,
    cancel: CancellationToken,
    /// Who cancelled, the first one.
    why: Option<Why>,
}

impl Supervisor {
    /// Runs nothing yet.
    pub fn new(engine: Engine, artifacts: Client, settings: TaskSettings) -> Self {
        Self {
            workshop: Arc::new(Workshop { engine, artifacts }),
            settings,
            runs: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Runs an attempt. Its deadline counts from now.
    pub fn run(&mut self, start: Start) {
        let limits = Limits::new(&start.limits, &self.settings);
        let cancel = CancellationToken::new();
        let attempt = start.attempt.clone();
        let run = Arc::clone(&self.workshop).run(start, limits, cancel.clone());
        let id = self.runs.spawn(run).id();
        let running = Running {
            attempt,
            limits,
            cancel,
            why: None,
        };
        self.running.insert(id, running);
    }

    /// Ends an attempt, if it runs. [`Supervisor::ended`] tells when it has.
    pub fn cancel(&mut self, attempt: &AttemptRef) {
        self.end(Why::Cancelled, |running| running.attempt == *attempt);
    }

    /// Ends every attempt, because the proplet ends.
    pub fn interrupt(&mut self) {
        self.end(Why::Interrupted, |_| true);
    }

    fn end(&mut self, why: Why, which: impl Fn(&Running) -> bool) {
        for running in self.running.values_mut().filter(|running| which(running)) {
            running.why.get_or_insert(why);
            running.cancel.cancel();
        }
    }

    /// How many attempts run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The next attempt that has ended, or none while nothing runs. Can be cancelled without losing one.
    pub async fn ended(&mut self) -> Option<(AttemptRef, Outcome)> {
        let (id, run) = match self.runs.join_next_with_id().await? {
            Ok((id, run)) => (id, run),
            Err(error) => (error.id(), Run::failed(error)),
        };
        let Running {
            attempt, limits, why, ..
        } = self.running.remove(&id)?;
        Some((attempt, outcome(run, &limits, why)))
    }
}

impl Workshop {
    /// Whatever is waited for, the end comes when it is due: what is dropped then goes on for others who want the same component, or ends.
    async fn run(self: Arc<Self>, start: Start, limits: Limits, cancel: CancellationToken) -> Run {
        let deadline = Instant::now() + limits.deadline;
        let prepared = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(RunError::Stopped),
            () = tokio::time::sleep_until(deadline) => Err(RunError::Late),
            prepared = self.prepare(&start) => prepared,
        };
        match prepared {
            Ok((prepared, function)) => {
                let invocation = invocation(start, function, limits, deadline, cancel);
                prepared.invoke(invocation).await.into()
            }
            Err(error) => Run::failed(error),
        }
    }

    /// From memory, else from the disk, else from the registry.
    async fn prepare(&self, start: &Start) -> Result<(Prepared, FunctionRef), RunError> {
        let Work::Call(call) = &start.work else {
            return Err(RunError::NotACall);
        };
        let function = call.function.parse()?;
        let reference: Reference = start.image.parse()?;
        let digest = &start.component;
        if let Some(prepared) = self.engine.warm(digest).await {
            return Ok((prepared, function));
        }
        let unwatched = Progress::none();
        let artifact = self.artifacts.fetch_digest(&reference, digest, &unwatched).await?;
        Ok((self.engine.prepare(digest, artifact.bytes).await?, function))
    }
}

fn invocation(
    start: Start,
    function: FunctionRef,
    limits: Limits,
    deadline: Instant,
    cancel: CancellationToken,
) -> Invocation {
    let AttemptRef { task, attempt } = start.attempt;
    let args = match start.work {
        Work::Call(call) => call.args,
        Work::Command(_) | Work::Service(_) => Value::Null,
    };
    let sandbox = Sandbox {
        limits: engine::Limits {
            memory: limits.memory.bytes(),
            deadline: deadline.saturating_duration_since(Instant::now()),
            result: engine::Limits::DEFAULT_RESULT_BYTES,
        },
        task: TaskContext {
            namespace: task.namespace,
            name: task.name,
            uid: task.uid,
            attempt,
        },
        grants: Granted::default(),
        stdio: Stdio::Discard,
        cancel,
    };
    Invocation {
        function,
        args,
        sandbox,
    }
}
