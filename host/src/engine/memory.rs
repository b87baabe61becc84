//! One memory bound for a whole instance.
//!
//! A component may hold several core instances, each with memories and tables of its own, so a bound per memory is no bound at all.
//! Wasmtime asks here before any of them is made or grown, and this keeps the sum.

use wasmtime::ResourceLimiter;

/// Wasmtime's tables hold a pointer per element.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Every memory reserves address space (4 GiB and guards), used or not, so their number is bounded too. Composed components have one
/// per part; nothing that toolchains make comes near.
const MEMORIES: usize = 64;
/// As for memories; every core instance has one or two.
const TABLES: usize = 256;
const INSTANCES: usize = 512;

/// Counts what all memories and tables of one store hold, and refuses what would exceed the bound.
#[derive(Debug)]
pub(super) struct MemoryBound {
    limit: usize,
    used: usize,
    refused: bool,
}

impl MemoryBound {
    /// A bound of `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: 0,
            refused: false,
        }
    }

    /// Bytes held at most at one time. Memories never shrink while their store lives, so the sum is the peak.
    pub(super) fn peak(&self) -> u64 {
        self.used as u64
    }

    /// Whether the guest was ever refused memory: what it failed of afterwards is most likely that.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// Growth that the memory's or table's own maximum forbids fails by itself, and is not counted.
    ///
    /// A permitted growth that fails later (the kernel has no memory left) stays counted: Wasmtime tells of failed growth also where it
    /// didn't ask before, so that taking something back on its word would let a guest lower the count.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return true;
        }
        let more = desired.saturating_sub(current).saturating_mul(unit);
        let used = self.used.saturating_add(more);
        if used > self.limit {
            self.refused = true;
            return false;
        }
        self.used = used;
        true
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
