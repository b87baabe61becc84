//! The brain at work: [`propeller_delivery::brain`] decides, and here is what it decides with and who does what it wants.
//!
//! Nothing here knows Kubernetes, MQTT, a registry or a file: those are behind [`Store`], [`Resolver`] and two channels.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use propeller_api::{NamespacedName, Proplet, Task, Work};
use propeller_delivery::plan::Resolved;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use propeller_delivery::brain::{
    About, Bus, Change, Config, Event, Notice, Outgoing, ReadError, Severity, Trouble, WriteError,
};
use propeller_delivery::brain::{Brain, Done, Job, Moment, Output, WRITES};

use crate::{logs::Logs, metrics::Metrics};

/// How long a shutdown waits for writes under way, so that their messages are sent.
const FAREWELL: Duration = Duration::from_secs(5);

/// A wall clock. Handed in, so that tests have their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where resources live, as the brain needs it, and a place to tell people what happened.
pub trait Store: Send + Sync + 'static {
    /// Writes `task.status`, if the stored task still has the uid and the resource version of `task`. Returns the task as stored.
    fn write_status(&self, task: &Task) -> impl Future<Output = Result<Task, WriteError>> + Send;

    /// The task as it is now, past any cache; `None` if there is none of that name.
    fn read(&self, key: &NamespacedName) -> impl Future<Output = Result<Option<Task>, ReadError>> + Send;

    /// Deletes the task, under the same conditions as a write.
    fn delete(&self, task: &Task) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Writes `proplet.status`, under the same conditions as a task's.
    fn write_proplet_status(&self, proplet: &Proplet) -> impl Future<Output = Result<Proplet, WriteError>> + Send;

    /// Makes a Proplet that isn't there yet. [`WriteError::Conflict`] if one of that name is.
    fn create_proplet(&self, proplet: &Proplet) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Tells people. Never waits; what can't be told is dropped.
    fn tell(&self, notice: Notice);
}

/// Resolves references and checks what is to run. It bounds by itself how much it does at once.
pub trait Resolver: Send + Sync + 'static {
    /// The digest that `image` stands for now, if `work` fits that component.
    fn resolve(&self, image: &str, work: &Work) -> impl Future<Output = Result<Resolved, Trouble>> + Send;
}

/// What a brain works with.
pub struct Parts<S, R> {
    /// What it is told once.
    pub config: Config,
    /// Where resources live.
    pub store: Arc<S>,
    /// What resolves references.
    pub resolver: Arc<R>,
    /// Messages for proplets. When it is full they are dropped, which is repaired later: see [`Outgoing`].
    pub outbox: mpsc::Sender<Outgoing>,
    /// Becomes true when both caches are in sync. The shell connects to the broker then: what arrived earlier couldn't be judged.
    pub in_sync: watch::Sender<bool>,
    /// Where lines that tasks write are kept, if they are.
    pub logs: Option<Logs>,
    /// The time.
    pub clock: Clock,
    /// Where figures go.
    pub metrics: Metrics,
}

/// Why a brain ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Died {
    /// A job panicked, so that the state of its task isn't known any more.
    #[error("a job of the brain panicked")]
    Job(#[source] JoinError),
    /// Nobody sends events any more.
    #[error("the shell that feeds the brain is gone")]
    Abandoned,
}

/// Lets a brain live until `shutdown`, then waits a moment for writes under way and sends what depends on them.
///
/// # Errors
///
/// [`Died`], when it can't go on. What was written stays, and the next one goes on from there.
pub async fn run<S: Store, R: Resolver>(
    parts: Parts<S, R>,
    mut events: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
) -> Result<(), Died> {
    let mut body = Body::new(parts);
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return body.farewell().await,
            event = events.recv() => event.ok_or(Died::Abandoned)?,
            Some(done) = body.jobs.join_next() => Event::Done(Box::new(done.map_err(Died::Job)?)),
            Some(done) = body.resolving.join_next() => Event::Done(Box::new(done.map_err(Died::Job)?)),
            () = sleep(body.brain.patience()) => Event::Tick,
        };
        body.take(event);
    }
}

/// A brain and what does its jobs.
struct Body<S, R> {
    brain: Brain,
    begin: Instant,
    parts: Parts<S, R>,
    /// Writes and reads: waited for at the end.
    jobs: JoinSet<Done>,
    /// Resolving: given up at the end.
    resolving: JoinSet<Done>,
    writes: Arc<Semaphore>,
}

impl<S: Store, R: Resolver> Body<S, R> {
    fn new(parts: Parts<S, R>) -> Self {
        let begin = Instant::now();
        Self {
            brain: Brain::new(parts.config.clone(), moment(&parts.clock, begin)),
            begin,
            parts,
            jobs: JoinSet::new(),
            resolving: JoinSet::new(),
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    fn take(&mut self, event: Event) {
        self.count(&event);
        for output in self.brain.handle(event, moment(&self.parts.clock, self.begin)) {
            match output {
                Output::Send(message) => {
                    if self.parts.outbox.try_send(message).is_err() {
                        self.parts.metrics.dropped();
                    }
                }
                Output::Do(job) => self.perform(job),
                Output::Resolve { uid, image, work } => self.resolve(uid, image, work),
                Output::Tell(notice) => self.parts.store.tell(notice),
                Output::Keep(lines) => {
                    let kept = self.parts.logs.as_ref().map(|logs| logs.keep(*lines));
                    if kept == Some(false) {
                        self.parts.metrics.lines_dropped();
                    }
                }
                Output::Forget(uid) => self.parts.logs.iter().for_each(|logs| logs.forget(&uid)),
                Output::ForgetOthers(uids) => {
                    if let Some(logs) = &self.parts.logs {
                        logs.forget_others(uids.into_iter().collect());
                    }
                }
            }
        }
        self.parts.in_sync.send_replace(self.brain.is_in_sync());
    }

    fn perform(&mut self, job: Job) {
        let (store, writes) = (self.parts.store.clone(), self.writes.clone());
        self.jobs.spawn(async move {
            let _permit = writes.acquire().await;
            perform(&*store, job).await
        });
    }

    fn resolve(&mut self, uid: String, image: String, work: Work) {
        let (resolver, metrics) = (self.parts.resolver.clone(), self.parts.metrics.clone());
        self.resolving.spawn(async move {
            let begin = Instant::now();
            let result = resolver.resolve(&image, &work).await;
            let failure = result.as_ref().err();
            metrics.resolved(begin.elapsed(), failure.map(|trouble| trouble.reason.as_str()));
            Done::Resolved {
                uid,
                image,
                work,
                result,
            }
        });
    }

    /// What is told of the broker, of writes, and of everything now and then.
    fn count(&self, event: &Event) {
        let metrics = &self.parts.metrics;
        match event {
            Event::Bus(Bus::Connected) => metrics.connected(true),
            Event::Bus(Bus::Disconnected) => metrics.connected(false),
            Event::Done(done) => match &**done {
                Done::TaskWritten { result, .. } => metrics.wrote("Task", WriteError::label(result)),
                Done::PropletWritten { result, .. } => metrics.wrote("Proplet", WriteError::label(result)),
                _ => {}
            },
            Event::Tick => {
                metrics.planned(self.brain.plans());
                for (phase, count) in self.brain.phases() {
                    metrics.tasks(phase, *count);
                }
                for (liveliness, count) in self.brain.census() {
                    metrics.proplets(liveliness, count);
                }
            }
            Event::Bus(_) | Event::Task(_) | Event::Proplet(_) => {}
        }
    }

    async fn farewell(mut self) -> Result<(), Died> {
        let deadline = Instant::now() + FAREWELL;
        while let Ok(Some(done)) = timeout_at(deadline, self.jobs.join_next()).await {
            self.take(Event::Done(Box::new(done.map_err(Died::Job)?)));
        }
        Ok(())
    }
}

fn moment(clock: &Clock, begin: Instant) -> Moment {
    Moment {
        time: clock(),
        elapsed: begin.elapsed(),
    }
}

async fn perform(store: &impl Store, job: Job) -> Done {
    match job {
        Job::WriteTask(task) => {
            let result = store.write_status(&task).await;
            let uid = task.metadata.uid;
            Done::TaskWritten { uid, result }
        }
        Job::ReadTask { uid, key } => {
            let result = store.read(&key).await;
            Done::TaskRead { uid, result }
        }
        Job::DeleteTask(task) => {
            let result = store.delete(&task).await;
            let uid = task.metadata.uid;
            Done::TaskDeleted { uid, result }
        }
        Job::WriteProplet(proplet) => {
            let result = store.write_proplet_status(&proplet).await;
            let uid = proplet.metadata.uid;
            Done::PropletWritten { uid, result }
        }
        Job::CreateProplet(proplet) => {
            let result = store.create_proplet(&proplet).await;
            let id = proplet.spec.connection_config.client_id;
            Done::PropletCreated { id, result }
        }
    }
}
