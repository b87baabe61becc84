//! How far a transfer has come, for whoever draws it.

use std::{fmt, sync::Arc};

type Watch = dyn Fn(u64, u64) + Send + Sync;

/// Called with the bytes done and the total while a component travels. Nothing is called when it comes from the cache.
///
/// A transfer that is tried again starts from zero again. The function runs on the threads that move the bytes, so it must be quick.
#[derive(Clone)]
pub struct Progress(Arc<Watch>);

impl Progress {
    /// Nobody watches.
    pub fn none() -> Self {
        Self::new(|_, _| {})
    }

    /// Tells `watch(done, total)`, both in bytes.
    pub fn new(watch: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(watch))
    }

    pub(crate) fn at(&self, done: u64, total: u64) {
        (self.0)(done, total);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
