//! The components that are ready, or being made so.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use propeller_api::Digest;

use super::prepare::Ready;

/// A compilation that everyone who asks for its digest waits for together. Its own task drives it, so that it doesn't stop with any of them.
pub(super) type Flight = Shared<BoxFuture<'static, Ready>>;

/// At most `capacity` flights by digest, the most recently used last. A vector, because looking through a few dozen digests takes less
/// than anything that follows.
pub(super) struct Shelf {
    capacity: NonZeroUsize,
    flights: Mutex<Vec<(Digest, Flight)>>,
}

impl Shelf {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity,
            flights: Mutex::default(),
        }
    }

    /// The flight of this digest, if there is one.
    pub(super) fn get(&self, digest: &Digest) -> Option<Flight> {
        use_again(&mut self.lock(), digest)
    }

    /// The flight of this digest. `start` is called if there is none.
    pub(super) fn get_or_start(&self, digest: &Digest, start: impl FnOnce() -> BoxFuture<'static, Ready>) -> Flight {
        let mut flights = self.lock();
        if let Some(flight) = use_again(&mut flights, digest) {
            return flight;
        }
        if flights.len() == self.capacity.get() {
            drop(flights.remove(0));
        }
        let flight = start().shared();
        flights.push((digest.clone(), flight.clone()));
        flight
    }

    /// Let the next one who asks start anew.
    pub(super) fn forget(&self, digest: &Digest) {
        self.lock().retain(|(known, _)| known != digest);
    }

    /// A panic elsewhere can't leave the vector in halves: use it nevertheless.
    fn lock(&self) -> MutexGuard<'_, Vec<(Digest, Flight)>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the flight of this digest to the end of those that are to stay longest.
fn use_again(flights: &mut [(Digest, Flight)], digest: &Digest) -> Option<Flight> {
    let found = flights.iter().position(|(known, _)| known == digest)?;
    let later = flights.get_mut(found..)?;
    later.rotate_left(1);
    later.last().map(|(_, flight)| flight.clone())
}

#[cfg(test)]
mod tests {
    use futures::future::ready;

    use super::*;
    use crate::engine::PrepareError;

    fn failed() -> BoxFuture<'static, Ready> {
        ready(Err(PrepareError::Host { detail: String::new() })).boxed()
    }

    /// Asks for each digest in turn, and says for which a compilation was started.
    fn started(shelf: &Shelf, asked: &[u8]) -> Vec<u8> {
        let mut started = Vec::new();
        for n in asked {
            drop(shelf.get_or_start(&Digest::from_sha256([*n; 32]), || {
                started.push(*n);
                failed()
            }));
        }
        started
    }

    #[test]
    fn a_digest_is_started_once() {
        let shelf = Shelf::new(NonZeroUsize::new(2).unwrap());
        assert_eq!(started(&shelf, &[1, 1, 2, 1]), [1, 2]);
        assert!(shelf.get(&Digest::from_sha256([1; 32])).is_some());
        assert!(shelf.get(&Digest::from_sha256([3; 32])).is_none());
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let shelf = Shelf::new(NonZeroUsize::new(2).unwrap());
        assert_eq!(started(&shelf, &[1, 2, 1, 3, 1, 2]), [1, 2, 3, 2]);
    }

    #[test]
    fn what_is_forgotten_is_started_anew() {
        let shelf = Shelf::new(NonZeroUsize::new(2).unwrap());
        assert_eq!(started(&shelf, &[1]), [1]);
        shelf.forget(&Digest::from_sha256([1; 32]));
        assert_eq!(started(&shelf, &[1]), [1]);
    }
}
