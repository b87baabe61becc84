//! Where a control plane's resources live. What it has answered is durable, unless somebody restores it from a backup.

use std::collections::BTreeMap;

use propeller_api::{Metadata, NamespacedName, Proplet, Task, TaskSpec};
use propeller_delivery::brain::{Change, Done, Event, Job, WriteError};

/// Tasks and Proplets with versions, and what was done to them in order.
#[derive(Debug, Clone)]
pub struct Store {
    plane: usize,
    pub tasks: BTreeMap<NamespacedName, Task>,
    pub proplets: BTreeMap<NamespacedName, Proplet>,
    version: u64,
    uids: u64,
    /// What watches are to be told.
    pub news: Vec<News>,
}

/// All that a store had once. Uids aren't part of it: nobody gives one twice.
#[derive(Debug, Clone, Default)]
pub struct Backup {
    tasks: BTreeMap<NamespacedName, Task>,
    proplets: BTreeMap<NamespacedName, Proplet>,
    version: u64,
}

/// A change of a resource.
#[derive(Debug, Clone)]
pub enum News {
    Task(Box<Task>),
    TaskGone(String),
    Proplet(Box<Proplet>),
    PropletGone(String),
}

impl News {
    /// As a cache of the brain hears of it.
    pub fn event(self) -> Event {
        match self {
            Self::Task(task) => Event::Task(Change::Is(task)),
            Self::TaskGone(uid) => Event::Task(Change::Gone { uid }),
            Self::Proplet(proplet) => Event::Proplet(Change::Is(proplet)),
            Self::PropletGone(uid) => Event::Proplet(Change::Gone { uid }),
        }
    }
}

pub const NAMESPACE: &str = "lab";

pub fn key(name: &str) -> NamespacedName {
    NamespacedName {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
    }
}

fn uid(plane: usize, number: u64) -> String {
    format!("uid-{plane}-{number}")
}

impl Store {
    pub fn new(plane: usize) -> Self {
        Self {
            plane,
            tasks: BTreeMap::new(),
            proplets: BTreeMap::new(),
            version: 0,
            uids: 0,
            news: Vec::new(),
        }
    }

    pub fn back_up(&self) -> Backup {
        Backup {
            tasks: self.tasks.clone(),
            proplets: self.proplets.clone(),
            version: self.version,
        }
    }

    /// Everything is as it was, the versions too. Nobody watches meanwhile.
    pub fn restore(&mut self, backup: Backup) {
        let Backup {
            tasks,
            proplets,
            version,
        } = backup;
        (self.tasks, self.proplets, self.version) = (tasks, proplets, version);
    }

    /// Every uid that it ever gave to a resource.
    pub fn uids(&self) -> impl Iterator<Item = String> {
        (1..=self.uids).map(|number| uid(self.plane, number))
    }

    fn next_version(&mut self) -> Option<String> {
        self.version += 1;
        Some(self.version.to_string())
    }

    /// Metadata of a resource that is made now.
    pub fn metadata(&mut self, name: &str, now: jiff::Timestamp) -> Metadata {
        self.uids += 1;
        Metadata {
            name: name.to_owned(),
            namespace: NAMESPACE.to_owned(),
            uid: uid(self.plane, self.uids),
            generation: Some(1),
            resource_version: None,
            creation_timestamp: Some(now),
            ..Metadata::default()
        }
    }

    pub fn put_task(&mut self, mut task: Task) -> Task {
        task.metadata.resource_version = self.next_version();
        self.tasks.insert(task.key(), task.clone());
        self.news.push(News::Task(Box::new(task.clone())));
        task
    }

    pub fn put_proplet(&mut self, mut proplet: Proplet) -> Proplet {
        proplet.metadata.resource_version = self.next_version();
        self.proplets.insert(proplet.key(), proplet.clone());
        self.news.push(News::Proplet(Box::new(proplet.clone())));
        proplet
    }

    pub fn delete_task(&mut self, key: &NamespacedName) {
        if let Some(task) = self.tasks.remove(key) {
            self.news.push(News::TaskGone(task.metadata.uid));
        }
    }

    pub fn delete_proplet(&mut self, key: &NamespacedName) {
        if let Some(proplet) = self.proplets.remove(key) {
            self.news.push(News::PropletGone(proplet.metadata.uid));
        }
    }

    /// Changes the spec, as people do.
    pub fn edit(&mut self, key: &NamespacedName, edit: impl FnOnce(&mut TaskSpec)) {
        if let Some(mut task) = self.tasks.get(key).cloned() {
            edit(&mut task.spec);
            task.metadata.generation = task.metadata.generation.map(|generation| generation + 1);
            self.put_task(task);
        }
    }

    /// Changes a Proplet's labels or spec, as people do.
    pub fn edit_proplet(&mut self, key: &NamespacedName, edit: impl FnOnce(&mut Proplet)) {
        if let Some(mut proplet) = self.proplets.get(key).cloned() {
            edit(&mut proplet);
            self.put_proplet(proplet);
        }
    }

    /// The task with that uid.
    pub fn by_uid(&self, uid: &str) -> Option<&Task> {
        self.tasks.values().find(|task| task.metadata.uid == uid)
    }

    /// Everything, as a listing tells it.
    pub fn list(&self) -> Vec<Event> {
        let mut events = vec![Event::Task(Change::Listing)];
        let tasks = self.tasks.values().cloned();
        events.extend(tasks.map(|task| Event::Task(Change::Is(Box::new(task)))));
        events.extend([Event::Task(Change::Listed), Event::Proplet(Change::Listing)]);
        let proplets = self.proplets.values().cloned();
        events.extend(proplets.map(|proplet| Event::Proplet(Change::Is(Box::new(proplet)))));
        events.push(Event::Proplet(Change::Listed));
        events
    }

    /// Does a job, if its conditions hold.
    pub fn perform(&mut self, job: Job) -> Done {
        match job {
            Job::WriteTask(task) => Done::TaskWritten {
                result: self.write_task(&task),
                uid: task.metadata.uid,
            },
            Job::ReadTask { uid, key } => Done::TaskRead {
                uid,
                result: Ok(self.tasks.get(&key).cloned()),
            },
            Job::DeleteTask(task) => Done::TaskDeleted {
                result: self.check(&task).map(|_| self.delete_task(&task.key())),
                uid: task.metadata.uid,
            },
            Job::WriteProplet(proplet) => Done::PropletWritten {
                result: self.write_proplet(&proplet),
                uid: proplet.metadata.uid,
            },
            Job::CreateProplet(proplet) => Done::PropletCreated {
                id: proplet.spec.connection_config.client_id,
                result: Err(WriteError::Conflict),
            },
        }
    }

    fn check(&self, task: &Task) -> Result<Task, WriteError> {
        let stored = self.tasks.get(&task.key()).ok_or(WriteError::Gone)?;
        if stored.metadata.uid != task.metadata.uid {
            return Err(WriteError::Gone);
        }
        if stored.metadata.resource_version != task.metadata.resource_version {
            return Err(WriteError::Conflict);
        }
        Ok(stored.clone())
    }

    fn write_task(&mut self, task: &Task) -> Result<Task, WriteError> {
        let mut stored = self.check(task)?;
        stored.status.clone_from(&task.status);
        Ok(self.put_task(stored))
    }

    fn write_proplet(&mut self, proplet: &Proplet) -> Result<Proplet, WriteError> {
        let stored = self.proplets.get(&proplet.key()).ok_or(WriteError::Gone)?;
        if stored.metadata.resource_version != proplet.metadata.resource_version {
            return Err(WriteError::Conflict);
        }
        let mut stored = stored.clone();
        stored.status.clone_from(&proplet.status);
        Ok(self.put_proplet(stored))
    }
}

/// A job that the store didn't answer, as whoever asked sees it.
pub fn failed(job: &Job) -> Done {
    let cause = || "the store is away".into();
    match job {
        Job::WriteTask(task) => Done::TaskWritten {
            uid: task.metadata.uid.clone(),
            result: Err(WriteError::Failed(cause())),
        },
        Job::ReadTask { uid, .. } => Done::TaskRead {
            uid: uid.clone(),
            result: Err(propeller_delivery::brain::ReadError(cause())),
        },
        Job::DeleteTask(task) => Done::TaskDeleted {
            uid: task.metadata.uid.clone(),
            result: Err(WriteError::Failed(cause())),
        },
        Job::WriteProplet(proplet) => Done::PropletWritten {
            uid: proplet.metadata.uid.clone(),
            result: Err(WriteError::Failed(cause())),
        },
        Job::CreateProplet(proplet) => Done::PropletCreated {
            id: proplet.spec.connection_config.client_id.clone(),
            result: Err(WriteError::Failed(cause())),
        },
    }
}
