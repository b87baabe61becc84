//! What the brain wants done, and what comes of it.
//!
//! A brain does nothing itself. What it wants done is a [`Job`]; whoever does it comes back with [`Done`], in any order and as late as it
//! takes. A job whose end never comes is one of a process that ended.

use jiff::Timestamp;
use propeller_api::{Metadata, NamespacedName, Proplet, PropletId, Task, Work};

use super::backoff::{Backoff, after};
use crate::plan::{Resolution, Resolved, Unresolved};

/// Between two tries of a reference that can't be resolved for now: registries come back, and people push what was missing.
const RETRY: Backoff = Backoff {
    first_seconds: 10,
    longest_seconds: 300,
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Something for the store to do.
#[derive(Debug, Clone)]
pub enum Job {
    /// Write the task's status, if the stored task still has this uid and resource version.
    WriteTask(Box<Task>),
    /// Read the task of that name past every cache.
    ReadTask {
        /// Which task it is about. Another one may have its name by now.
        uid: String,
        /// Its namespace and name.
        key: NamespacedName,
    },
    /// Delete the task, if it still has this uid and resource version.
    DeleteTask(Box<Task>),
    /// Write the Proplet's status, under the same conditions as a task's.
    WriteProplet(Box<Proplet>),
    /// Make a Proplet that isn't there yet.
    CreateProplet(Box<Proplet>),
}

/// A job is done.
#[derive(Debug)]
pub enum Done {
    /// A write of a task's status ended. With the task as stored, if it succeeded.
    TaskWritten {
        /// Which task.
        uid: String,
        /// What came of it.
        result: Result<Task, WriteError>,
    },
    /// A task was looked for: as it is now, or `None` if there is none of that name.
    TaskRead {
        /// Which task it was about.
        uid: String,
        /// What came of it.
        result: Result<Option<Task>, ReadError>,
    },
    /// A task was deleted, or not.
    TaskDeleted {
        /// Which task.
        uid: String,
        /// What came of it.
        result: Result<(), WriteError>,
    },
    /// A reference was resolved, and what is to run was checked.
    Resolved {
        /// The task that wanted it.
        uid: String,
        /// The reference.
        image: String,
        /// What is to run.
        work: Work,
        /// What came of it.
        result: Result<Resolved, Trouble>,
    },
    /// A write of a Proplet's status ended.
    PropletWritten {
        /// Which Proplet.
        uid: String,
        /// What came of it.
        result: Result<Proplet, WriteError>,
    },
    /// A Proplet was made. [`WriteError::Conflict`], if one of that name is there.
    PropletCreated {
        /// The identity that it was made for.
        id: PropletId,
        /// What came of it.
        result: Result<(), WriteError>,
    },
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

impl WriteError {
    /// The outcome of a write in one word, as figures have it.
    pub fn label<T>(result: &Result<T, Self>) -> &'static str {
        match result {
            Ok(_) => "written",
            Err(Self::Conflict) => "conflict",
            Err(Self::Gone) => "gone",
            Err(Self::Refused(_)) => "refused",
            Err(Self::Failed(_)) => "failed",
        }
    }
}

/// The store couldn't say what there is.
#[derive(Debug, thiserror::Error)]
#[error("can't read from the store")]
pub struct ReadError(#[source] pub Cause);

/// Why a reference or a call can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word that stays the same over versions.
    pub reason: String,
    /// For people, with what to change.
    pub message: String,
    /// Whether the same reference and call may work later.
    pub is_transient: bool,
}

/// What the plan is told of a try to resolve, `failures` being the transient failures in a row with this one.
pub(super) fn resolution(
    uid: &str,
    failures: u32,
    now: Timestamp,
    (image, work): (String, Work),
    result: Result<Resolved, Trouble>,
) -> Resolution {
    let outcome = result.map_err(|trouble| Unresolved {
        reason: trouble.reason,
        message: trouble.message,
        retry_at: trouble
            .is_transient
            .then(|| after(now, RETRY.delay(uid, failures.saturating_sub(1)))),
    });
    Resolution { image, work, outcome }
}

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
