//! One attempt from its start to its end: fetch, prepare, run.

use std::{future::Future, sync::Arc, time::Duration};

use propeller_api::Work;
use propeller_artifact::{Client, Progress, Reference};
use propeller_delivery::ledger::Started;
use propeller_protocol::Start;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Begun, Room, service::Keep};
use crate::{
    engine::{self, Engine, Granted, Invocation, LineLimits, Prepared, Program, Sandbox, Stdio, lines},
    proplet::{
        config::{ServiceSettings, TaskSettings},
        gate::{self, Rules},
        limits::Limits,
        logs::{self, Batch},
        metrics::{Metrics, Source},
        outcome::{Run, RunError},
        telemetry,
    },
};

/// For a guest that is told to end, to do so and to say what it used. What takes longer is dropped. With [`LAST_LINES`] it leaves time within
/// the second in which everything that is stopped ends.
const PATIENCE: Duration = Duration::from_millis(500);
/// For the last lines of a run to be told before its end is.
const LAST_LINES: Duration = Duration::from_millis(200);

/// What every run needs.
pub struct Workshop {
    /// Compiles and runs.
    pub engine: Engine,
    /// Fetches.
    pub artifacts: Client,
    /// Holds what was fetched until it is compiled.
    pub room: Room,
    /// What one task gets.
    pub settings: TaskSettings,
    /// Where services listen.
    pub service: ServiceSettings,
    /// What tasks may be granted.
    pub rules: Arc<Rules>,
    /// Takes what tasks write.
    pub logs: mpsc::Sender<Batch>,
    /// Counts.
    pub metrics: Metrics,
}

/// An attempt that is to run.
pub(super) struct Job {
    pub(super) start: Start,
    pub(super) limits: Limits,
    pub(super) deadline: Option<Instant>,
    /// It was told to wait, so that it runs now is news.
    pub(super) waited: bool,
    pub(super) cancel: CancellationToken,
    pub(super) begun: mpsc::UnboundedSender<Begun>,
    pub(super) workshop: Arc<Workshop>,
}

impl Job {
    /// From here to the attempt's end.
    pub(super) async fn run(self) -> Run {
        let span = telemetry::attempt(&self.start);
        let run = self.steps().instrument(span.clone()).await;
        telemetry::ended(&span, &run);
        run
    }

    /// Whatever is waited for, the end comes when it is due: what is dropped then goes on for others who want the same component, or ends.
    async fn steps(self) -> Run {
        let prepared = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(RunError::Stopped),
            () = until(self.deadline) => Err(RunError::Late),
            prepared = async { tokio::try_join!(self.prepare(), self.grants()) } => prepared,
        };
        match prepared {
            Ok((prepared, granted)) => self.work(prepared, granted).await,
            Err(error) => Run::failed(error),
        }
    }

    /// From memory, else from the disk, else from the registry.
    async fn prepare(&self) -> Result<Prepared, RunError> {
        let Workshop {
            engine,
            artifacts,
            metrics,
            room,
            ..
        } = &*self.workshop;
        let digest = &self.start.component;
        let warm = async || {
            let prepared = engine.warm(digest).await?;
            metrics.prepared(Source::Warm);
            Some(prepared)
        };
        if let Some(prepared) = warm().await {
            return Ok(prepared);
        }
        let reference = self.reference().await?;
        let mut held = room.enter().await;
        // Others who wanted the same may have been first.
        if let Some(prepared) = warm().await {
            return Ok(prepared);
        }
        let (unwatched, begin) = (Progress::none(), Instant::now());
        let artifact = artifacts.fetch_digest(&reference, digest, &unwatched);
        let artifact = artifact.instrument(telemetry::step("fetch")).await?;
        metrics.fetched(begin.elapsed());
        held.shrink(artifact.bytes.len());
        let begin = Instant::now();
        let prepared = engine.prepare(digest, artifact.bytes);
        let prepared = prepared.instrument(telemetry::step("prepare")).await?;
        metrics.compiled(begin.elapsed());
        metrics.prepared(Source::Cold);
        Ok(prepared)
    }

    /// Where to fetch from. Not on this thread: the first reference that a process reads makes a large automaton, and meanwhile a stop
    /// wouldn't be seen.
    async fn reference(&self) -> Result<Reference, RunError> {
        let image = self.start.image.clone();
        Ok(tokio::task::spawn_blocking(move || image.parse()).await??)
    }

    /// What was allowed when the start came in, opened now: a start that waits holds no directories open.
    async fn grants(&self) -> Result<Granted, RunError> {
        if self.start.grants.is_none() {
            return Ok(Granted::default());
        }
        let (rules, start) = (Arc::clone(&self.workshop.rules), self.start.clone());
        Ok(tokio::task::spawn_blocking(move || rules.grant(&start)).await??)
    }

    async fn work(self, prepared: Prepared, granted: Granted) -> Run {
        // A service tells when it listens.
        if self.waited && !matches!(self.start.work, Work::Service(_)) {
            // If the receiver is gone, so is the proplet.
            let _ = self.begun.send((self.start.attempt.clone(), Started::default()));
        }
        let (lines, reader) = lines(self.line_limits());
        let telling = logs::tell(reader, self.start.attempt.clone(), self.workshop.logs.clone());
        let telling = tokio::spawn(telling);
        let cancel = self.cancel.clone();
        let act = self.act(prepared, granted, Stdio::Lines(lines));
        let run = or_dropped(cancel, act.instrument(telemetry::step("run"))).await;
        // What comes later than this is told after the end. A task of its own, it goes on.
        let _ = timeout(LAST_LINES, telling).await;
        run
    }

    async fn act(self, prepared: Prepared, granted: Granted, stdio: Stdio) -> Run {
        let sandbox = self.sandbox(granted, stdio);
        match self.start.work {
            Work::Call(call) => match call.function.parse() {
                Ok(function) => {
                    let args = call.args;
                    let invocation = Invocation {
                        function,
                        args,
                        sandbox,
                    };
                    prepared.invoke(invocation).await.into()
                }
                Err(error) => Run::failed(RunError::Function(error)),
            },
            Work::Command(command) => {
                let (name, args) = (self.start.attempt.task.name, command.args);
                prepared.command(Program { name, args, sandbox }).await.into()
            }
            Work::Service(service) => {
                let keep = Keep {
                    attempt: self.start.attempt,
                    prepared,
                    sandbox,
                    settings: self.workshop.service.clone(),
                    begun: self.begun,
                    metrics: self.workshop.metrics.clone(),
                };
                keep.up(service.port).await
            }
        }
    }

    fn sandbox(&self, grants: Granted, stdio: Stdio) -> Sandbox {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        Sandbox {
            limits: engine::Limits {
                memory: self.limits.memory.bytes(),
                deadline: self.deadline.map_or(Duration::MAX, left),
                result: self.workshop.settings.max_result,
            },
            task: gate::context(&self.start).into(),
            grants,
            stdio,
            cancel: self.cancel.clone(),
        }
    }

    fn line_limits(&self) -> LineLimits {
        let settings = &self.workshop.settings;
        LineLimits {
            rate: settings.log_bytes_per_second,
            burst: settings.log_bytes_per_second.saturating_mul(4),
            total: settings.log_bytes,
            ..LineLimits::default()
        }
    }
}

/// The run, or that it was stopped: a guest in a host call that doesn't return is left to its thread.
async fn or_dropped(cancel: CancellationToken, run: impl Future<Output = Run>) -> Run {
    let overdue = async {
        cancel.cancelled().await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        biased;
        run = run => run,
        () = overdue => Run::failed(RunError::Stopped),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
