//! Everything that can happen to a proplet.

use super::{keeper::Answer, logs::Batch, supervisor::News, vitals::Question};
use propeller_bus as bus;
use propeller_delivery::ledger;

/// One thing that happened. The loop does each without waiting for anything.
#[derive(Debug)]
pub enum Event {
    /// On the session with the broker.
    Bus(bus::Event),
    /// The keeper has decided, and what it decided is durable.
    Answer(Answer),
    /// A start was held against the policy.
    Checked(ledger::Event),
    /// Something became of an attempt.
    News(News),
    /// A task wrote lines.
    Lines(Batch),
    /// Somebody wants to know how the proplet is.
    Question(Question),
    /// It's time for a sign of life.
    Heartbeat,
    /// It's time to look whether the lease is over.
    Look,
    /// It's time to tell again what wasn't acknowledged.
    Repeat,
    /// It's time for figures.
    Metrics,
    /// What was accepted a moment ago hasn't ended: it's time to say that it was accepted.
    TellAccepts,
    /// Somebody wants the process to end.
    Signal,
    /// The time that an end may take is up.
    TimeUp,
    /// The keeper's thread died, or the session ended: nothing can go on.
    Broken(&'static str),
}
