//! The entries, with what would otherwise be counted over all of them on every event: there are few that are held, and an hour's tombstones.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeBounds,
};

use jiff::Timestamp;
use propeller_api::Memory;

use super::{Entry, Key};

/// Entries by key. Everything but `all` follows from `all`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Entries {
    all: BTreeMap<Key, Entry>,
    load: Load,
    queue: BTreeMap<u64, Key>,
    held: BTreeSet<Key>,
    leased: BTreeSet<Key>,
    tombstones: BTreeSet<(Timestamp, Key)>,
}

/// What the running attempts take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) tasks: usize,
    pub(super) memory: u64,
}

impl Load {
    pub(super) fn add(&mut self, memory: Memory) {
        self.tasks += 1;
        self.memory = self.memory.saturating_add(memory.bytes());
    }

    pub(super) fn remove(&mut self, memory: Memory) {
        self.tasks = self.tasks.saturating_sub(1);
        self.memory = self.memory.saturating_sub(memory.bytes());
    }
}

impl Entries {
    pub(super) fn insert(&mut self, key: Key, entry: Entry) {
        self.remove(&key);
        match &entry {
            Entry::Queued { place, .. } => drop(self.queue.insert(*place, key.clone())),
            Entry::Running { memory, .. } => self.load.add(*memory),
            Entry::Finished { .. } => {}
            Entry::Tombstone { made, .. } => drop(self.tombstones.insert((*made, key.clone()))),
        }
        if let Entry::Queued { holding, .. } | Entry::Running { holding, .. } = &entry
            && holding.leased_before.is_some()
        {
            self.leased.insert(key.clone());
        }
        if !matches!(entry, Entry::Tombstone { .. }) {
            self.held.insert(key.clone());
        }
        self.all.insert(key, entry);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        match self.all.remove(key) {
            Some(Entry::Queued { place, .. }) => drop(self.queue.remove(&place)),
            Some(Entry::Running { memory, .. }) => self.load.remove(memory),
            Some(Entry::Tombstone { made, .. }) => drop(self.tombstones.remove(&(made, key.clone()))),
            Some(Entry::Finished { .. }) | None => {}
        }
        self.held.remove(key);
        self.leased.remove(key);
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.all.get(key)
    }

    pub(super) fn range(&self, keys: impl RangeBounds<Key>) -> impl DoubleEndedIterator<Item = (&Key, &Entry)> {
        self.all.range(keys)
    }

    /// What isn't a tombstone.
    pub(super) fn held(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.held.iter().filter_map(|key| self.all.get_key_value(key))
    }

    /// How many aren't tombstones.
    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// What waits or runs and needs a lease.
    pub(super) fn leased(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.leased.iter().filter_map(|key| self.all.get_key_value(key))
    }

    pub(super) fn needs_lease(&self) -> bool {
        !self.leased.is_empty()
    }

    /// The oldest tombstone, if there are that many.
    pub(super) fn oldest_of(&self, count: usize) -> Option<&Key> {
        let oldest = self.tombstones.first().filter(|_| self.tombstones.len() >= count);
        oldest.map(|(_, key)| key)
    }

    /// What runs now takes this.
    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// What waits, the next one first.
    pub(super) fn queue(&self) -> impl Iterator<Item = (u64, &Key)> {
        self.queue.iter().map(|(place, key)| (*place, key))
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Behind everything that waits.
    pub(super) fn next_place(&self) -> u64 {
        self.queue.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Tombstones that were made before that time.
    pub(super) fn tombstones_before(&self, time: Timestamp) -> impl Iterator<Item = &Key> {
        let old = self.tombstones.iter().take_while(move |(made, _)| *made < time);
        old.map(|(_, key)| key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
