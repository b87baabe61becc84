//! The components that are ready, or being made so.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use propeller_api::Digest;

use super::{Code, Miss};

/// What comes of making a component ready. It has many readers, so both sides are cheap to clone.
pub(super) type Ready = Result<Arc<Code>, Miss>;

/// Work that everyone who asks for its digest waits for together. It ends with the last of them: the shelf only knows that it's there.
pub(super) type Flight = Shared<BoxFuture<'static, Ready>>;

/// What the shelf has of a digest.
pub(super) enum Found {
    Ready(Arc<Code>),
    Flying(Flight),
}

/// What stays at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Components.
    pub(super) components: NonZeroUsize,
    /// Bytes of their compiled code together. The one used last stays in any case.
    pub(super) bytes: usize,
}

/// Components by digest, the most recently used last. A vector, because looking through a few dozen digests takes less than anything
/// that follows.
pub(super) struct Shelf {
    room: Room,
    entries: Mutex<Vec<(Digest, Entry)>>,
}

enum Entry {
    Ready(Arc<Code>),
    Flying(WeakShared<BoxFuture<'static, Ready>>),
}

impl Shelf {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            entries: Mutex::default(),
        }
    }

    /// What is there of this digest.
    pub(super) fn get(&self, digest: &Digest) -> Option<Found> {
        use_again(&mut self.lock(), digest)
    }

    /// What is there of this digest. `start` is called if there is nothing.
    pub(super) fn get_or_start(&self, digest: &Digest, start: impl FnOnce() -> BoxFuture<'static, Ready>) -> Found {
        let mut entries = self.lock();
        if let Some(found) = use_again(&mut entries, digest) {
            return found;
        }
        let flight = start().shared();
        // Also those of others that ended with nobody waiting.
        entries.retain(|(known, entry)| known != digest && !entry.is_abandoned());
        if let Some(weak) = flight.downgrade() {
            entries.push((digest.clone(), Entry::Flying(weak)));
        }
        Found::Flying(flight)
    }

    /// Keep what came of a flight, if it isn't kept already, and make room for it.
    pub(super) fn keep(&self, digest: &Digest, code: &Arc<Code>) {
        let mut entries = self.lock();
        if !matches!(use_again(&mut entries, digest), Some(Found::Ready(_))) {
            entries.retain(|(known, _)| known != digest);
            entries.push((digest.clone(), Entry::Ready(code.clone())));
            self.make_room(&mut entries);
        }
    }

    /// Let the next one who asks start anew, unless somebody has already.
    pub(super) fn forget(&self, digest: &Digest, flight: &Flight) {
        let is_it = |entry: &Entry| match entry {
            Entry::Ready(_) => false,
            // A flight that has ended can't be had again from its weak form.
            Entry::Flying(weak) => weak.upgrade().is_none_or(|other| other.ptr_eq(flight)),
        };
        self.lock().retain(|(known, entry)| known != digest || !is_it(entry));
    }

    fn make_room(&self, entries: &mut Vec<(Digest, Entry)>) {
        let (mut components, mut bytes) = (0, 0);
        // From the one used last, which always fits.
        let mut kept: Vec<bool> = entries
            .iter()
            .rev()
            .map(|(_, entry)| match entry {
                Entry::Flying(_) => true,
                Entry::Ready(code) => {
                    components += 1;
                    bytes += code.bytes();
                    components == 1 || (components <= self.room.components.get() && bytes <= self.room.bytes)
                }
            })
            .collect();
        entries.retain(|_| kept.pop().unwrap_or(true));
    }

    /// A panic elsewhere can't leave the vector in halves: use it nevertheless.
    fn lock(&self) -> MutexGuard<'_, Vec<(Digest, Entry)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_abandoned(&self) -> bool {
        matches!(self, Self::Flying(weak) if weak.upgrade().is_none())
    }
}

/// Moves what is there of this digest to the end of what is to stay longest.
fn use_again(entries: &mut [(Digest, Entry)], digest: &Digest) -> Option<Found> {
    let found = entries.iter().position(|(known, _)| known == digest)?;
    let later = entries.get_mut(found..)?;
    later.rotate_left(1);
    match &later.last()?.1 {
        Entry::Ready(code) => Some(Found::Ready(code.clone())),
        Entry::Flying(weak) => weak.upgrade().map(Found::Flying),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use futures::future::{pending, ready};
    use propeller_types::Contract;

    use super::*;
    use crate::engine::{
        code::{engines::Engines, load, pool},
        ticker::Activity,
    };

    /// A component that is ready: the least that can be.
    fn code() -> Arc<Code> {
        let slots = pool::Slots {
            instances: NonZeroU32::MIN,
            shares: NonZeroU32::MIN,
        };
        let engines = Engines::start(slots, Activity::of(1)).unwrap();
        let bytes = wat::parse_str("(component)").unwrap();
        let compiled = engines.plain().engine.precompile_component(&bytes).unwrap();
        load::from_memory(engines.plain(), Contract::read(&bytes).unwrap(), &compiled).unwrap()
    }

    fn shelf(components: usize, bytes: usize) -> Shelf {
        let components = NonZeroUsize::new(components).unwrap();
        Shelf::new(Room { components, bytes })
    }

    fn digest(n: u8) -> Digest {
        Digest::from_sha256([n; 32])
    }

    /// Asks for each digest in turn, keeps what comes of it, and says for which work was started.
    fn started(shelf: &Shelf, asked: &[u8]) -> Vec<u8> {
        let code = code();
        let mut started = Vec::new();
        for n in asked {
            let found = shelf.get_or_start(&digest(*n), || {
                started.push(*n);
                ready(Ok(code.clone())).boxed()
            });
            if let Found::Flying(flight) = found {
                shelf.keep(&digest(*n), &flight.now_or_never().unwrap().unwrap());
            }
        }
        started
    }

    #[test]
    fn a_digest_is_started_once() {
        let shelf = shelf(2, usize::MAX);
        assert_eq!(started(&shelf, &[1, 1, 2, 1]), [1, 2]);
        assert!(shelf.get(&digest(1)).is_some());
        assert!(shelf.get(&digest(3)).is_none());
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        assert_eq!(started(&shelf(2, usize::MAX), &[1, 2, 1, 3, 1, 2]), [1, 2, 3, 2]);
        let two = 2 * code().bytes();
        assert_eq!(started(&shelf(9, two), &[1, 2, 1, 3, 1, 2]), [1, 2, 3, 2]);
        assert_eq!(started(&shelf(9, 0), &[1, 1, 2, 1]), [1, 2, 1], "the last one stays");
    }

    #[test]
    fn a_flight_ends_with_the_last_who_waits() {
        let shelf = shelf(2, usize::MAX);
        let start = || shelf.get_or_start(&digest(1), || pending().boxed());
        let Found::Flying(first) = start() else { panic!() };
        let Found::Flying(second) = start() else { panic!() };
        assert!(first.ptr_eq(&second));
        drop(first);
        assert!(shelf.get(&digest(1)).is_some());
        drop(second);
        assert!(shelf.get(&digest(1)).is_none());
    }

    #[test]
    fn only_the_flight_that_failed_is_forgotten() {
        let shelf = shelf(2, usize::MAX);
        let start = || match shelf.get_or_start(&digest(1), || pending().boxed()) {
            Found::Flying(flight) => flight,
            Found::Ready(_) => panic!(),
        };
        let first = start();
        shelf.forget(&digest(1), &first);
        let second = start();
        assert!(!first.ptr_eq(&second));
        shelf.forget(&digest(1), &first);
        assert!(start().ptr_eq(&second));
    }
}
