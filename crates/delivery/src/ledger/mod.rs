//! The proplet's machine: what it holds, and what it answers.
//!
//! ```text
//!            room            room         run ends
//!  start ──┬─────► Running ◄────── Queued ────────► Finished ──ack──► Tombstone
//!          │          └──── ends ────────────────────►  ▲                ▲
//!          ├─ no room ─────────────► Queued ── stop ────┘                │
//!          └─ refused ───────────────────────────────────────────────────┘
//! ```
//!
//! A ledger is the fold of its records, and nothing else changes it: [`Ledger::decide`] says what happens on an event, the shell makes the
//! records durable, then [`Ledger::apply`] takes them in and the actions are performed. So what is in memory is always what a restart would
//! find on disk.
//!
//! What runs at once is bounded by count and by memory, and what waits for room by count. Those that wait run in the order in which they
//! came: a large one at the head isn't overtaken by smaller ones behind it, or it could wait for ever. What ran and what waited when the
//! process ended was interrupted. That something waited is not kept over a restart on purpose: the control plane hears of it at once, may
//! place it anew, and no order of crashes and failed writes can run what was reported as ended.

mod admit;
mod decide;
mod draft;
mod entries;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use propeller_api::{Capacity, Memory};
use propeller_protocol::{
    Ack, AttemptRef, ControllerId, Held, HeldState, JournalId, Lease, Outcome, Rejection, Stage, Start, Stop,
};
use serde::{Deserialize, Serialize};

use entries::Entries;

/// The longest window that a start may ask for, in seconds. Tombstones are kept for twice as long, on the control plane's clock.
pub const MAX_WINDOW_SECONDS: u32 = 3600;

/// Most attempts that wait, run or aren't acknowledged. More would be held for a control plane that doesn't come back, or by a peer that makes them
/// up; further starts are refused until some are acknowledged. A heartbeat names all of them, and must fit into
/// a message.
pub const MAX_HELD: usize = 2_000;

/// Most tombstones. Beyond it the oldest goes: in the worst case a start that is repeated for an hour runs again.
pub const MAX_TOMBSTONES: usize = 100_000;

/// Which attempt of which task, as a key: the task's uid, and the attempt.
pub type Key = (String, u32);

/// What a proplet holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    journal: JournalId,
    terms: Terms,
    draining: bool,
    /// The control planes that hear this proplet now.
    leased: BTreeSet<ControllerId>,
    /// The newest time that a control plane told. Starts are judged by it: a proplet's own clock may be anything.
    heard: Option<Timestamp>,
    entries: Entries,
}

/// How much a proplet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What runs at once.
    pub capacity: Capacity,
    /// How many wait for room at most. Beyond it a start is refused as [`Busy`](propeller_protocol::Refusal::Busy).
    pub queue: u32,
    /// Memory of a task that doesn't say how much it needs.
    pub memory: Memory,
    /// Most memory of any task. Not more than the capacity's, or what asks for it would wait for ever.
    pub max_memory: Memory,
}

/// What is known of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Entry {
    /// It was accepted, and waits for room.
    Queued {
        /// Which attempt, and whose.
        #[serde(flatten)]
        holding: Holding,
        /// What it will take.
        memory: Memory,
        /// Where in the queue: the lowest is next.
        place: u64,
    },
    /// It was given room, and hasn't ended.
    Running {
        /// Which attempt, and whose.
        #[serde(flatten)]
        holding: Holding,
        /// What it takes.
        memory: Memory,
        /// What was told when it had begun, if that was worth telling.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started: Option<Started>,
    },
    /// It has ended, and the outcome isn't acknowledged.
    Finished {
        /// Which attempt, and whose.
        #[serde(flatten)]
        holding: Holding,
        /// How it ended.
        outcome: Outcome,
    },
    /// It won't run, whatever arrives: it was acknowledged, rejected or stopped.
    Tombstone {
        /// On the control plane's clock, not before any start that it answers was issued.
        made: Timestamp,
        /// How a start of it was answered, to answer the same again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejection: Option<Rejection>,
    },
}

/// Which attempt is held, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// Who dispatched it.
    pub controller: ControllerId,
    /// When its start was issued, on the control plane's clock.
    pub issued_at: Timestamp,
    /// It runs only while the proplet has a lease; and if it waits for one, not after this time on the control plane's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_before: Option<Timestamp>,
}

/// That a component has begun to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Where a service listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why it doesn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What happens to a proplet.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A start arrived.
    Start(Box<Start>),
    /// A start arrived that the proplet's policy refuses.
    Refused(Box<Start>, Rejection),
    /// A start was accepted, and that can't be made durable: it is refused after all, before anybody heard of it.
    Unwritten(Box<Start>, Rejection),
    /// A stop arrived.
    Stop(Stop),
    /// An acknowledgement arrived.
    Ack(Ack),
    /// A heartbeat was echoed.
    Echo(Lease),
    /// A lease is held from now on, or is over: see [`Ledger::set_leased`].
    Leased,
    /// A run began, and that is to be told: it had waited, or has an address.
    Started(AttemptRef, Started),
    /// A run ended.
    Ended(AttemptRef, Outcome),
    /// It waited for room until its deadline. Means nothing if it runs meanwhile: that has a deadline of its own.
    Overdue(AttemptRef, Outcome),
    /// The process starts: what the last one held and hadn't ended was interrupted.
    Booted,
    /// From now on no start is accepted, and what waits for room is interrupted. Not a record: a restart takes tasks again.
    Drain,
    /// Tell again what wasn't acknowledged: after every connect, and from time to time.
    Repeat,
}

/// A change of the ledger, to be made durable before anything that follows from it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// The attempt's entry is this now.
    Put(Key, Box<Entry>),
    /// The attempt is forgotten.
    Remove(Key),
    /// The control plane's clock has reached this.
    Heard(Timestamp),
}

/// What to do once the records are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run it; [`Event::Ended`] follows, always.
    Run(Box<Start>),
    /// Keep it until [`Action::Proceed`] or [`Action::Cancel`]; [`Event::Overdue`] follows at its deadline.
    Wait(Box<Start>),
    /// There is room now for what waited: run it, as with [`Action::Run`].
    Proceed(AttemptRef),
    /// End its run if there is one, [`Event::Ended`] follows then; or forget it if it waits.
    Cancel(AttemptRef),
    /// End its run, because the lease is over; [`Event::Ended`] follows.
    Revoke(AttemptRef),
    /// It has ended, just now: tell its controller.
    Ended(Holding, Outcome),
    /// Tell its controller, perhaps again.
    Report(Holding, Stage),
}

/// What follows from an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// First make these durable, all or none.
    pub records: Vec<Record>,
    /// Then do these.
    pub actions: Vec<Action>,
}

impl Ledger {
    /// A ledger that holds nothing.
    pub fn new(journal: JournalId, terms: Terms) -> Self {
        Self {
            journal,
            terms,
            draining: false,
            leased: BTreeSet::new(),
            heard: None,
            entries: Entries::default(),
        }
    }

    /// Takes in a durable record.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Put(key, entry) => self.entries.insert(key, *entry),
            Record::Remove(key) => self.entries.remove(&key),
            Record::Heard(time) => self.heard = Some(time),
        }
    }

    /// From now on no start is accepted. [`Event::Drain`] says what follows from it.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether no start is accepted.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Which control planes hear the proplet, as [`LeaseClock`](crate::lease::LeaseClock) has it. [`Event::Leased`] says what follows from
    /// a change. Not a record: a restart has no lease.
    pub fn set_leased(&mut self, leased: BTreeSet<ControllerId>) {
        self.leased = leased;
    }

    /// Whether it needs no lease, or its controller's is held.
    fn may_run(&self, holding: &Holding) -> bool {
        holding.leased_before.is_none() || self.leased.contains(&holding.controller)
    }

    /// Whether anything that waits or runs needs a lease.
    pub fn needs_lease(&self) -> bool {
        self.entries.needs_lease()
    }

    /// Identity of the journal whose records these are.
    pub fn journal(&self) -> &JournalId {
        &self.journal
    }

    /// How the attempt ended, as long as that isn't acknowledged.
    pub fn outcome(&self, key: &Key) -> Option<&Outcome> {
        match self.entries.get(key)? {
            Entry::Finished { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Every attempt that waits or runs, or whose outcome isn't acknowledged.
    pub fn inventory(&self) -> Vec<Held> {
        let held = |holding: &Holding, state| Held {
            attempt: holding.attempt.clone(),
            controller: holding.controller.clone(),
            state,
        };
        let entries = self.entries.held();
        entries
            .filter_map(|(_, entry)| match entry {
                Entry::Queued { holding, .. } => Some(held(holding, HeldState::Queued)),
                Entry::Running { holding, .. } => Some(held(holding, HeldState::Running)),
                Entry::Finished { holding, .. } => Some(held(holding, HeldState::Finished)),
                Entry::Tombstone { .. } => None,
            })
            .collect()
    }
}

fn key(attempt: &AttemptRef) -> Key {
    (attempt.task.uid.clone(), attempt.attempt)
}
