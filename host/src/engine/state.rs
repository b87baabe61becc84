//! What one run owns: the data of its store. Nothing here is shared between runs.

use wasmtime::{Store, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{Granted, Sandbox, TaskContext, memory::MemoryBound, traffic::Traffic};

/// Handles to host objects (streams, timers, files) that a guest may hold at one time. They live in the host's memory, not in the guest's.
const HANDLES: usize = 10_000;

/// Host memory for what a guest passes to the host in one call, beside what its result may take.
const HOST_CALL_BYTES: usize = 1 << 20;

/// The host's side of one instance.
pub(super) struct State {
    pub(super) task: TaskContext,
    pub(super) memory: MemoryBound,
    pub(super) traffic: Traffic,
    pub(super) granted: Granted,
    wasi: WasiCtx,
    handles: ResourceTable,
}

impl State {
    /// A fresh store with the bounds of `sandbox`, ready to instantiate in. `argv` is what the guest sees as its arguments.
    pub(super) fn store(engine: &wasmtime::Engine, sandbox: &Sandbox, argv: &[String]) -> Store<Self> {
        let mut store = Store::new(engine, Self::new(sandbox, argv));
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        // No JSON text is shorter than one byte per value, so what doesn't fit here doesn't fit the result's limit either, and is found out
        // before a list of some megabytes has become a hundred times as much in the host.
        let result = sandbox
            .limits
            .result
            .saturating_mul(size_of::<wasmtime::component::Val>());
        store.set_hostcall_fuel(result.saturating_add(HOST_CALL_BYTES));
        store
    }

    fn new(sandbox: &Sandbox, argv: &[String]) -> Self {
        let traffic = Traffic::default();
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(HANDLES);
        Self {
            task: sandbox.task.clone(),
            memory: MemoryBound::new(sandbox.limits.memory),
            wasi: context(sandbox, argv, &traffic),
            granted: sandbox.grants.clone(),
            handles,
            traffic,
        }
    }
}

/// A WASI with clocks and randomness, and what was granted.
///
/// All else is off unless it's asked for; the sockets are said again because they are what would hurt most.
fn context(sandbox: &Sandbox, argv: &[String], traffic: &Traffic) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    sandbox.stdio.connect(&mut wasi, traffic);
    wasi.args(argv);
    let Some(granted) = sandbox.grants.capabilities() else {
        return wasi.build();
    };
    wasi.envs(&granted.env);
    let mut wasi = wasi.build();
    *wasi.filesystem() = granted.directories.clone();
    wasi
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.handles,
        }
    }
}
