//! What this host offers to components: WASI 0.2 with `wasi:http`, `wasi:config` and `wasi:keyvalue`, WASI 0.3 with `wasi:http` in an engine that has
//! concurrency, and `propeller:task`.
//!
//! Offering an interface grants nothing: every function asks the store of its own run what is allowed there.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use super::{EngineError, TaskContext, state::State, wasi};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit/task", world: "imports" });
}

use bindings::propeller::task::context;

/// `concurrency` says whether the engine has it: 0.3 can't be offered without.
pub(super) fn linker(engine: &wasmtime::Engine, concurrency: bool) -> Result<Linker<State>, EngineError> {
    let mut linker = Linker::new(engine);
    fill(&mut linker, concurrency).map_err(|error| EngineError::Link(error.into_boxed_dyn_error()))?;
    Ok(linker)
}

fn fill(linker: &mut Linker<State>, concurrency: bool) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    if concurrency {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
    }
    wasi::add_lookup_to_linker(linker, concurrency)?;
    wasi::add_keyvalue_to_linker(linker)?;
    wasmtime_wasi_config::add_to_linker(linker, |state: &mut State| state.wasi.granted().config().into())?;
    context::add_to_linker::<_, HasSelf<Arc<TaskContext>>>(linker, |state: &mut State| &mut state.task)
}

impl context::Host for Arc<TaskContext> {
    fn namespace(&mut self) -> String {
        self.namespace.clone()
    }

    fn name(&mut self) -> String {
        self.name.clone()
    }

    fn uid(&mut self) -> String {
        self.uid.clone()
    }

    fn attempt(&mut self) -> u32 {
        self.attempt
    }
}
