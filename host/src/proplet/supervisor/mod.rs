//! Runs attempts, each as a task of its own, and knows of each until it has told how it ended.
//!
//! ```text
//!  run ─────────────────────► Job::run: fetch, prepare, run, tell lines ──► News::Ended
//!  wait ──► WaitingRoom ──proceed──┘
//!                └── deadline ──► News::Overdue
//! ```
//!
//! Every run ends in exactly one outcome, also one that panics: the set of tasks tells of those too. A stop is never waited for by the guest's
//! leave: what doesn't end by itself soon after it is dropped. Nothing here decides whether an attempt should run.

mod job;
mod room;
mod service;
#[cfg(test)]
mod tests;
mod waiting;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use propeller_delivery::ledger::Started;
use propeller_protocol::{AttemptRef, ControllerId, Outcome, Start};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use job::Workshop;
pub use room::Room;

use super::{
    limits::Limits,
    outcome::{Run, Why, outcome, overdue},
};
use job::Job;
use waiting::WaitingRoom;

/// Runs attempts.
pub struct Supervisor {
    workshop: Arc<Workshop>,
    runs: JoinSet<Run>,
    running: HashMap<Id, Running>,
    waiting: WaitingRoom,
    /// Not bounded: an attempt tells once, and again when a service is restarted, which is paced.
    begun: (mpsc::UnboundedSender<Begun>, mpsc::UnboundedReceiver<Begun>),
}

/// Which attempt has begun, and how.
type Begun = (AttemptRef, Started);

struct Running {
    attempt: AttemptRef,
    controller: ControllerId,
    limits: Limits,
    needs_lease: bool,
    cancel: CancellationToken,
    /// Who cancelled, the first one.
    why: Option<Why>,
}

/// What became of an attempt.
#[derive(Debug)]
pub enum News {
    /// It has begun, and its controller doesn't know that from its having been accepted.
    Started(AttemptRef, Started),
    /// It has ended.
    Ended(AttemptRef, Outcome),
    /// It waited until its deadline. It goes on waiting until it is cancelled, or may run: who decides may have done so just now.
    Overdue(AttemptRef, Outcome),
}

impl Supervisor {
    /// Runs nothing yet.
    pub fn new(workshop: Workshop) -> Self {
        Self {
            workshop: Arc::new(workshop),
            runs: JoinSet::new(),
            running: HashMap::new(),
            waiting: WaitingRoom::default(),
            begun: mpsc::unbounded_channel(),
        }
    }

    /// Runs an attempt. Its deadline counts from now.
    pub fn run(&mut self, start: Box<Start>) {
        let limits = self.limits(&start);
        let deadline = limits.end(Instant::now());
        self.spawn(start, limits, deadline, false);
    }

    /// Keeps an attempt until there is room. Its deadline counts from now.
    pub fn wait(&mut self, start: Box<Start>) {
        let limits = self.limits(&start);
        self.waiting.enter(start, limits, limits.end(Instant::now()));
    }

    /// Runs what waits.
    pub fn proceed(&mut self, attempt: &AttemptRef) {
        if let Some((start, limits, deadline)) = self.waiting.leave(attempt) {
            self.spawn(start, limits, deadline, true);
        }
    }

    fn limits(&self, start: &Start) -> Limits {
        Limits::new(start, &self.workshop.settings)
    }

    fn spawn(&mut self, start: Box<Start>, limits: Limits, deadline: Option<Instant>, waited: bool) {
        let (attempt, cancel) = (start.attempt.clone(), CancellationToken::new());
        let controller = start.controller.clone();
        let needs_lease = start.needs_lease();
        let job = Job {
            start: *start,
            limits,
            deadline,
            waited,
            cancel: cancel.clone(),
            begun: self.begun.0.clone(),
            workshop: Arc::clone(&self.workshop),
        };
        let id = self.runs.spawn(job.run()).id();
        let running = Running {
            attempt,
            controller,
            limits,
            needs_lease,
            cancel,
            why: None,
        };
        self.running.insert(id, running);
    }

    /// Ends an attempt, if it runs, which [`News::Ended`] tells then; or forgets it if it waits.
    pub fn cancel(&mut self, attempt: &AttemptRef) {
        if self.waiting.leave(attempt).is_none() {
            self.end(Why::Cancelled, |running| running.attempt == *attempt);
        }
    }

    /// Ends an attempt, because nobody may hear of it any more.
    pub fn revoke(&mut self, attempt: &AttemptRef) {
        self.end(Why::Unheard, |running| running.attempt == *attempt);
    }

    /// Ends every attempt that runs only with a lease, but for those of controllers that hold one.
    pub fn revoke_all_but(&mut self, holders: &BTreeSet<ControllerId>) {
        self.end(Why::Unheard, |running| {
            running.needs_lease && !holders.contains(&running.controller)
        });
    }

    /// Ends the attempts that run of that task and that controller, up to that one, at once. To end what runs is no decision that has to be durable, so a stop
    /// doesn't wait for the journal, whose disk may be slow. What waits for room is left to who decides: it may run by now.
    pub fn stop(&mut self, controller: &ControllerId, last: &AttemptRef) {
        let is_meant = |attempt: &AttemptRef| attempt.task.uid == last.task.uid && attempt.attempt <= last.attempt;
        self.end(Why::Cancelled, |running| {
            running.controller == *controller && is_meant(&running.attempt)
        });
    }

    /// Ends every service, because the proplet ends: a service has no end of its own to wait for.
    pub fn interrupt_services(&mut self) {
        self.end(Why::Interrupted, |running| running.limits.deadline.is_none());
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

    /// The next thing that happens. Can be cancelled without losing it.
    pub async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                Some((attempt, started)) = self.begun.1.recv() => return News::Started(attempt, started),
                Some(ended) = self.runs.join_next_with_id() => {
                    let (id, run) = ended.unwrap_or_else(|error| (error.id(), Run::failed(error)));
                    if let Some(Running { attempt, limits, why, .. }) = self.running.remove(&id) {
                        return News::Ended(attempt, outcome(run, &limits, why));
                    }
                }
                (attempt, limits) = self.waiting.overdue() => return News::Overdue(attempt, overdue(&limits)),
            }
        }
    }
}
