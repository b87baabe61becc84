//! Single flight: of all who want a digest at once, one downloads it and the others find it in the cache.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use propeller_api::Digest;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// One lock per digest that somebody holds or waits for.
///
/// A lock and no shared result: when the one who downloads is cancelled or fails, the next one simply takes its turn.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>);

impl Flights {
    /// Waits until nobody else downloads the digest. It is ours until the guard is dropped.
    pub(crate) async fn join(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        self.lock_of(digest).lock_owned().await
    }

    fn lock_of(&self, digest: &Digest) -> Arc<AsyncMutex<()>> {
        // The map is changed by single steps only, so a panic elsewhere doesn't spoil it.
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(digest).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(digest.clone(), Arc::downgrade(&lock));
        lock
    }
}
