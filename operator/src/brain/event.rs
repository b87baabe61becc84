//! What happens to the brain, and what it says.
//!
//! Two closed enums carry everything in ([`Event`] from the shell, `Done` from the brain's own jobs), one everything out.

use propeller_api::{Proplet, PropletId, Task, TaskStatus, Work};
use propeller_delivery::plan::{Action, Resolved};
use propeller_protocol::{Ack, Alive, Report, Start, Stop};

use super::{
    resolver::Trouble,
    store::{ReadError, WriteError},
};

/// What the shell tells the brain.
#[derive(Debug)]
pub enum Event {
    /// The cache of Tasks moved.
    Task(Change<Task>),
    /// The cache of Proplets moved.
    Proplet(Change<Proplet>),
    /// The session with the broker, or a message in it.
    Bus(Bus),
}

/// How a cache of resources moves. A shell lists everything first, and again whenever it may have missed something.
#[derive(Debug)]
pub enum Change<T> {
    /// A listing begins. What it doesn't mention is gone when it ends.
    Listing,
    /// The resource is like this now. Part of a listing if one is going on.
    Is(Box<T>),
    /// The resource is there, but this version can't read it. It is left alone, and so is what proplets hold of it.
    Unreadable {
        /// Its uid.
        uid: String,
    },
    /// The resource with this uid is gone.
    Gone {
        /// Its uid.
        uid: String,
    },
    /// The listing is complete: the cache is in sync.
    Listed,
}

impl<T> Change<T> {
    /// The same change of another form of the resource.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Listing => Change::Listing,
            Self::Is(resource) => Change::Is(Box::new(form(*resource))),
            Self::Unreadable { uid } => Change::Unreadable { uid },
            Self::Gone { uid } => Change::Gone { uid },
            Self::Listed => Change::Listed,
        }
    }
}

/// The session with the broker.
#[derive(Debug)]
pub enum Bus {
    /// Messages travel from now on.
    Connected,
    /// No message travels until [`Bus::Connected`].
    Disconnected,
    /// Presence or heartbeat of that proplet. A retained one tells what there was, and never proves life.
    Alive {
        /// Whose, by the topic.
        proplet: PropletId,
        /// What it says.
        alive: Box<Alive>,
        /// The broker kept it, so it may be old.
        retained: bool,
    },
    /// A report of that proplet.
    Report {
        /// Whose, by the topic.
        proplet: PropletId,
        /// What it says.
        report: Box<Report>,
    },
}

/// A message for a proplet. Every one may be lost: a start is published again until it is answered, a stop follows from the next inventory,
/// and an outcome that isn't acknowledged comes again.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Run this.
    Start(PropletId, Box<Start>),
    /// End this.
    Stop(PropletId, Stop),
    /// Forget this.
    Ack(PropletId, Ack),
}

/// A job of the brain is done.
#[derive(Debug)]
pub(super) enum Done {
    /// A write of a task's status ended.
    Written(Box<Written>),
    /// A task was read past the cache, after a conflict.
    Read {
        uid: String,
        result: Result<Option<Task>, ReadError>,
    },
    /// A task that the cache doesn't know was looked for, because this proplet reports its outcome.
    Sought {
        proplet: PropletId,
        report: Box<Report>,
        result: Result<Option<Task>, ReadError>,
    },
    /// This reference was resolved, and this call checked.
    Resolved {
        uid: String,
        wanted: (String, Work),
        result: Result<Resolved, Trouble>,
    },
    /// A write of a Proplet's status ended.
    PropletWritten {
        uid: String,
        result: Result<Proplet, WriteError>,
    },
    /// A Proplet was made for one that announced itself, or not.
    Registered {
        id: PropletId,
        result: Result<(), WriteError>,
    },
}

/// What came of the write of a task's status.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) uid: String,
    /// The status that the plan was made from.
    pub(super) before: Option<TaskStatus>,
    pub(super) result: Result<Task, WriteError>,
    /// What waits for the write to succeed.
    pub(super) actions: Vec<Action>,
}
