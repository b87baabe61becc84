//! When which task is to be planned again though nothing happens.

use std::{collections::HashMap, future::poll_fn, time::Duration};

use jiff::Timestamp;
use tokio_util::time::{DelayQueue, delay_queue::Key};

/// Nothing sleeps longer: planning once a day more costs nothing, and the queue can't hold delays of years.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// At most one time for each task.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    queue: DelayQueue<String>,
    keys: HashMap<String, Key>,
}

impl Wakes {
    /// Wakes the task at `at`, in place of what was set before; never, if `at` is `None`.
    pub(super) fn set(&mut self, uid: &str, at: Option<Timestamp>, now: Timestamp) {
        let Some(at) = at else { return self.forget(uid) };
        let delay = Duration::try_from(at.duration_since(now))
            .unwrap_or_default()
            .min(LONGEST);
        match self.keys.get(uid) {
            Some(key) => self.queue.reset(key, delay),
            None => {
                self.keys
                    .insert(uid.to_owned(), self.queue.insert(uid.to_owned(), delay));
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        if let Some(key) = self.keys.remove(uid) {
            self.queue.remove(&key);
        }
    }

    /// The next task to wake. Waits for ever while there is none; nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> String {
        poll_fn(|context| match self.queue.poll_expired(context) {
            std::task::Poll::Ready(Some(expired)) => {
                let uid = expired.into_inner();
                self.keys.remove(&uid);
                std::task::Poll::Ready(uid)
            }
            _ => std::task::Poll::Pending,
        })
        .await
    }
}
