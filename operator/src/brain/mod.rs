//! The brain: what a control plane decides and remembers, of whichever shell.
//!
//! ```text
//!  caches ─ Event::Task, ::Proplet ─►┌────────────────┐── write status ──► Store ──┐
//!  broker ─ Event::Bus ─────────────►│ tasks, roster  │── resolve ──► Resolver ──┐ │
//!  clock ── wakes, sweep ───────────►│ (one actor)    │                          │ │
//!  jobs ─── Done ───────────────────►└────────────────┘◄──────────── Done ───────┴─┘
//!                                       └── once the write succeeded ──► Outgoing ──► broker
//! ```
//!
//! One actor holds the state and never waits: writes and resolving are jobs of its own that come back as one more event. What changed
//! makes a task dirty; a dirty task is planned by [`propeller_delivery::plan`]; what the plan wants written is written under the version that
//! it was planned from; and only when that succeeded are its messages sent. So a status always says more than the bus, never less.
//!
//! Nothing here knows Kubernetes, MQTT, a registry or a file: those are behind [`Store`], [`Resolver`] and two channels. Losing everything in
//! memory loses nothing: starts are made from statuses, outcomes come again until they are acknowledged, and inventories tell the rest.

mod backoff;
mod change;
mod event;
mod heard;
mod notices;
mod planning;
mod presence;
mod proplets;
mod resolver;
mod roster;
mod store;
mod sweep;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod wakes;
mod writing;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use propeller_api::PropletId;
use propeller_delivery::plan::Pace;
use propeller_protocol::ControllerId;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use event::{Bus, Change, Event, Outgoing};
pub use resolver::{Resolver, Trouble};
pub use store::{About, Notice, ReadError, Severity, Store, WriteError};

use crate::metrics::Metrics;
use event::Done;
use presence::Now;
use roster::Roster;
use tasks::Tasks;
use wakes::Wakes;

/// Writes under way at a time. More than the eight connections at which an API server reaches its best rate only queue there.
const WRITES: usize = 16;
/// How often everything is looked over that has no event of its own: silence of proplets, messages that name counts.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a shutdown waits for writes under way, so that their messages are sent.
const FAREWELL: Duration = Duration::from_secs(5);

/// A wall clock. Handed in, so that tests have their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a brain is made of.
pub struct Parts<S, R> {
    /// Who this control plane is, over all its restarts and replicas.
    pub controller: ControllerId,
    /// The namespace in which Proplets are made for those that announce themselves without one; `None` makes none.
    pub register_in: Option<String>,
    /// How long things take.
    pub pace: Pace,
    /// Where resources live.
    pub store: Arc<S>,
    /// What resolves references.
    pub resolver: Arc<R>,
    /// Messages for proplets. When it is full they are dropped, which is repaired later: see [`Outgoing`].
    pub outbox: mpsc::Sender<Outgoing>,
    /// Becomes true when both caches are in sync. The shell connects to the broker then: what arrived earlier couldn't be judged.
    pub in_sync: watch::Sender<bool>,
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

/// The actor. [`Brain::run`] is its life.
pub struct Brain<S, R> {
    parts: Parts<S, R>,
    tasks: Tasks,
    roster: Roster,
    wakes: Wakes,
    /// Writes and reads: waited for at the end.
    jobs: JoinSet<Done>,
    /// Resolving: given up at the end.
    resolving: JoinSet<Done>,
    writes: Arc<Semaphore>,
    /// Tasks to plan, in order.
    dirty: VecDeque<String>,
    /// Tasks that have something to tell, and didn't because more important writes were under way.
    postponed: BTreeSet<String>,
    /// Proplet resources whose status may have to change.
    dirty_proplets: BTreeSet<String>,
    /// Namespaces where a place became free.
    vacancies: BTreeSet<String>,
    /// Namespaces where what waiting tasks are told is out of date.
    outdated: BTreeSet<String>,
    /// Since when our own session with the broker is up.
    session: Option<Instant>,
    /// Until when tasks that fit no proplet wait in silence for those that weren't judged yet.
    patience: Option<Instant>,
    task_cache: Cache,
    proplet_cache: Cache,
    /// Tasks that are being looked for because somebody reports their outcome.
    sought: HashSet<String>,
    /// Proplets without a resource that were dealt with, and until when. `None` is for as long as this process lives.
    strangers: HashMap<PropletId, Option<Instant>>,
}

/// How a cache of the shell stands.
#[derive(Debug, Default)]
struct Cache {
    /// What was seen since the listing began, while one goes on.
    listing: Option<HashSet<String>>,
    in_sync: bool,
}

impl Cache {
    fn saw(&mut self, uid: &str) {
        if let Some(listing) = &mut self.listing {
            listing.insert(uid.to_owned());
        }
    }

    /// Ends the listing. Returns which of `known` it didn't mention.
    fn listed(&mut self, known: Vec<String>) -> Vec<String> {
        self.in_sync = true;
        let seen = self.listing.take().unwrap_or_default();
        known.into_iter().filter(|uid| !seen.contains(uid)).collect()
    }
}

impl<S: Store, R: Resolver> Brain<S, R> {
    /// A brain that knows nothing yet.
    pub fn new(parts: Parts<S, R>) -> Self {
        Self {
            parts,
            tasks: Tasks::default(),
            roster: Roster::default(),
            wakes: Wakes::default(),
            jobs: JoinSet::new(),
            resolving: JoinSet::new(),
            writes: Arc::new(Semaphore::new(WRITES)),
            dirty: VecDeque::new(),
            postponed: BTreeSet::new(),
            dirty_proplets: BTreeSet::new(),
            vacancies: BTreeSet::new(),
            outdated: BTreeSet::new(),
            session: None,
            patience: None,
            task_cache: Cache::default(),
            proplet_cache: Cache::default(),
            sought: HashSet::new(),
            strangers: HashMap::new(),
        }
    }

    /// Lives until `shutdown`, then waits a moment for writes under way and sends what depends on them.
    ///
    /// # Errors
    ///
    /// [`Died`], when it can't go on. What was written stays, and the next one goes on from there.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: CancellationToken) -> Result<(), Died> {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return self.farewell().await,
                event = events.recv() => self.event(event.ok_or(Died::Abandoned)?),
                Some(done) = self.jobs.join_next() => self.done(done.map_err(Died::Job)?),
                Some(done) = self.resolving.join_next() => self.done(done.map_err(Died::Job)?),
                uid = self.wakes.next() => self.touch(&uid),
                _ = sweep.tick() => self.sweep(),
            }
            self.plan_dirty();
        }
    }

    async fn farewell(mut self) -> Result<(), Died> {
        let deadline = Instant::now() + FAREWELL;
        while let Ok(Some(done)) = timeout_at(deadline, self.jobs.join_next()).await {
            self.done(done.map_err(Died::Job)?);
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Task(change) => self.task_changed(change),
            Event::Proplet(change) => self.proplet_changed(change),
            Event::Bus(bus) => self.bus(bus),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Written(written) => self.written(*written),
            Done::Read { uid, result } => self.read_again(&uid, result),
            Done::Sought {
                proplet,
                report,
                result,
            } => self.found(&proplet, *report, result),
            Done::Resolved { uid, wanted, result } => self.resolved(&uid, wanted, result),
            Done::PropletWritten { uid, result } => self.proplet_written(&uid, result),
            Done::Registered { id, result } => self.registered(&id, result),
        }
    }

    fn now(&self) -> Now {
        Now {
            time: (self.parts.clock)(),
            instant: Instant::now(),
            session: self.session,
        }
    }

    fn is_in_sync(&self) -> bool {
        self.task_cache.in_sync && self.proplet_cache.in_sync
    }

    /// The task is to be planned: now, or when the write that is under way is done.
    fn touch(&mut self, uid: &str) {
        if let Some(entry) = self.tasks.get_mut(uid)
            && !std::mem::replace(&mut entry.is_dirty, true)
            && entry.writing.is_none()
        {
            self.dirty.push_back(uid.to_owned());
        }
    }

    /// Says something to a proplet, if it can be said now.
    fn send(&self, message: Outgoing) -> bool {
        let sent = self.session.is_some() && self.parts.outbox.try_send(message).is_ok();
        if !sent {
            self.parts.metrics.dropped();
        }
        sent
    }
}
