//! Room for components on their way from the registry to the compiler: each is in memory as a whole, beside what tasks were given.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// That may arrive at the same moment, each as large as it may be.
const DOWNLOADS: usize = 4;

/// Bytes are counted in these.
const UNIT: u64 = 1 << 20;

/// All of it.
pub struct Room {
    units: Arc<Semaphore>,
    largest: u32,
}

/// What one component takes of it, until this is dropped.
pub(super) struct Held(Option<OwnedSemaphorePermit>);

impl Room {
    /// For components of at most so many bytes.
    pub fn new(largest: u64) -> Self {
        // More units than there are have no effect but that one component takes all of them.
        let largest = units(largest).min(u32::MAX >> 2);
        let all = usize::try_from(largest).unwrap_or(usize::MAX).saturating_mul(DOWNLOADS);
        Self {
            units: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            largest,
        }
    }

    /// For a component of which the size isn't known. Waits until there is room for the largest.
    pub(super) async fn enter(&self) -> Held {
        // Fails only if somebody closed the semaphore, and nobody does.
        Held(self.units.clone().acquire_many_owned(self.largest).await.ok())
    }
}

impl Held {
    /// It turned out to have so many bytes.
    pub(super) fn shrink(&mut self, bytes: usize) {
        if let Some(held) = &mut self.0 {
            let spare = held.num_permits().saturating_sub(units(bytes as u64) as usize);
            drop(held.split(spare));
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn downloads_wait_for_room_that_the_small_ones_give_back() {
        let room = Room::new(256 << 20);
        let enter = || room.enter().now_or_never();
        let mut held: Vec<_> = (0..DOWNLOADS).map(|_| enter().unwrap()).collect();
        assert!(enter().is_none());
        held[0].shrink(8 << 10);
        assert!(enter().is_none(), "not as much as the largest needs");
        held[1].shrink(8 << 10);
        held.push(enter().unwrap());
        assert!(enter().is_none());
        held.clear();
        assert_eq!(room.units.available_permits(), DOWNLOADS * 256);
    }
}
