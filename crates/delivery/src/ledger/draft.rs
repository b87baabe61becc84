//! A step in the making: what is decided so far, and the room that it leaves.

use std::collections::BTreeSet;

use propeller_api::Memory;
use propeller_protocol::Outcome;

use super::{Action, Entry, Holding, Key, Ledger, MAX_TOMBSTONES, Record, Step, entries::Load, key};

pub(super) struct Draft<'a> {
    ledger: &'a Ledger,
    load: Load,
    /// Places that were left since.
    left: BTreeSet<u64>,
    pub(super) step: Step,
}

impl<'a> Draft<'a> {
    pub(super) fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            load: ledger.entries.load(),
            left: BTreeSet::new(),
            step: Step::default(),
        }
    }

    pub(super) fn put(&mut self, key: Key, entry: Entry) {
        self.step.records.push(Record::Put(key, Box::new(entry)));
    }

    pub(super) fn act(&mut self, action: Action) {
        self.step.actions.push(action);
    }

    /// The attempt runs from now on.
    pub(super) fn run(&mut self, holding: Holding, memory: Memory) {
        self.load.add(memory);
        let started = None;
        self.put(
            key(&holding.attempt),
            Entry::Running {
                holding,
                memory,
                started,
            },
        );
    }

    /// A tombstone, for which the oldest goes if there are too many.
    pub(super) fn bury(&mut self, key: Key, tombstone: Entry) {
        let oldest = self.ledger.entries.oldest_of(MAX_TOMBSTONES).cloned();
        self.step.records.extend(oldest.map(Record::Remove));
        self.put(key, tombstone);
    }

    /// What waited or ran has ended so, and gives back its room.
    pub(super) fn end(&mut self, key: &Key, outcome: Outcome) {
        if let Some(holding) = self.leave(key) {
            let entry = Entry::Finished {
                holding: holding.clone(),
                outcome: outcome.clone(),
            };
            self.put(key.clone(), entry);
            self.act(Action::Ended(holding, outcome));
        }
    }

    /// What waited or ran gives back its room.
    pub(super) fn leave(&mut self, key: &Key) -> Option<Holding> {
        match self.ledger.entries.get(key)? {
            Entry::Queued { holding, place, .. } => {
                self.left.insert(*place);
                self.act(Action::Cancel(holding.attempt.clone()));
                Some(holding.clone())
            }
            Entry::Running { holding, memory, .. } => {
                self.load.remove(*memory);
                Some(holding.clone())
            }
            Entry::Finished { .. } | Entry::Tombstone { .. } => None,
        }
    }

    /// Runs what is next in the queue for as long as there is room for it.
    pub(super) fn advance(&mut self) {
        while let Some((place, holding, memory)) = self.next()
            && self.fits(memory)
        {
            self.left.insert(place);
            self.act(Action::Proceed(holding.attempt.clone()));
            self.run(holding.clone(), memory);
        }
    }

    /// What waits and may run, and is first.
    pub(super) fn next(&self) -> Option<(u64, &'a Holding, Memory)> {
        let entries = &self.ledger.entries;
        let waiting = entries.queue().filter_map(|(place, key)| match entries.get(key)? {
            Entry::Queued { holding, memory, .. } => Some((place, holding, *memory)),
            _ => None,
        });
        // What waits for a lease holds up nobody who needs none.
        let mut ready = waiting.filter(|(_, holding, _)| self.ledger.may_run(holding));
        ready.find(|(place, ..)| !self.left.contains(place))
    }

    /// Whether there is room for a task that needs so much.
    pub(super) fn fits(&self, memory: Memory) -> bool {
        let capacity = &self.ledger.terms.capacity;
        let tasks = usize::try_from(capacity.tasks).unwrap_or(usize::MAX);
        self.load.tasks < tasks && self.load.memory.saturating_add(memory.bytes()) <= capacity.memory.bytes()
    }

    /// How many of those that waited before still wait.
    pub(super) fn waiting(&self) -> usize {
        self.ledger.entries.waiting() - self.left.len()
    }
}
