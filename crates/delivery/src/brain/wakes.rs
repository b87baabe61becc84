//! When which task is to be planned again though nothing happens.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

/// At most one time for each task, on the control plane's clock.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    queue: BTreeSet<(Timestamp, String)>,
    times: HashMap<String, Timestamp>,
}

impl Wakes {
    /// Wakes the task at `at`, in place of what was set before; never, if `at` is `None`.
    pub(super) fn set(&mut self, uid: &str, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.times.insert(uid.to_owned(), at),
            None => self.times.remove(uid),
        };
        if let Some(before) = before {
            self.queue.remove(&(before, uid.to_owned()));
        }
        self.queue.extend(at.map(|at| (at, uid.to_owned())));
    }

    /// The next task to wake, if it is time.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<String> {
        self.queue.first().filter(|(at, _)| *at <= now)?;
        let (_, uid) = self.queue.pop_first()?;
        self.times.remove(&uid);
        Some(uid)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }
}
