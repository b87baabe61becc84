//! What happens to the brain, and what it says.
//!
//! Two closed enums carry everything in ([`Event`], and [`Done`](super::Done) for what the brain wanted done), one everything out.

use propeller_api::{Proplet, PropletId, Task, Work};
use propeller_protocol::{Ack, Alive, AttemptRef, Lease, Logs, Report, Start, Stop};

use super::{Done, Job, Notice};

/// What the shell tells the brain.
#[derive(Debug)]
pub enum Event {
    /// A job is done.
    Done(Box<Done>),
    /// Nothing happened, but time passed.
    Tick,
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
    /// The broker didn't take the start of that attempt. It is published again as if nobody had answered.
    StartRefused {
        /// Which attempt.
        attempt: AttemptRef,
        /// The broker's answer in one word.
        reason: String,
    },
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
    /// Lines of output of that proplet's task.
    Logs {
        /// Whose, by the topic.
        proplet: PropletId,
        /// The lines.
        logs: Box<Logs>,
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
    /// This heartbeat was heard.
    Lease(PropletId, Lease),
}

/// What the brain wants of the shell, in this order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Say this to a proplet.
    Send(Outgoing),
    /// Have the store do this, and come back with [`Event::Done`].
    Do(Job),
    /// Find the digest that `image` stands for now, and check `work` against that component; come back with [`Event::Done`] too.
    Resolve {
        /// The task that wants it.
        uid: String,
        /// The reference.
        image: String,
        /// What is to run.
        work: Work,
    },
    /// Tell people. Never waited for; what can't be told is dropped.
    Tell(Notice),
    /// Keep these lines: they are of the attempt that the status names. Never waited for, and lost with the process.
    Keep(Box<Logs>),
    /// Forget the lines of the task with this uid, which is gone.
    Forget(String),
    /// Forget the lines of all tasks but those with these uids. Said once, when all tasks were listed: others went while nobody looked.
    ForgetOthers(Vec<String>),
}
