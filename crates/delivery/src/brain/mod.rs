//! The control plane as a whole: every task and every proplet, of whichever shell.
//!
//! ```text
//!  caches ─ Event::Task, ::Proplet ─►┌────────────────┐─► Output::Do(WriteTask, …) ──► store
//!  broker ─ Event::Bus ─────────────►│ tasks, roster  │─► Output::Do(Resolve) ───────► registries
//!  clock ── Event::Tick ────────────►│                │─► Output::Send ──────────────► broker
//!  jobs ─── Event::Done ────────────►└────────────────┘      (once the write succeeded)
//! ```
//!
//! A brain is called with what happened and the time, and says what it wants done. It never waits: a write or a resolution is a job that
//! comes back as one more event. What changed makes a task dirty; a dirty task is planned by [`plan`](crate::plan); what the plan wants written
//! is written under the version that it was planned from; and only when that succeeded are its messages sent. So a status always says more
//! than the bus, never less.
//!
//! Losing everything in memory loses nothing: starts are made from statuses, outcomes come again until they are acknowledged, and
//! inventories tell the rest.

mod backoff;
mod change;
mod event;
mod heard;
mod notices;
mod planning;
mod presence;
mod proplets;
mod roster;
mod sweep;
mod tasks;
#[cfg(test)]
mod tests;
mod wakes;
mod work;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    mem,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use propeller_api::{Phase, PropletId};
use propeller_protocol::{AttemptRef, ControllerId};

pub use event::{Bus, Change, Event, Outgoing, Output};
pub use presence::Liveliness;
pub use work::{About, Done, Job, Notice, ReadError, Severity, Trouble, WriteError};

use crate::plan::Pace;
use heard::Sought;
use presence::Now;
use roster::Roster;
use tasks::Tasks;
use wakes::Wakes;

/// Writes that are worth having under way at a time. More than the eight connections at which an API server reaches its best rate only queue
/// there.
pub const WRITES: usize = 16;
/// How often everything is looked over that has no event of its own: silence of proplets, messages that name counts.
const SWEEP: Duration = Duration::from_secs(1);

/// A brain that is asked nothing for so long stood still: it asks to be woken for every sweep.
const STANDSTILL: Duration = Duration::from_secs(5);
/// How far the wall clock may leave the other one from one event to the next. A clock that is corrected slowly stays far below.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// What a brain is told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who this control plane is, over all its restarts and replicas.
    pub controller: ControllerId,
    /// The namespace in which Proplets are made for those that announce themselves without one; `None` makes none.
    pub register_in: Option<String>,
    /// How long things take.
    pub pace: Pace,
}

/// When something happens, on both of the shell's clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// On the wall clock. Anybody may set it, and everybody can read it.
    pub time: Timestamp,
    /// On a clock that nobody sets, since some moment before.
    pub elapsed: Duration,
}

/// The state. [`Brain::handle`] is all that happens to it.
#[derive(Debug)]
pub struct Brain {
    config: Config,
    now: Moment,
    outputs: Vec<Output>,
    tasks: Tasks,
    roster: Roster,
    wakes: Wakes,
    /// Writes that haven't come back.
    writing: usize,
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
    /// When it began.
    begun: Duration,
    /// When the wall clock was last set, on that clock.
    clock_set: Option<Timestamp>,
    /// Since when our own session with the broker is up.
    session: Option<Duration>,
    /// Until when tasks that fit no proplet wait in silence for those that weren't judged yet.
    patience: Option<Duration>,
    /// When everything is looked over next.
    next_sweep: Duration,
    task_cache: Cache,
    proplet_cache: Cache,
    /// Tasks of which somebody knows what no cache knows, which are being looked for.
    sought: BTreeMap<String, (AttemptRef, Sought)>,
    /// Proplets without a resource that were dealt with, and until when. `None` is for as long as this process lives.
    strangers: BTreeMap<PropletId, Option<Duration>>,
    /// Plans that were made.
    plans: u64,
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

impl Brain {
    /// A brain that knows nothing yet.
    pub fn new(config: Config, now: Moment) -> Self {
        Self {
            roster: Roster::new(config.controller.clone()),
            config,
            now,
            outputs: Vec::new(),
            tasks: Tasks::default(),
            wakes: Wakes::default(),
            writing: 0,
            dirty: VecDeque::new(),
            postponed: BTreeSet::new(),
            dirty_proplets: BTreeSet::new(),
            vacancies: BTreeSet::new(),
            outdated: BTreeSet::new(),
            begun: now.elapsed,
            clock_set: None,
            session: None,
            patience: None,
            next_sweep: now.elapsed + SWEEP,
            task_cache: Cache::default(),
            proplet_cache: Cache::default(),
            sought: BTreeMap::new(),
            strangers: BTreeMap::new(),
            plans: 0,
        }
    }

    /// Takes in what happened. Returns what to do, in this order.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Output> {
        let before = mem::replace(&mut self.now, now);
        self.notice_gap(before);
        match event {
            Event::Task(change) => self.task_changed(change),
            Event::Proplet(change) => self.proplet_changed(change),
            Event::Bus(bus) => self.bus(bus),
            Event::Done(done) => self.done(*done),
            Event::Tick => {}
        }
        while let Some(uid) = self.wakes.due(now.time) {
            self.touch(&uid);
        }
        if now.elapsed >= self.next_sweep {
            self.next_sweep = now.elapsed + SWEEP;
            self.sweep();
        }
        self.plan_dirty();
        mem::take(&mut self.outputs)
    }

    /// After a time in which this process stood still, or its clock was set, nobody is judged by what wasn't heard: what was said meanwhile may
    /// still wait to be read. And what is to be done at a time is to be done at another one.
    fn notice_gap(&mut self, before: Moment) {
        let elapsed = self.now.elapsed.saturating_sub(before.elapsed);
        let passed = self.now.time.duration_since(before.time);
        let is_set =
            SignedDuration::try_from(elapsed).is_ok_and(|elapsed| (passed - elapsed).unsigned_abs() > CLOCK_STEP);
        if elapsed <= STANDSTILL && !is_set {
            return;
        }
        tracing::warn!(?elapsed, ?passed, "this process stood still, or its clock was set");
        if is_set {
            self.clock_set = Some(self.now.time);
        }
        if let Some(session) = &mut self.session {
            *session = self.now.elapsed;
        }
        for uid in self.tasks.uids() {
            self.touch(&uid);
        }
    }

    /// How long after the last event the next one must come, if it's only a [`Event::Tick`].
    pub fn patience(&self) -> Duration {
        let sweep = self.next_sweep.saturating_sub(self.now.elapsed);
        let wake = self.wakes.next().map(|at| at.duration_since(self.now.time));
        let wake = wake.map_or(sweep, |wake| Duration::try_from(wake).unwrap_or_default());
        sweep.min(wake)
    }

    /// Whether both caches were listed. The shell connects to the broker then: what arrived earlier couldn't be judged.
    pub fn is_in_sync(&self) -> bool {
        self.task_cache.in_sync && self.proplet_cache.in_sync
    }

    /// How many plans were made.
    pub fn plans(&self) -> u64 {
        self.plans
    }

    /// How many tasks are in each phase.
    pub fn phases(&self) -> &BTreeMap<Phase, i64> {
        self.tasks.phases()
    }

    /// How many proplets with a resource are in each state.
    pub fn census(&self) -> BTreeMap<Liveliness, i64> {
        self.roster.census()
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::TaskWritten { uid, result } => self.written(&uid, result),
            Done::TaskRead { uid, result } => self.task_read(&uid, result),
            Done::TaskDeleted { uid, result } => self.deleted(&uid, result),
            Done::Resolved {
                uid,
                image,
                work,
                result,
            } => self.resolved(&uid, (image, work), result),
            Done::PropletWritten { uid, result } => self.proplet_written(&uid, result),
            Done::PropletCreated { id, result } => self.registered(&id, result),
        }
    }

    fn now(&self) -> Now {
        Now {
            time: self.now.time,
            elapsed: self.now.elapsed,
            session: self.session,
        }
    }

    /// The task is to be planned: now, or when the write that is under way is done.
    fn touch(&mut self, uid: &str) {
        if let Some(entry) = self.tasks.get_mut(uid)
            && !mem::replace(&mut entry.is_dirty, true)
            && entry.writing.is_none()
        {
            self.dirty.push_back(uid.to_owned());
        }
    }

    /// Says something to a proplet, if it can be said now.
    fn send(&mut self, message: Outgoing) -> bool {
        let can = self.session.is_some();
        if can {
            self.outputs.push(Output::Send(message));
        }
        can
    }

    fn job(&mut self, job: Job) {
        self.outputs.push(Output::Do(job));
    }
}
