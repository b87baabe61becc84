//! A store in memory: versions and conflicts as the real ones have them, and troubles on demand.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use propeller_api::{NamespacedName, Proplet, Task};

use crate::brain::{Change, Event, Notice, WriteError};

#[derive(Default)]
pub(super) struct Store {
    pub(super) tasks: BTreeMap<NamespacedName, Task>,
    pub(super) proplets: BTreeMap<NamespacedName, Proplet>,
    /// What the next writes of task statuses come to, in place of what they would.
    pub(super) troubles: VecDeque<WriteError>,
    /// How long a write of a task's status takes.
    pub(super) slowness: Duration,
    /// Writes aren't answered while this is set.
    pub(super) holds_writes: bool,
    /// Reads aren't answered while this is set.
    pub(super) holds_reads: bool,
    /// Task statuses written.
    pub(super) task_writes: usize,
    /// Proplet statuses written.
    pub(super) proplet_writes: usize,
    pub(super) notices: Vec<Notice>,
    /// Lines of tasks that were to be kept.
    pub(super) lines: Vec<String>,
    /// Tasks whose lines were to be forgotten.
    pub(super) forgotten: Vec<String>,
    /// Tasks whose lines were to be left, when those of all others were to be forgotten.
    pub(super) remembered: Vec<Vec<String>>,
    /// The caches are told nothing while this is set.
    pub(super) is_silent: bool,
    /// The caches are told of a write before whoever asked for it.
    pub(super) tells_first: bool,
    /// What the caches are to be told.
    pub(super) news: VecDeque<Event>,
    version: u64,
}

impl Store {
    fn tell(&mut self, event: Event) {
        if !self.is_silent {
            self.news.push_back(event);
        }
    }

    fn next_version(&mut self) -> Option<String> {
        self.version += 1;
        Some((self.version + 100).to_string())
    }

    pub(super) fn put_task(&mut self, mut task: Task) -> Task {
        task.metadata.resource_version = self.next_version();
        self.tasks.insert(task.key(), task.clone());
        self.tell(Event::Task(Change::Is(Box::new(task.clone()))));
        task
    }

    pub(super) fn put_proplet(&mut self, mut proplet: Proplet) -> Proplet {
        proplet.metadata.resource_version = self.next_version();
        self.proplets.insert(proplet.key(), proplet.clone());
        self.tell(Event::Proplet(Change::Is(Box::new(proplet.clone()))));
        proplet
    }

    pub(super) fn delete_proplet(&mut self, key: &NamespacedName) {
        let proplet = self.proplets.remove(key).unwrap();
        let uid = proplet.metadata.uid;
        self.tell(Event::Proplet(Change::Gone { uid }));
    }

    pub(super) fn delete_task(&mut self, key: &NamespacedName) {
        let task = self.tasks.remove(key).unwrap();
        self.tell(Event::Task(Change::Gone { uid: task.metadata.uid }));
    }

    pub(super) fn write_task(&mut self, task: &Task) -> Result<Task, WriteError> {
        if let Some(trouble) = self.troubles.pop_front() {
            return Err(trouble);
        }
        let mut stored = self.precondition(task)?;
        stored.status.clone_from(&task.status);
        self.task_writes += 1;
        Ok(self.put_task(stored))
    }

    pub(super) fn remove_task(&mut self, task: &Task) -> Result<(), WriteError> {
        self.precondition(task)?;
        self.delete_task(&task.key());
        Ok(())
    }

    fn precondition(&self, task: &Task) -> Result<Task, WriteError> {
        let stored = self.tasks.get(&task.key()).ok_or(WriteError::Gone)?;
        if stored.metadata.uid != task.metadata.uid {
            return Err(WriteError::Gone);
        }
        if stored.metadata.resource_version != task.metadata.resource_version {
            return Err(WriteError::Conflict);
        }
        Ok(stored.clone())
    }

    pub(super) fn write_proplet(&mut self, proplet: &Proplet) -> Result<Proplet, WriteError> {
        let stored = self.proplets.get(&proplet.key()).ok_or(WriteError::Gone)?;
        if stored.metadata.resource_version != proplet.metadata.resource_version {
            return Err(WriteError::Conflict);
        }
        let mut stored = stored.clone();
        stored.status.clone_from(&proplet.status);
        self.proplet_writes += 1;
        Ok(self.put_proplet(stored))
    }

    pub(super) fn create_proplet(&mut self, proplet: &Proplet) {
        let mut proplet = proplet.clone();
        proplet.metadata.uid = format!("uid-{}", proplet.metadata.name);
        self.put_proplet(proplet);
    }
}
