//! Every task that isn't gone, with what the brain knows of it and its status doesn't say.
//!
//! An index with one writer and no IO: by uid, by the proplet that it is placed on, and by namespace for those that wait for a place.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Bound,
    time::Duration,
};

use crate::{
    inbox::Inbox,
    plan::{Action, Published, Resolution},
};
use jiff::Timestamp;
use propeller_api::{Phase, PropletId, Task, TaskStatus};

/// Order in which tasks that wait get a place: by priority, then the oldest first.
type Turn = (Reverse<i32>, Option<Timestamp>, String);

/// One task.
#[derive(Debug)]
pub(super) struct Entry {
    /// The newest version that the store gave, by whichever way.
    pub(super) task: Task,
    pub(super) inbox: Inbox,
    pub(super) resolution: Option<Resolution>,
    pub(super) is_resolving: bool,
    /// It is being deleted, because its time to be kept was over.
    pub(super) is_deleting: bool,
    /// Transient failures to resolve, in a row.
    pub(super) unresolved: u32,
    pub(super) published: Option<Published>,
    /// The attempt whose start the broker didn't take, and why.
    pub(super) refused: Option<(u32, String)>,
    /// The status that is being written, until its outcome is known. There is one write of a task at a time, and no plan meanwhile.
    pub(super) writing: Option<Write>,
    /// It must be planned again when the write is done.
    pub(super) is_dirty: bool,
    /// Failed writes, in a row.
    pub(super) failures: u32,
    /// No plan before that moment, because the last write failed.
    pub(super) not_before: Option<Duration>,
    place: Place,
}

/// A write of a task's status.
#[derive(Debug)]
pub(super) struct Write {
    /// What the plan was made from. The cache may bring what is written before the write comes back.
    pub(super) before: Option<TaskStatus>,
    /// What is written.
    pub(super) status: TaskStatus,
    /// What waits for it to succeed.
    pub(super) actions: Vec<Action>,
}

/// Where the indexes have a task.
#[derive(Debug, Clone, Default, PartialEq)]
struct Place {
    phase: Option<Phase>,
    on: Option<PropletId>,
    /// Its turn, while it waits.
    turn: Option<Turn>,
}

/// All tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    entries: BTreeMap<String, Entry>,
    unreadable: HashSet<String>,
    placed: HashMap<PropletId, BTreeSet<String>>,
    waiting: BTreeMap<String, BTreeSet<Turn>>,
    phases: BTreeMap<Phase, i64>,
}

/// What a change of a task did to its proplet's load.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Not placed there any more.
    pub(super) from: Option<PropletId>,
    /// Placed there now.
    pub(super) to: Option<PropletId>,
}

impl Entry {
    fn new(task: Task) -> Self {
        Self {
            task,
            inbox: Inbox::default(),
            resolution: None,
            is_resolving: false,
            is_deleting: false,
            unresolved: 0,
            published: None,
            refused: None,
            writing: None,
            is_dirty: false,
            failures: 0,
            not_before: None,
            place: Place::default(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.task.status.as_ref().map_or(Phase::Pending, |status| status.phase)
    }

    /// Drops what only an open task needs.
    pub(super) fn settle(&mut self) {
        self.inbox = Inbox::default();
        self.resolution = None;
        self.published = None;
        self.refused = None;
    }
}

impl Tasks {
    /// Takes in what the store says. Returns whether it is news: the caches also bring back what this process wrote itself, and may be
    /// behind what it wrote last.
    pub(super) fn put(&mut self, task: Task) -> Option<Moved> {
        let uid = task.metadata.uid.clone();
        self.unreadable.remove(&uid);
        match self.entries.get_mut(&uid) {
            Some(entry) if !is_newer(&task, &entry.task) => return None,
            Some(entry) => entry.task = task,
            None => {
                self.entries.insert(uid.clone(), Entry::new(task));
            }
        }
        Some(self.reindex(&uid))
    }

    /// Takes in what a read past the caches says, which is how it is, whatever was known before.
    /// Nothing, if the task was forgotten meanwhile.
    pub(super) fn replace(&mut self, task: Task) -> Option<Moved> {
        let uid = task.metadata.uid.clone();
        self.entries.get_mut(&uid)?.task = task;
        Some(self.reindex(&uid))
    }

    /// The task is there and can't be read.
    pub(super) fn put_unreadable(&mut self, uid: String) {
        self.unreadable.insert(uid);
    }

    /// The task is gone. Returns what was known.
    pub(super) fn remove(&mut self, uid: &str) -> Option<(Entry, Moved)> {
        self.unreadable.remove(uid);
        let entry = self.entries.remove(uid)?;
        let moved = self.index(uid, &entry, &Place::default());
        Some((entry, moved))
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Entry> {
        self.entries.get(uid)
    }

    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut Entry> {
        self.entries.get_mut(uid)
    }

    /// Whether the task is there, though perhaps nobody can read it.
    pub(super) fn is_unreadable(&self, uid: &str) -> bool {
        self.unreadable.contains(uid) && !self.entries.contains_key(uid)
    }

    /// The uids of all tasks.
    pub(super) fn uids(&self) -> Vec<String> {
        self.entries.keys().chain(&self.unreadable).cloned().collect()
    }

    /// The tasks that are placed on that proplet and haven't ended.
    pub(super) fn placed_on(&self, id: &PropletId) -> impl Iterator<Item = &String> {
        self.placed.get(id).into_iter().flatten()
    }

    /// The next task of the namespace that waits, after `turn`.
    pub(super) fn next_waiting(&self, namespace: &str, turn: Option<&Turn>) -> Option<Turn> {
        let after = turn.map_or(Bound::Unbounded, Bound::Excluded);
        let mut waiting = self.waiting.get(namespace)?.range((after, Bound::Unbounded));
        waiting.next().cloned()
    }

    /// The namespaces with tasks that wait.
    pub(super) fn waiting_namespaces(&self) -> Vec<String> {
        self.waiting.keys().cloned().collect()
    }

    /// How many tasks are in each phase.
    pub(super) fn phases(&self) -> &BTreeMap<Phase, i64> {
        &self.phases
    }

    /// Brings the indexes up to date after an entry changed.
    pub(super) fn reindex(&mut self, uid: &str) -> Moved {
        let Some(mut entry) = self.entries.remove(uid) else {
            return Moved::default();
        };
        let place = Place::of(&entry);
        let moved = self.index(uid, &entry, &place);
        entry.place = place;
        self.entries.insert(uid.to_owned(), entry);
        moved
    }

    fn index(&mut self, uid: &str, entry: &Entry, new: &Place) -> Moved {
        let old = &entry.place;
        if old.phase != new.phase {
            self.count(old.phase, -1);
            self.count(new.phase, 1);
        }
        if old.turn != new.turn {
            self.queue(&entry.task.metadata.namespace, old.turn.as_ref(), new.turn.clone());
        }
        if old.on == new.on {
            return Moved::default();
        }
        if let Some(id) = &old.on {
            forget(&mut self.placed, id, uid);
        }
        if let Some(id) = &new.on {
            self.placed.entry(id.clone()).or_default().insert(uid.to_owned());
        }
        Moved {
            from: old.on.clone(),
            to: new.on.clone(),
        }
    }

    fn count(&mut self, phase: Option<Phase>, by: i64) {
        if let Some(phase) = phase {
            *self.phases.entry(phase).or_default() += by;
        }
    }

    fn queue(&mut self, namespace: &str, old: Option<&Turn>, new: Option<Turn>) {
        let turns = self.waiting.entry(namespace.to_owned()).or_default();
        if let Some(old) = old {
            turns.remove(old);
        }
        turns.extend(new);
        if turns.is_empty() {
            self.waiting.remove(namespace);
        }
    }
}

impl Place {
    /// What is being written counts for where the task is, or else a burst of tasks would all see the same free place; what is durable
    /// counts for its phase.
    fn of(entry: &Entry) -> Self {
        let writing = entry.writing.as_ref().map(|write| &write.status);
        let status = writing.or(entry.task.status.as_ref());
        let phase = status.map_or(Phase::Pending, |status| status.phase);
        let held = [writing, entry.task.status.as_ref()];
        let on = held.into_iter().flatten().find_map(placed_on);
        let Task { metadata, spec, .. } = &entry.task;
        let waits = phase == Phase::Pending && metadata.deletion_timestamp.is_none() && !spec.suspend;
        let turn = || {
            (
                Reverse(spec.priority),
                metadata.creation_timestamp,
                metadata.uid.clone(),
            )
        };
        Self {
            phase: Some(entry.phase()),
            on,
            turn: waits.then(turn),
        }
    }
}

fn placed_on(status: &TaskStatus) -> Option<PropletId> {
    let open = matches!(status.phase, Phase::Dispatched | Phase::Running);
    let dispatch = status.dispatch.as_ref().filter(|_| open);
    dispatch.map(|dispatch| dispatch.proplet_id.clone())
}

fn forget(placed: &mut HashMap<PropletId, BTreeSet<String>>, id: &PropletId, uid: &str) {
    if let Some(uids) = placed.get_mut(id) {
        uids.remove(uid);
        if uids.is_empty() {
            placed.remove(id);
        }
    }
}

/// Whether a cache brings news. Resource versions of one kind can be compared as numbers where both are numbers, which Kubernetes promises
/// since 1.35; where they aren't, any other version is news.
fn is_newer(new: &Task, known: &Task) -> bool {
    let (new, known) = (&new.metadata.resource_version, &known.metadata.resource_version);
    let number = |version: &Option<String>| version.as_deref()?.parse::<u128>().ok();
    match (number(new), number(known)) {
        (Some(new), Some(known)) => new > known,
        _ => new.is_none() || new != known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brain::tests::fixtures;

    #[test]
    fn what_is_old_is_no_news() {
        let check = |new: Option<&str>, known: Option<&str>, expected| {
            let task = |version: Option<&str>| {
                let mut task = fixtures::task("a");
                task.metadata.resource_version = version.map(str::to_owned);
                task
            };
            assert_eq!(is_newer(&task(new), &task(known)), expected, "{new:?} {known:?}");
        };
        check(Some("10"), Some("9"), true);
        check(Some("9"), Some("10"), false);
        check(Some("9"), Some("9"), false);
        check(Some("x"), Some("9"), true);
        check(Some("x"), Some("x"), false);
        check(None, None, true);
    }

    fn write(status: TaskStatus) -> Write {
        Write {
            before: None,
            status,
            actions: vec![],
        }
    }

    #[test]
    fn a_place_is_taken_from_the_write_on_and_until_the_end_is_durable() {
        let (mut tasks, id) = (Tasks::default(), fixtures::proplet_id("edge-1"));
        tasks.put(fixtures::task("a"));
        assert!(tasks.next_waiting("lab", None).is_some());

        let dispatched = fixtures::dispatched("edge-1", 1);
        tasks.get_mut("uid-a").unwrap().writing = Some(write(dispatched.clone()));
        assert_eq!(tasks.reindex("uid-a").to, Some(id.clone()));
        assert_eq!(
            (tasks.placed_on(&id).count(), tasks.next_waiting("lab", None)),
            (1, None)
        );

        let entry = tasks.get_mut("uid-a").unwrap();
        entry.task.status = Some(dispatched.clone());
        let completed = TaskStatus {
            phase: Phase::Completed,
            ..dispatched
        };
        entry.writing = Some(write(completed));
        assert_eq!(tasks.reindex("uid-a"), Moved::default());

        let entry = tasks.get_mut("uid-a").unwrap();
        entry.task.status = entry.writing.take().map(|write| write.status);
        assert_eq!(tasks.reindex("uid-a").from, Some(id.clone()));
        assert_eq!(
            (tasks.placed_on(&id).count(), tasks.phases()[&Phase::Completed]),
            (0, 1)
        );
    }
}
