//! The control plane's machine: from what is wanted and known of one task to its next status and what to do about it.
//!
//! ```text
//!  Pending ──resolve──► Pending ──place──► Dispatched ──accepted, 2 s──► Running ──finished──► Completed | Failed
//!     │ wrong for good                        │ rejected, expired ──► Pending, next attempt
//!     └──► Failed                             └── failed, lost: tried again? ──► Pending, next attempt after a pause
//! ```
//!
//! From every phase that isn't an end, `spec.cancel` leads to Cancelled, a deadline to Failed, and `spec.suspend` to Pending. A service has no
//! end by itself: what ends is a placement of it, and it goes back to Pending for the next attempt.
//!
//! It is level-triggered: called with the same view it plans the same again, and a plan that changes nothing has no status. The caller
//! writes the status under the resourceVersion that the view was taken at, and performs the actions only when that write succeeded.

mod away;
mod bounds;
mod dispatched;
mod pending;
mod refusal;
mod retry;
mod service;
mod settle;
#[cfg(test)]
mod tests;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use propeller_api::{Condition, Digest, Phase, PropletId, Task, TaskStatus, Work, set_condition, types};
use propeller_protocol::{Ack, ControllerId, Held, HeldState, Start, Stop};

use crate::{
    fleet::Fleet,
    inbox::{Inbox, Origin},
    reason,
};
pub(crate) use pending::{fits_a_message, required};
pub(crate) use settle::is_expected;

/// Everything that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The task, with the status that its resourceVersion stands for.
    pub task: &'a Task,
    /// This control plane.
    pub controller: &'a ControllerId,
    /// What resolving the task's reference and call gave, if it was tried.
    pub resolution: Option<&'a Resolution>,
    /// The proplets.
    pub fleet: &'a Fleet,
    /// What proplets reported of this task.
    pub inbox: &'a Inbox,
    /// The attempt that was last published and when, as far as this process knows.
    pub published: Option<Published>,
    /// The attempt whose start the broker didn't take, and its answer.
    pub refused: Option<&'a (u32, String)>,
    /// The control plane's clock.
    pub now: Timestamp,
    /// A clock that nobody sets, since some moment before.
    pub elapsed: Duration,
    /// When this process began to hear proplets, on that clock. Nothing is known of what they heard before.
    pub begun: Duration,
    /// When the control plane's clock was last set while this process looked, on that clock.
    pub clock_set: Option<Timestamp>,
    /// How long things take.
    pub pace: Pace,
}

/// The newest publication of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Which attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
}

/// How long things take. The same for all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// For how long after it was issued a start may be accepted.
    pub start_window: SignedDuration,
    /// Time between two publications of a start that nobody answers.
    pub republish: SignedDuration,
    /// How long a task must run before it is worth a status write to say so.
    pub started_after: SignedDuration,
    /// Time before a proplet is asked again that refused a task for what may be over soon. It doubles with each refusal in a row. Also the time
    /// before a service is placed anew, doubling with each placement that ended.
    pub backoff: SignedDuration,
    /// What the backoff grows to.
    pub longest_backoff: SignedDuration,
    /// Time before a proplet is asked again that refused a task for what only people change: its policy, its size, its version.
    pub after_policy: SignedDuration,
    /// For how long a service must have run for its earlier ends to be forgotten.
    pub settled_after: SignedDuration,
    /// For how long the proplet of a call or a program may be away before its attempt counts as lost.
    pub lost_after: SignedDuration,
    /// The same of a service.
    pub service_lost_after: SignedDuration,
}

impl Pace {
    /// The backoff after that many failures in a row, this one included, with up to a quarter more: those who failed together shouldn't come
    /// back together. It's the same whenever it's asked for of the same `who`.
    fn backoff(&self, who: &str, failures: u32) -> SignedDuration {
        let doubled = 1_i32
            .checked_shl(failures.saturating_sub(1))
            .filter(|factor| *factor > 0);
        let grown = doubled.and_then(|factor| self.backoff.checked_mul(factor));
        let grown = grown.map_or(self.longest_backoff, |grown| grown.min(self.longest_backoff));
        let most = u64::try_from(grown.as_millis() / 4).unwrap_or_default();
        let jitter = jitter(who, failures, most);
        grown + SignedDuration::from_millis(i64::try_from(jitter).unwrap_or_default())
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            start_window: SignedDuration::from_secs(60),
            republish: SignedDuration::from_secs(5),
            started_after: SignedDuration::from_secs(2),
            backoff: SignedDuration::from_secs(10),
            longest_backoff: SignedDuration::from_mins(6),
            after_policy: SignedDuration::from_mins(10),
            settled_after: SignedDuration::from_mins(10),
            lost_after: SignedDuration::from_secs(300),
            service_lost_after: SignedDuration::from_secs(60),
        }
    }
}

/// What resolving gave, and for what.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// `spec.image` that was resolved.
    pub image: String,
    /// What to run, as it was checked against the component.
    pub work: Work,
    /// The digest, or why there is none.
    pub outcome: Result<Resolved, Unresolved>,
}

impl Resolution {
    /// Whether this is about what the task wants now.
    pub fn is_of(&self, task: &Task) -> bool {
        self.image == task.spec.image && Some(&self.work) == task.spec.work().as_ref()
    }
}

/// A reference that became a digest, with a call that fits the component's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// `registry/repository@sha256:…`, the manifest's digest.
    pub image: String,
    /// Digest of the component.
    pub component: Digest,
}

/// Why a reference or a call can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// One CamelCase word.
    pub reason: String,
    /// For people, with what to change.
    pub message: String,
    /// When it is worth trying again; never, when only another reference or call would help.
    pub retry_at: Option<Timestamp>,
}

/// What to do once the status is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Resolve the reference and check the call; plan again with what it gave.
    Resolve,
    /// Publish a start to that proplet.
    Publish(PropletId, Box<Start>),
    /// Publish a stop to that proplet.
    Stop(PropletId, Stop),
    /// Publish an acknowledgement to that proplet.
    Ack(PropletId, Ack),
    /// Delete the task: its time to be kept is over.
    Delete,
    /// Plan again at that time, or earlier when something changes.
    WakeAt(Timestamp),
}

/// The next status, and what to do about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// What to write; nothing when the status says it all already.
    pub status: Option<TaskStatus>,
    /// What to do then, in this order.
    pub actions: Vec<Action>,
}

/// Plans one task.
pub fn plan(view: View<'_>) -> Plan {
    if view.task.metadata.deletion_timestamp.is_some() {
        // What a proplet holds of a task that nobody wants is found in its inventory: see `is_unwanted`.
        return Plan::default();
    }
    let mut draft = Draft::new(view);
    match (draft.status.phase, view.task.validate()) {
        (phase, _) if phase.is_terminal() => {}
        _ if settle::completed_after_all(&mut draft) => {}
        _ if view.task.spec.cancel => bounds::cancel(&mut draft),
        (Phase::Pending, Err(invalid)) => draft.fail(reason::INVALID_SPEC, &invalid.to_string()),
        (Phase::Pending, Ok(())) => pending::plan(&mut draft),
        _ => dispatched::plan(&mut draft),
    }
    settle::acknowledge(&mut draft);
    // Also of what has just ended: nothing else may ever ask for another plan of it.
    if draft.status.phase.is_terminal() {
        bounds::keep(&mut draft);
    }
    draft.finish()
}

/// Whether a proplet should stop what it holds: ours, not ended, and not what `task` is waiting for. `None` is a task that is gone, in a
/// cache known to be in sync.
pub fn is_unwanted(held: &Held, controller: &ControllerId, task: Option<&Task>) -> bool {
    let ours = held.controller == *controller && held.state != HeldState::Finished;
    let wanted = task.is_some_and(|task| {
        let open = task
            .status
            .as_ref()
            .is_none_or(|status| is_open(status, held.attempt.attempt));
        task.metadata.deletion_timestamp.is_none() && !task.spec.suspend && open
    });
    ours && !wanted
}

/// Whether an attempt that a proplet holds isn't the one of its number that `status` waits for, but one that the store forgot when it was restored from
/// a backup. `forgotten` is the newest of those.
pub(crate) fn is_forgotten(status: Option<&TaskStatus>, origin: &Origin, forgotten: u32) -> bool {
    let Some(status) = status else {
        return origin.attempt <= forgotten;
    };
    let waits = matches!(status.phase, Phase::Dispatched | Phase::Running);
    let has_its_number = waits && origin.attempt == status.attempt;
    (has_its_number || origin.attempt <= forgotten) && !is_expected(status, origin)
}

/// Whether the task may wait for that attempt. One that the status doesn't know yet is in order: the view of it may be behind. One whose
/// task is pending again is over, and the next one has another number.
fn is_open(status: &TaskStatus, attempt: u32) -> bool {
    match status.phase {
        Phase::Completed | Phase::Failed | Phase::Cancelled => false,
        Phase::Pending => status.attempt < attempt,
        Phase::Dispatched | Phase::Running => status.attempt <= attempt,
    }
}

/// A plan in the making: the status as it will be, and the actions so far.
struct Draft<'a> {
    view: View<'a>,
    status: TaskStatus,
    actions: Vec<Action>,
}

impl<'a> Draft<'a> {
    fn new(view: View<'a>) -> Self {
        Self {
            view,
            status: view.task.status.clone().unwrap_or_default(),
            actions: Vec::new(),
        }
    }

    fn finish(mut self) -> Plan {
        let before = self.view.task.status.as_ref();
        let changed = before.map_or(self.status != TaskStatus::default(), |before| *before != self.status);
        if changed {
            self.status.conditions.sort_by_key(|said| turn(&said.type_));
            self.status.observed_generation = self.view.task.metadata.generation;
        }
        Plan {
            status: changed.then_some(self.status),
            actions: self.actions,
        }
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.actions.push(Action::WakeAt(at));
    }

    fn say(&mut self, type_: &str, holds: bool, reason: &str, message: &str) {
        let condition = Condition {
            type_: type_.to_owned(),
            status: holds.into(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: self.view.task.metadata.generation,
            last_transition_time: self.now(),
        };
        set_condition(&mut self.status.conditions, condition);
    }

    /// No attempt of the task is under way now.
    fn say_unplaced(&mut self, reason: &str, message: &str) {
        self.say(types::SCHEDULED, false, reason, message);
        if self.is_service() {
            self.say(types::READY, false, reason, message);
        }
    }

    fn is_service(&self) -> bool {
        self.view.task.spec.service.is_some()
    }

    fn uid(&self) -> &'a str {
        &self.view.task.metadata.uid
    }

    fn fail(&mut self, reason: &str, message: &str) {
        self.end(Phase::Failed, reason, message);
    }

    fn end(&mut self, phase: Phase, reason: &str, message: &str) {
        self.status.phase = phase;
        self.status.completion_time = Some(self.now());
        self.say(types::FINISHED, true, reason, message);
    }

    /// The time as statuses have it: to the second, as Kubernetes writes times.
    fn now(&self) -> Timestamp {
        to_second(self.view.now)
    }
}

/// The order in which conditions come true, so that the last one tells how far the task is.
fn turn(type_: &str) -> usize {
    let order = [
        types::SUSPENDED,
        types::RESOLVED,
        types::SCHEDULED,
        types::STARTED,
        types::READY,
        types::FINISHED,
    ];
    order.iter().position(|known| *known == type_).unwrap_or(order.len())
}

/// A number from 0 to `most`, always the same for the same `who` and `number`.
pub(crate) fn jitter(who: &str, number: u32, most: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (who, number).hash(&mut hasher);
    hasher.finish() % most.saturating_add(1)
}

fn to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Times far beyond what a calendar holds stay at its end.
fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
