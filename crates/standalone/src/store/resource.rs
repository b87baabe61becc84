//! The two kinds of resources as the store keeps them.

use std::fmt;

use propeller_api::{Invalid, Metadata, NamespacedName, Proplet, Task};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One run of one component.
    Task,
    /// One host.
    Proplet,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Task, Self::Proplet];

    /// As in `kind:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "Task",
            Self::Proplet => "Proplet",
        }
    }

    /// As in a path.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Task => "tasks",
            Self::Proplet => "proplets",
        }
    }

    /// The kind of that plural.
    pub fn of_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A resource of either kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Resource {
    /// A task.
    Task(Box<Task>),
    /// A proplet.
    Proplet(Box<Proplet>),
}

/// Why JSON is no resource.
#[derive(Debug, thiserror::Error)]
pub struct Unreadable {
    path: String,
    source: serde_json::Error,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "." => write!(f, "{}", self.source),
            path => write!(f, "{path}: {}", self.source),
        }
    }
}

impl Resource {
    /// Reads a resource. Unknown fields are refused, but for those of metadata.
    pub fn read(kind: Kind, json: &Value) -> Result<Self, Unreadable> {
        fn read<T: DeserializeOwned>(json: &Value) -> Result<Box<T>, Unreadable> {
            serde_path_to_error::deserialize(json).map_err(|error| Unreadable {
                path: error.path().to_string(),
                source: error.into_inner(),
            })
        }
        Ok(match kind {
            Kind::Task => Self::Task(read(json)?),
            Kind::Proplet => Self::Proplet(read(json)?),
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Task(_) => Kind::Task,
            Self::Proplet(_) => Kind::Proplet,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Task(task) => &task.metadata,
            Self::Proplet(proplet) => &proplet.metadata,
        }
    }

    /// Its metadata, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        match self {
            Self::Task(task) => &mut task.metadata,
            Self::Proplet(proplet) => &mut proplet.metadata,
        }
    }

    /// Where it is.
    pub fn key(&self) -> NamespacedName {
        let Metadata { namespace, name, .. } = self.metadata();
        NamespacedName {
            namespace: namespace.clone(),
            name: name.clone(),
        }
    }

    /// Checks every rule that needs nothing but the resource.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Task(task) => task.validate(),
            Self::Proplet(proplet) => proplet.validate(),
        }
    }

    /// Checks whether it may take the place of `old`.
    pub(super) fn validate_edit(&self, old: &Self) -> Result<(), Invalid> {
        match (self, old) {
            (Self::Task(new), Self::Task(old)) => new.validate_edit(old),
            _ => Ok(()),
        }
    }

    /// Takes over the status of `other`, which is of the same kind.
    pub(super) fn take_status(&mut self, other: &Self) {
        match (self, other) {
            (Self::Task(to), Self::Task(from)) => to.status.clone_from(&from.status),
            (Self::Proplet(to), Self::Proplet(from)) => to.status.clone_from(&from.status),
            _ => {}
        }
    }

    /// Nobody but the control plane writes a status.
    pub(super) fn without_status(mut self) -> Self {
        match &mut self {
            Self::Task(task) => task.status = None,
            Self::Proplet(proplet) => proplet.status = None,
        }
        self
    }

    pub(super) fn has_spec_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Task(one), Self::Task(other)) => one.spec == other.spec,
            (Self::Proplet(one), Self::Proplet(other)) => one.spec == other.spec,
            _ => false,
        }
    }
}

impl From<Task> for Resource {
    fn from(task: Task) -> Self {
        Self::Task(Box::new(task))
    }
}

impl From<Proplet> for Resource {
    fn from(proplet: Proplet) -> Self {
        Self::Proplet(Box::new(proplet))
    }
}
