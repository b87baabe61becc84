//! Wasmtime alone: what a careful program would write to make the same call in a fresh instance, with the very engine and code that
//! Propeller uses, and no sandbox beyond the epoch.

use anyhow::{Context, Result};
use propeller_host::engine::Prepared;
use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, InstancePre, Linker, ResourceTable, Val},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// A component ready to be called.
#[derive(Clone)]
pub struct Floor {
    pre: InstancePre<Bare>,
    function: ComponentExportIndex,
}

/// WASI only for those who call it: making its context takes longer than the call.
#[derive(Default)]
struct Bare {
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| WasiCtx::builder().build()),
            table: &mut self.table,
        }
    }
}

impl Floor {
    pub fn new(prepared: &Prepared, interface: Option<&str>, function: &str) -> Result<Self> {
        let component: &Component = prepared.component();
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let interface = match interface {
            Some(name) => Some(component.get_export_index(None, name).context("no such interface")?),
            None => None,
        };
        Ok(Self {
            pre: linker.instantiate_pre(component)?,
            function: component
                .get_export_index(interface.as_ref(), function)
                .context("no such function")?,
        })
    }

    /// Instantiates, calls and drops.
    pub async fn call(&self, arguments: &[Val]) -> Result<Val> {
        let mut store = Store::new(self.pre.engine(), Bare::default());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let function = instance
            .get_func(&mut store, self.function)
            .context("no such function")?;
        let mut results = [Val::Bool(false)];
        function.call_async(&mut store, arguments, &mut results).await?;
        let [result] = results;
        Ok(result)
    }
}
