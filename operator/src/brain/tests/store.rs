//! A store in memory: versions and conflicts as the real ones have them, and troubles on demand.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use propeller_api::{NamespacedName, Proplet, Task};
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};

use crate::brain::{Change, Event, Notice, ReadError, Store, WriteError};

pub(super) struct MemoryStore {
    state: Mutex<State>,
    /// Writes pass while it has permits.
    pub(super) writes: Semaphore,
    /// Reads pass while it has permits.
    pub(super) reads: Semaphore,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) tasks: BTreeMap<NamespacedName, Task>,
    pub(super) proplets: BTreeMap<NamespacedName, Proplet>,
    /// What the next writes of task statuses come to, in place of what they would.
    pub(super) troubles: VecDeque<WriteError>,
    /// How long a write of a task's status takes.
    pub(super) slowness: Duration,
    /// Task statuses written.
    pub(super) task_writes: usize,
    /// Proplet statuses written.
    pub(super) proplet_writes: usize,
    pub(super) notices: Vec<Notice>,
    version: u64,
    /// The brain's caches. Nobody watches before it is there.
    pub(super) watch: Option<mpsc::Sender<Event>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            writes: Semaphore::new(Semaphore::MAX_PERMITS),
            reads: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl MemoryStore {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn tell(&self, event: Event) {
        if let Some(watch) = &self.watch {
            // A brain that has ended doesn't listen.
            let _ = watch.try_send(event);
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

    pub(super) fn delete_task(&mut self, key: &NamespacedName) {
        let task = self.tasks.remove(key).unwrap();
        self.tell(Event::Task(Change::Gone { uid: task.metadata.uid }));
    }

    fn write_task(&mut self, task: &Task) -> Result<Task, WriteError> {
        if let Some(trouble) = self.troubles.pop_front() {
            return Err(trouble);
        }
        let stored = self.tasks.get(&task.key()).ok_or(WriteError::Gone)?;
        if stored.metadata.uid != task.metadata.uid {
            return Err(WriteError::Gone);
        }
        if stored.metadata.resource_version != task.metadata.resource_version {
            return Err(WriteError::Conflict);
        }
        let mut stored = stored.clone();
        stored.status.clone_from(&task.status);
        self.task_writes += 1;
        Ok(self.put_task(stored))
    }

    fn write_proplet(&mut self, proplet: &Proplet) -> Result<Proplet, WriteError> {
        let stored = self.proplets.get(&proplet.key()).ok_or(WriteError::Gone)?;
        if stored.metadata.resource_version != proplet.metadata.resource_version {
            return Err(WriteError::Conflict);
        }
        let mut stored = stored.clone();
        stored.status.clone_from(&proplet.status);
        self.proplet_writes += 1;
        Ok(self.put_proplet(stored))
    }
}

impl Store for MemoryStore {
    async fn write_status(&self, task: &Task) -> Result<Task, WriteError> {
        let _permit = self.writes.acquire().await.unwrap();
        let slowness = self.state().slowness;
        sleep(slowness).await;
        self.state().write_task(task)
    }

    async fn read(&self, key: &NamespacedName) -> Result<Option<Task>, ReadError> {
        let _permit = self.reads.acquire().await.unwrap();
        Ok(self.state().tasks.get(key).cloned())
    }

    async fn write_proplet_status(&self, proplet: &Proplet) -> Result<Proplet, WriteError> {
        self.state().write_proplet(proplet)
    }

    async fn create_proplet(&self, proplet: &Proplet) -> Result<(), WriteError> {
        let mut proplet = proplet.clone();
        proplet.metadata.uid = format!("uid-{}", proplet.metadata.name);
        self.state().put_proplet(proplet);
        Ok(())
    }

    fn tell(&self, notice: Notice) {
        self.state().notices.push(notice);
    }
}
