//! Bytes that cross the wall of a sandbox.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts what one run was given and gave. Clones count into the same sums, so that streams can count which outlive a borrow of the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    into_guest: AtomicU64,
    out_of_guest: AtomicU64,
}

impl Traffic {
    /// The guest was given so many bytes more: arguments, input, a response.
    pub(super) fn gave(&self, bytes: usize) {
        self.0.into_guest.fetch_add(bytes as u64, Relaxed);
    }

    /// The guest let go of so many bytes more: a result, output, a request.
    pub(super) fn took(&self, bytes: usize) {
        self.0.out_of_guest.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes in and bytes out, as the guest sees it.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.0.into_guest.load(Relaxed), self.0.out_of_guest.load(Relaxed))
    }
}
