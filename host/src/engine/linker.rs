//! What this host offers to components: WASI 0.2 and `propeller:task`, and WASI 0.3 in an engine that has concurrency.
//!
//! Offering an interface grants nothing: every function asks the store of its own run what is allowed there.

use wasmtime::component::{HasSelf, Linker};

use super::{EngineError, TaskContext, state::State};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit/task", world: "imports" });
}

use bindings::propeller::task::context;

pub(super) fn linker(engine: &wasmtime::Engine, concurrency: bool) -> Result<Linker<State>, EngineError> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .and_then(|()| match concurrency {
            true => wasmtime_wasi::p3::add_to_linker(&mut linker),
            false => Ok(()),
        })
        .and_then(|()| {
            context::add_to_linker::<_, HasSelf<TaskContext>>(&mut linker, |state: &mut State| &mut state.task)
        })
        .map_err(|error| EngineError::Link(error.into_boxed_dyn_error()))?;
    Ok(linker)
}

impl context::Host for TaskContext {
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
