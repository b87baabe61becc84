//! What changed of late, for those who watch.

use std::{collections::VecDeque, sync::Arc};

use super::Resource;

/// How many changes are remembered. Who is further behind lists anew.
const REMEMBERED: usize = 4_096;

/// One change.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// As it was before.
    pub before: Option<Arc<Resource>>,
    /// As it is now; when it is gone, as it was, with the version of its end.
    pub now: Arc<Resource>,
    /// Whether it is gone.
    pub is_gone: bool,
}

/// The version that somebody wants to go on from is older than what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: list anew, and watch from there")]
pub struct Forgotten;

/// The changes since some version.
#[derive(Debug)]
pub(super) struct Changes {
    /// Everything later is here.
    since: u64,
    recent: VecDeque<Change>,
}

impl Changes {
    pub(super) fn since(version: u64) -> Self {
        Self {
            since: version,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, change: Change) {
        self.recent.push_back(change);
        if self.recent.len() > REMEMBERED
            && let Some(forgotten) = self.recent.pop_front()
        {
            self.since = forgotten.version;
        }
    }

    pub(super) fn after(&self, version: u64) -> Result<Vec<Change>, Forgotten> {
        if version < self.since {
            return Err(Forgotten);
        }
        let begin = self.recent.partition_point(|change| change.version <= version);
        Ok(self.recent.range(begin..).cloned().collect())
    }
}
