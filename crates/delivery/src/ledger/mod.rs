//! The proplet's machine: what it holds, and what it answers.
//!
//! ```text
//!  start ──► Running ──run ends──► Finished ──ack──► Tombstone
//!    └──► (rejected) Tombstone ◄── stop, before any start
//! ```
//!
//! A ledger is the fold of its records, and nothing else changes it: [`Ledger::decide`] says what happens on an event, the shell makes the
//! records durable, then [`Ledger::apply`] takes them in and the actions are performed. So what is in memory is always what a restart would
//! find on disk.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use propeller_protocol::{
    Ack, AttemptRef, ControllerId, Held, HeldState, JournalId, Outcome, Rejection, Stage, Start, Stop,
};
use serde::{Deserialize, Serialize};

/// The longest window that a start may ask for, in seconds. Tombstones are kept for as long, on the control plane's clock.
pub const MAX_WINDOW_SECONDS: u32 = 3600;

/// Which attempt of which task, as a key: the task's uid, and the attempt.
pub type Key = (String, u32);

/// What a proplet holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    journal: JournalId,
    capacity: u32,
    draining: bool,
    /// The newest time that a control plane told. Starts are judged by it: a proplet's own clock may be anything.
    heard: Option<Timestamp>,
    entries: BTreeMap<Key, Entry>,
}

/// What is known of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Entry {
    /// It was accepted and hasn't ended.
    Running(Holding),
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
}

/// What happens to a proplet.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A start arrived.
    Start(Box<Start>),
    /// A stop arrived.
    Stop(Stop),
    /// An acknowledgement arrived.
    Ack(Ack),
    /// A run ended.
    Ended(AttemptRef, Outcome),
    /// The process starts: what ran when the last one ended was interrupted.
    Booted,
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
    /// End its run if there is one; [`Event::Ended`] follows then.
    Cancel(AttemptRef),
    /// Tell its controller.
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
    /// A ledger that holds nothing. `capacity` is how many attempts it runs at once.
    pub fn new(journal: JournalId, capacity: u32) -> Self {
        Self {
            journal,
            capacity,
            draining: false,
            heard: None,
            entries: BTreeMap::new(),
        }
    }

    /// Takes in a durable record.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Put(key, entry) => {
                self.entries.insert(key, *entry);
            }
            Record::Remove(key) => {
                self.entries.remove(&key);
            }
            Record::Heard(time) => self.heard = Some(time),
        }
    }

    /// From now on no start is accepted. Not a record: a restart takes tasks again.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether no start is accepted.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Identity of the journal whose records these are.
    pub fn journal(&self) -> &JournalId {
        &self.journal
    }

    /// Every attempt that runs, or whose outcome isn't acknowledged.
    pub fn inventory(&self) -> Vec<Held> {
        let held = |holding: &Holding, state| Held {
            attempt: holding.attempt.clone(),
            controller: holding.controller.clone(),
            state,
        };
        let entries = self.entries.values();
        entries
            .filter_map(|entry| match entry {
                Entry::Running(holding) => Some(held(holding, HeldState::Running)),
                Entry::Finished { holding, .. } => Some(held(holding, HeldState::Finished)),
                Entry::Tombstone { .. } => None,
            })
            .collect()
    }

    /// How many attempts it runs at once.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many attempts run.
    pub fn running(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| matches!(entry, Entry::Running(_)))
            .count()
    }
}
