//! Where resources live, as the brain needs it: Kubernetes' API server now, SQLite for the standalone shell, a map in tests.

use std::future::Future;

use propeller_api::{Metadata, NamespacedName, Proplet, Task};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Durable resources, and a place to tell people what happened.
pub trait Store: Send + Sync + 'static {
    /// Writes `task.status`, if the stored task still has the uid and the resource version of `task`. Returns the task as stored.
    fn write_status(&self, task: &Task) -> impl Future<Output = Result<Task, WriteError>> + Send;

    /// The task as it is now, past any cache; `None` if there is none of that name.
    fn read(&self, key: &NamespacedName) -> impl Future<Output = Result<Option<Task>, ReadError>> + Send;

    /// Writes `proplet.status`, under the same conditions as a task's.
    fn write_proplet_status(&self, proplet: &Proplet) -> impl Future<Output = Result<Proplet, WriteError>> + Send;

    /// Makes a Proplet that isn't there yet. [`WriteError::Conflict`] if one of that name is.
    fn create_proplet(&self, proplet: &Proplet) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Tells people. Never waits; what can't be told is dropped.
    fn tell(&self, notice: Notice);
}

/// Why something wasn't written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was changed since it was read.
    #[error("the resource was changed meanwhile")]
    Conflict,
    /// It isn't there any more.
    #[error("the resource is gone")]
    Gone,
    /// What should be written is against the store's rules, and will be the next time too.
    #[error("the store refuses it: {0}")]
    Refused(String),
    /// The store can't be reached or doesn't work; later it may.
    #[error("the store failed")]
    Failed(#[source] Cause),
}

/// The store couldn't say what there is.
#[derive(Debug, thiserror::Error)]
#[error("can't read from the store")]
pub struct ReadError(#[source] pub Cause);

/// Something that people should hear about a resource, beside its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub about: About,
    /// Whether something is wrong.
    pub severity: Severity,
    /// What the control plane was doing, in one CamelCase word.
    pub action: &'static str,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// The resource that a [`Notice`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace and name.
    pub key: NamespacedName,
    /// Its uid.
    pub uid: String,
}

impl About {
    /// The resource of that kind with this metadata.
    pub fn new(kind: &'static str, metadata: &Metadata) -> Self {
        let key = NamespacedName {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        };
        Self {
            kind,
            key,
            uid: metadata.uid.clone(),
        }
    }
}

/// Whether a [`Notice`] is about something wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody may want to look at it.
    Warning,
}
