//! Runs components: compiles them once, and calls one typed export in a fresh sandbox.
//!
//! ```text
//!  bytes ──► Engine::prepare ──► Prepared ──► Prepared::invoke ──► Outcome
//!            compile, link        shared,      own store: memory    result or failure,
//!            (once per digest)    kept warm    bound, deadline,     typed; figures
//!                                              nothing granted
//! ```
//!
//! This is the only part of Propeller that knows Wasmtime. Whoever calls it (the proplet's supervisor, `propeller run`) waits on its own
//! runtime; guests run and components compile on threads that belong to the engine, so neither can hold up heartbeats or a stop.
//!
//! A guest is stopped in two ways that need each other. The epoch makes it yield every few milliseconds, wherever its code is; and
//! whatever waits for it (deadline, cancellation, a caller that went away) acts at such a yield, or while the guest waits in a host call.
//!
//! Never here: the network, files, MQTT, retries. Bytes come in already verified against their digest.

mod executor;
mod failure;
mod grants;
mod invoke;
mod linker;
mod memory;
mod output;
mod prepare;
mod sandbox;
mod shelf;
mod state;
#[cfg(test)]
mod tests;
mod ticker;
mod traffic;
mod wasi;

use std::{error::Error, io, num::NonZeroUsize, sync::Arc, thread};

use propeller_api::Digest;
use wasmtime::component::Linker;

pub use failure::InvokeError;
pub use grants::{Allowed, Granted, Means, Policy, Refused, Resolver, Root, Trust};
pub use invoke::{Figures, Invocation, Outcome, Returned};
pub use output::Output;
pub use prepare::{PrepareError, Prepared};
pub use sandbox::{Limits, Sandbox, TaskContext};

use executor::Executor;
use shelf::Shelf;
use state::State;
use ticker::Ticker;

/// Frames of a guest's stack that a trap shows.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// How an [`Engine`] is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How many guests run at the same moment; others wait for their turn, a few milliseconds each.
    pub guest_threads: NonZeroUsize,
    /// How many components are kept ready in memory. The one that was used least recently goes first.
    pub warm_components: NonZeroUsize,
}

impl Default for EngineConfig {
    /// A thread per processor, and 64 warm components.
    fn default() -> Self {
        Self {
            guest_threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            warm_components: const { NonZeroUsize::new(64).unwrap() },
        }
    }
}

/// The engine can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compiler or the runtime doesn't work on this machine.
    #[error("cannot set up Wasmtime on this machine")]
    Configure(#[source] Box<dyn Error + Send + Sync>),
    /// Two interfaces that the host offers contradict each other.
    #[error("cannot offer the host's interfaces")]
    Link(#[source] Box<dyn Error + Send + Sync>),
    /// The operating system gives no threads for guests.
    #[error("cannot start threads for guests")]
    StartExecutor(#[source] io::Error),
    /// The operating system gives no thread for the ticker.
    #[error("cannot start the thread that interrupts guests")]
    StartTicker(#[source] io::Error),
}

/// A handle to the one engine of a process. Clones share it; it ends when the last of them and of what it prepared are gone.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Arc<Linker<State>>,
    executor: Executor,
    shelf: Shelf,
    /// Held for its thread.
    _ticker: Ticker,
}

impl Engine {
    /// Start an engine and its threads.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let wasmtime =
            wasmtime::Engine::new(&settings()).map_err(|error| EngineError::Configure(error.into_boxed_dyn_error()))?;
        Ok(Self(Arc::new(Shared {
            linker: Arc::new(linker::linker(&wasmtime, true)?),
            executor: Executor::start(config.guest_threads)?,
            shelf: Shelf::new(config.warm_components),
            _ticker: Ticker::start(wasmtime.clone())?,
            wasmtime,
        })))
    }

    /// A component that was prepared before, or is being prepared: without its bytes, which needn't be read or fetched then.
    pub async fn warm(&self, digest: &Digest) -> Option<Prepared> {
        let code = self.0.shelf.get(digest)?.await.ok()?;
        Some(Prepared::new(self.clone(), code))
    }

    /// Compile a component and link it with what the host offers, or find it warm.
    ///
    /// `bytes` must be what `digest` names; the caller has verified that. A digest is compiled once, however many ask for it meanwhile,
    /// and that goes on when a caller stops waiting. A failure isn't remembered.
    ///
    /// # Errors
    ///
    /// When the bytes aren't a component that this host can run. The error says what about it.
    pub async fn prepare(
        &self,
        digest: &Digest,
        bytes: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Prepared, PrepareError> {
        let shared = &self.0;
        let flight = shared.shelf.get_or_start(digest, || {
            let (engine, linker) = (shared.wasmtime.clone(), shared.linker.clone());
            prepare::flight(
                shared
                    .executor
                    .compile(move || prepare::compile(&engine, &linker, bytes.as_ref())),
            )
        });
        let code = flight.await.inspect_err(|_| shared.shelf.forget(digest))?;
        Ok(Prepared::new(self.clone(), code))
    }

    fn executor(&self) -> &Executor {
        &self.0.executor
    }
}

fn settings() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // By default an environment variable decides whether a guest's debug information, which nobody vouches for, is parsed on a trap.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}
