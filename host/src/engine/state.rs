//! What one run owns: the data of its store. Nothing here is shared between runs.

use std::sync::Arc;

use wasmtime::{Store, component::ResourceTable};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::{
    Sandbox, TaskContext,
    memory::MemoryBound,
    traffic::Traffic,
    wasi::{Later, Wasi},
};

/// Host memory for what a guest passes to the host in one call, beside what its result may take.
const HOST_CALL_BYTES: usize = 1 << 20;

/// The host's side of one instance.
pub(super) struct State {
    pub(super) task: Arc<TaskContext>,
    pub(super) memory: MemoryBound,
    pub(super) traffic: Traffic,
    pub(super) wasi: Later,
    pub(super) handles: ResourceTable,
}

impl State {
    /// A fresh store with the bounds of `sandbox`, of which `memory` is one, ready to instantiate in. `argv` is what the guest sees as its arguments.
    pub(super) fn store(
        engine: &wasmtime::Engine,
        sandbox: &Sandbox,
        argv: &[String],
        memory: MemoryBound,
    ) -> Store<Self> {
        let mut store = Store::new(engine, Self::new(sandbox, argv, memory));
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
        let handles = store.data().memory.handles();
        store.set_max_component_handles(handles);
        if let Some(concurrent) = store.concurrent_resource_table() {
            concurrent.set_max_capacity(handles);
        }
        store
    }

    fn new(sandbox: &Sandbox, argv: &[String], memory: MemoryBound) -> Self {
        let traffic = Traffic::default();
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(memory.handles());
        Self {
            task: sandbox.task.clone(),
            wasi: Later::new(sandbox, argv),
            memory,
            handles,
            traffic,
        }
    }

    /// The WASI of this run.
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get(self.memory.account(), &self.traffic)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get(self.memory.account(), &self.traffic);
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut self.handles,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let wasi = self.wasi.get(self.memory.account(), &self.traffic);
        WasiHttpCtxView {
            hooks: &mut wasi.outgoing,
            table: &mut self.handles,
            ctx: &mut wasi.http,
        }
    }
}
