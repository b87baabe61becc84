//! One bound on the memory of a run: what its guest holds, and what the host holds on its behalf.
//!
//! A component may hold several core instances, each with memories and tables of its own, so a bound per memory is no bound at all.
//! Wasmtime asks here before any of them is made or grown, and this keeps the sum. Host buffers that live longer than a call are added to
//! the same sum while they live. The instances of a service have one bound together: each keeps a sum of its own, and every byte of it is
//! also in the sum of the service, until the instance ends.
//!
//! What a hostile guest can make the host hold, and what bounds it:
//!
//! | What | Bound |
//! |---|---|
//! | linear memories and tables | counted here |
//! | HTTP connections: buffers, TLS, a chunk each way | counted here, 256 KiB each, and 64 at a time |
//! | values read from a key-value bucket | counted here while they are read; 1 MiB each |
//! | address space and host structures of memories, tables, instances | their numbers, below |
//! | handles: streams, files, sockets, timers, requests, bodies, fields | [`MemoryBound::handles`]: their number is such that with the buffer of each full, all together are no more than the bound again |
//! | handles and tasks of the component model itself (0.3's streams, futures, subtasks; resources of the guest) | the same number |
//! | what is passed to the host in one call: strings, lists, poll lists | Wasmtime's fuel for host calls, set with the store |
//! | HTTP fields | 64 KiB for each set of them |
//! | bytes waiting in an output stream or an outgoing body | 64 KiB each (`wasmtime-wasi` for files and sockets; two chunks of `p2_outgoing_body_chunk_size` here) |
//! | one read from a stream, file or socket | 64 KiB (`wasmtime-wasi`) |
//! | random bytes in one call | 64 KiB |
//! | environment, arguments, configuration | the Task's own limits, since they come from it |
//!
//! What lives for one call only isn't counted: there is one call at a time in 0.2, and in 0.3 as many as there are handles for.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use wasmtime::{ResourceLimiter, component::ResourceTableError};

/// Wasmtime's tables hold a pointer per element.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Every memory reserves address space (4 GiB and guards), used or not, so their number is bounded too. Composed components have one
/// per part; nothing that toolchains make comes near.
const MEMORIES: usize = 64;
/// As for memories; every core instance has one or two.
const TABLES: usize = 256;
const INSTANCES: usize = 512;

/// The most that the host buffers behind one handle.
const HANDLE_BYTES: usize = 64 << 10;
/// A guest with little memory needs some handles nevertheless: three streams, a file, what it waits for.
const FEWEST_HANDLES: usize = 128;
/// As many as there are for one request of a service. The rest of the service's handles is for its other requests.
const FEWEST_OF_REQUEST: usize = 64;
/// Many of them are file descriptors, of which the host has a limited number for all its tasks.
const MOST_HANDLES: usize = 2048;

/// Counts what all memories and tables of one store hold, and refuses what would exceed the bound.
#[derive(Debug)]
pub(super) struct MemoryBound {
    account: Account,
    handles: usize,
}

/// The sum that is bounded. Clones share it, for buffers that outlive a borrow of the store.
#[derive(Debug, Clone)]
pub(super) struct Account(Arc<Sums>);

#[derive(Debug)]
struct Sums {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    refused: AtomicBool,
    /// The service that this is an instance of, whose bound is that of all its instances.
    service: Option<Account>,
    /// Whether the service had nothing left where the instance's own bound had.
    crowded: AtomicBool,
}

/// Bytes that the host holds for the guest until this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    account: Account,
    bytes: usize,
}

impl MemoryBound {
    /// A bound of `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        let account = Account::new(limit, None);
        let handles = (account.0.limit / HANDLE_BYTES).clamp(FEWEST_HANDLES, MOST_HANDLES);
        Self { account, handles }
    }

    /// What is left of the service's bound, for one of as many requests at a time.
    pub(super) fn of_request(service: &Account, requests: NonZeroUsize) -> Self {
        let limit = service.0.limit;
        Self {
            account: Account::new(limit as u64, Some(service.clone())),
            handles: (limit / HANDLE_BYTES / requests).clamp(FEWEST_OF_REQUEST, MOST_HANDLES),
        }
    }

    /// For what the host holds.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Bytes held at most at one time.
    pub(super) fn peak(&self) -> u64 {
        self.account.peak()
    }

    /// Whether the guest was ever refused memory: what it failed of afterwards is most likely that.
    pub(super) fn refused(&self) -> bool {
        self.account.0.refused.load(Relaxed)
    }

    /// Whether the guest was ever refused memory that others of its service hold.
    pub(super) fn crowded(&self) -> bool {
        self.account.0.crowded.load(Relaxed)
    }

    /// Handles to host objects that the guest may hold at one time.
    pub(super) fn handles(&self) -> usize {
        self.handles
    }

    /// Growth that the memory's or table's own maximum forbids fails by itself, and is not counted.
    ///
    /// A permitted growth that fails later (the kernel has no memory left) stays counted: Wasmtime tells of failed growth also where it
    /// didn't ask before, so that taking something back on its word would let a guest lower the count.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return true;
        }
        self.account.add(desired.saturating_sub(current).saturating_mul(unit))
    }
}

/// Whether a guest failed because it holds as many handles as it may. Wasmtime has no public type for the limit on the component model's own; a
/// test holds its words.
pub(super) fn is_out_of_handles(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || error.root_cause().to_string().contains("store handle limit exceeded")
}

impl Account {
    /// Nothing is held. What is held later is held by the service, too.
    pub(super) fn new(limit: u64, service: Option<Self>) -> Self {
        Self(Arc::new(Sums {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            service,
            crowded: AtomicBool::new(false),
        }))
    }

    /// Count bytes that the host is about to hold. Nothing, if they would exceed the bound.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Reservation> {
        self.add(bytes).then(|| Reservation {
            account: self.clone(),
            bytes,
        })
    }

    /// Bytes held at most at one time.
    pub(super) fn peak(&self) -> u64 {
        self.0.peak.load(Relaxed) as u64
    }

    fn add(&self, bytes: usize) -> bool {
        let sums = &self.0;
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= sums.limit);
        let Ok(before) = sums.used.fetch_update(Relaxed, Relaxed, fits) else {
            sums.refused.store(true, Relaxed);
            return false;
        };
        if sums.service.as_ref().is_some_and(|service| !service.add(bytes)) {
            sums.used.fetch_sub(bytes, Relaxed);
            sums.crowded.store(true, Relaxed);
            return false;
        }
        sums.peak.fetch_max(before.saturating_add(bytes), Relaxed);
        true
    }

    fn subtract(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Relaxed);
        if let Some(service) = &self.0.service {
            service.subtract(bytes);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.subtract(self.bytes);
    }
}

/// The instance has ended, and every buffer of it: its memories and tables, which are never taken from its own sum, are given back.
impl Drop for Sums {
    fn drop(&mut self) {
        if let Some(service) = &self.service {
            service.subtract(*self.used.get_mut());
        }
    }
}

impl ResourceLimiter for MemoryBound {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, TABLE_ELEMENT))
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn instances(&self) -> usize {
        INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_bound() {
        let mut bound = MemoryBound::new(1000);
        assert!(bound.memory_growing(0, 500, None).unwrap());
        assert!(bound.memory_growing(0, 300, None).unwrap(), "a second memory");
        assert!(bound.table_growing(0, 25, None).unwrap());
        assert_eq!(bound.peak(), 1000);
        assert!(!bound.refused());
        assert!(!bound.table_growing(25, 26, None).unwrap());
        assert!(bound.refused());
        assert_eq!(bound.peak(), 1000, "what was refused isn't held");
    }

    #[test]
    fn host_buffers_count_while_they_live() {
        let mut bound = MemoryBound::new(1000);
        assert!(bound.memory_growing(0, 500, None).unwrap());
        let buffer = bound.account().reserve(400).unwrap();
        assert!(!bound.memory_growing(500, 700, None).unwrap());
        assert!(bound.account().reserve(101).is_none());
        drop(buffer);
        assert!(bound.memory_growing(500, 700, None).unwrap());
        assert_eq!(bound.peak(), 900);
    }

    #[test]
    fn instances_of_a_service_share_its_bound_and_give_back_what_they_held() {
        let service = Account::new(1000, None);
        let instance = || MemoryBound::of_request(&service, NonZeroUsize::MIN);
        let (mut first, mut second) = (instance(), instance());
        assert!(first.memory_growing(0, 600, None).unwrap());
        assert!(!second.memory_growing(0, 500, None).unwrap());
        assert_eq!((second.crowded(), second.refused()), (true, false), "others hold it");
        assert!(!second.memory_growing(0, 1001, None).unwrap());
        assert!(second.refused(), "nobody may have as much");
        let buffer = second.account().reserve(400).unwrap();
        assert!(service.reserve(1).is_none());

        drop(second);
        assert!(service.reserve(1).is_none(), "the buffer outlives the store");
        drop(buffer);
        drop(service.reserve(400).unwrap());
        drop(first);
        assert!(service.reserve(1000).is_some());
        assert_eq!(service.peak(), 1000);
    }

    #[test]
    fn a_sum_that_no_number_holds_is_refused() {
        let bound = MemoryBound::new(u64::MAX);
        let _most = bound.account().reserve(usize::MAX).unwrap();
        assert!(bound.account().reserve(1).is_none());
    }

    #[test]
    fn growth_beyond_the_declared_maximum_is_not_counted() {
        let mut bound = MemoryBound::new(1000);
        assert!(bound.memory_growing(0, 2000, Some(900)).unwrap());
        bound
            .memory_grow_failed(wasmtime::Error::msg("Memory maximum size exceeded"))
            .unwrap();
        assert_eq!(bound.peak(), 0);
    }

    #[test]
    fn a_failure_that_nobody_asked_about_takes_nothing_back() {
        let mut bound = MemoryBound::new(1000);
        assert!(bound.memory_growing(0, 900, None).unwrap());
        bound
            .memory_grow_failed(wasmtime::Error::msg("memory growth exceeds memory type's limits"))
            .unwrap();
        assert!(!bound.memory_growing(900, 1100, None).unwrap());
    }
}
