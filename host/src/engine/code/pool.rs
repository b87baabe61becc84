//! Where instances get their memories, tables and stacks: a pool of slots that are reserved once and reused.
//!
//! A slot keeps the pages that its last user touched, so that a component that comes again finds them mapped. Without a pool an instance
//! maps and unmaps all of it, which takes several times as long, and all threads queue for the lock of the address space meanwhile.
//!
//! A pool is mostly addresses: 8 TiB for 1,000 instances, of which only the pages in use take memory. A process may have fewer (`ulimit -v`, or
//! a processor with 39 bits of them), so its limit is looked at first, and then smaller and smaller pools are tried. Where not even a
//! small one fits, memories are made on demand, without any spare addresses.

use std::num::NonZeroU32;

use rustix::process::{Resource, getrlimit};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Component};

use super::target::{Memories, Target};

/// What one component may have in all. Toolchains make one memory, one or two tables and three or four core instances; composed
/// components have these once per part. [`MemoryBound`](super::super::memory) counts the same while a guest runs.
const MEMORIES: u32 = 64;
const TABLES: u32 = 256;
const CORE_INSTANCES: u32 = 512;

/// Slots for each instance. Most components have one memory and one table; those with more take more slots. Core instances are only counted, so
/// there are as many as can ever be asked for.
const MEMORIES_EACH: u32 = 2;
const TABLES_EACH: u32 = 4;

/// Stacks that there are at least where async guests run, which may have several each. Without concurrency it's one for each instance. Each takes a
/// system call when the pool is made.
const STACKS: u32 = 32;

/// Bytes of the host's own memory for a component's instance: functions, globals and the like. Nothing else bounds them.
const INSTANCE_BYTES: usize = 4 << 20;

/// Bytes of one memory.
const MEMORY_BYTES: u64 = 4 << 30;

/// Elements of one table. It only takes addresses until it's used.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Bytes of a memory, and of a table, that stay mapped for the next user of the slot. They are cleared by hand, which is faster than asking
/// the kernel up to about this size.
const MEMORY_KEPT: usize = 128 << 10;
const TABLE_KEPT: usize = 16 << 10;

/// Addresses that each slot of the pool takes, all in all, for the comparison with what the process may have.
const BYTES_PER_INSTANCE: u64 = 2 * (MEMORY_BYTES + (64 << 20)) + (64 << 20);

/// Below this a pool isn't worth its addresses.
const LEAST: u32 = 8;

/// How many instances there are to be, and for how many runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    pub(super) instances: NonZeroU32,
    /// Parts of it, of which a service takes one at most.
    pub(super) shares: NonZeroU32,
}

/// What one service may take of the pool, so that every other run finds as much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    instances: u32,
    memories: u32,
    tables: u32,
}

impl Share {
    /// Without a pool there are no slots to be short of.
    const UNBOUNDED: Self = Self {
        instances: u32::MAX,
        memories: u32::MAX,
        tables: u32::MAX,
    };

    fn of_pool(instances: u32, shares: NonZeroU32) -> Self {
        Self {
            instances: instances / shares,
            memories: memories(instances) / shares,
            tables: tables(instances) / shares,
        }
    }

    /// Instances of the component that it has room for. One in any case, since a component is never larger than the pool.
    pub(super) fn fits(self, component: &Component) -> u32 {
        // What isn't known counts as what a component may have at most.
        let needs = component.resources_required();
        let (memories, tables) = needs.map_or((MEMORIES, TABLES), |needs| (needs.num_memories, needs.num_tables));
        let by_memories = self.memories / memories.max(1);
        let by_tables = self.tables / tables.max(1);
        self.instances.min(by_memories).min(by_tables).max(1)
    }
}

/// Makes the engine for a target, with a pool of the instances that are wanted, or as many as fit.
///
/// The target says how its memories are laid out. That is known after the first engine of a process, and the same for the second.
pub(super) fn engine(concurrency: bool, wanted: Slots) -> wasmtime::Result<(Engine, Target, Share)> {
    let instances = wanted.instances.get();
    let reserved = Target {
        concurrency,
        memories: Memories::Reserved,
    };
    let mut refusal = None;
    for slots in attempts(instances, getrlimit(Resource::As).current) {
        let mut config = reserved.config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, concurrency)));
        match Engine::new(&config) {
            Ok(engine) => {
                report(slots, instances);
                return Ok((engine, reserved, Share::of_pool(slots, wanted.shares)));
            }
            Err(error) => refusal = Some(error),
        }
    }
    let why = refusal.map_or_else(
        || "the limit of the process's address space (ulimit -v) leaves no room".to_owned(),
        |error| format!("{error:#}"),
    );
    tracing::info!(
        why,
        "no pool for guests: their memories are made on demand, which is slower"
    );
    let tight = Target {
        memories: Memories::Tight,
        ..reserved
    };
    Ok((Engine::new(&tight.config())?, tight, Share::UNBOUNDED))
}

fn report(slots: u32, wanted: u32) {
    if slots < wanted {
        tracing::info!(
            slots,
            wanted,
            "the address space has room for fewer guests at once than configured"
        );
    } else {
        tracing::debug!(slots, "guests have a pool");
    }
}

/// The sizes to try, the largest first. A pool takes at most half of what the process may have.
fn attempts(instances: u32, address_space: Option<u64>) -> impl Iterator<Item = u32> {
    let room = address_space.map_or(u64::from(u32::MAX), |bytes| bytes / 2 / BYTES_PER_INSTANCE);
    let most = instances.min(u32::try_from(room).unwrap_or(u32::MAX));
    let least = LEAST.min(instances);
    std::iter::successors(Some(most), |slots| Some(slots / 2)).take_while(move |slots| *slots >= least.max(1))
}

/// At least what one component may have.
fn memories(instances: u32) -> u32 {
    instances.saturating_mul(MEMORIES_EACH).max(MEMORIES)
}

fn tables(instances: u32) -> u32 {
    instances.saturating_mul(TABLES_EACH).max(TABLES)
}

fn pool(instances: u32, concurrency: bool) -> PoolingAllocationConfig {
    let times = |count: u32| instances.saturating_mul(count);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(times(CORE_INSTANCES))
        .total_memories(memories(instances))
        .total_tables(tables(instances))
        .total_stacks(if concurrency { times(2).max(STACKS) } else { instances })
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(usize::try_from(MEMORY_BYTES).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(TABLE_KEPT)
        // Asks the kernel (6.7 and later) which pages were touched, so that those are kept wherever they are, and no others.
        .pagemap_scan(wasmtime::Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_and_smaller_pools_are_tried_within_half_of_the_address_space() {
        let check = |instances: u32, address_space: Option<u64>, expected: &[u32]| {
            assert_eq!(attempts(instances, address_space).collect::<Vec<_>>(), expected);
        };
        check(64, None, &[64, 32, 16, 8]);
        check(1, None, &[1]);
        check(64, Some(1 << 40), &[62, 31, 15]);
        check(64, Some(1 << 30), &[]);
    }
}
