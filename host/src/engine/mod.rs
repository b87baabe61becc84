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
//! Never here: the network, MQTT, retries; files, but those of compiled code. Bytes come in already verified against their digest.

mod code;
mod executor;
mod failure;
mod grants;
mod keyvalue;
mod linker;
mod memory;
mod run;
mod sandbox;
mod state;
mod stdio;
#[cfg(test)]
mod tests;
mod ticker;
mod traffic;
mod wasi;

use std::{
    error::Error,
    io,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    thread,
};

use bytes::Bytes;
use propeller_api::Digest;
use tokio::task::JoinError;

pub use code::{CacheConfig, CacheError, CompileBounds, Compiler, PrepareError, Prepared, compile_child};
pub use failure::InvokeError;
pub use grants::{Allowed, Granted, Means, Policy, Refused, Resolver, Root, Trust};
pub use keyvalue::{KeyValue, KeyValueError};
pub use run::{Exit, Figures, Invocation, Outcome, Program, Returned, Served, Service, ServiceEvent, ServiceLimits};
pub use sandbox::{Limits, Sandbox, TaskContext};
pub use stdio::{Line, LineLimits, LineReader, Lines, Stdio, Stream, lines};

use code::Foundry;
use executor::Executor;
use ticker::Activity;

/// How an [`Engine`] is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How many guests run at the same moment; others wait for their turn, a few milliseconds each.
    pub guest_threads: NonZeroUsize,
    /// How far guests stand back behind all else on the machine, 0 to 19. Compilations do by 10, so with more than that no guest holds them up.
    pub guest_niceness: u8,
    /// How many instances there can be at once, waiting ones included. A component with several memories counts more than once. It costs
    /// addresses, and memory only for what is in use.
    pub instances: NonZeroU32,
    /// In how many parts they are divided. A service takes no more than one of them at a time, so that others find room beside it.
    pub shares: NonZeroU32,
    /// How many components are kept ready in memory. The one that was used least recently goes first.
    pub warm_components: NonZeroUsize,
    /// Bytes of compiled code that they may have together. What is mapped from a file counts, though the kernel can drop it.
    pub warm_bytes: usize,
    /// Where compiled code is kept between runs, if anywhere.
    pub cache: Option<CacheConfig>,
    /// Who compiles, and with which bounds.
    pub compiler: Compiler,
}

impl Default for EngineConfig {
    /// A thread per processor, 1,024 instances in 16 shares, and 64 warm components with 1 GiB of code. Nothing is kept on disk, and what is compiled isn't
    /// bounded: a program that takes components from others sets `cache` and `compiler`.
    fn default() -> Self {
        Self {
            guest_threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            guest_niceness: 0,
            instances: const { NonZeroU32::new(1024).unwrap() },
            shares: const { NonZeroU32::new(16).unwrap() },
            warm_components: const { NonZeroUsize::new(64).unwrap() },
            warm_bytes: 1 << 30,
            cache: None,
            compiler: Compiler::InProcess,
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
    /// Compiled code can't be kept where the configuration says.
    #[error(transparent)]
    Cache(#[from] CacheError),
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
    foundry: Foundry,
    executor: Executor,
}

impl Engine {
    /// Start an engine and its threads.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let activity = Activity::of(config.guest_threads.get());
        Ok(Self(Arc::new(Shared {
            executor: Executor::for_guests(config.guest_threads, config.guest_niceness, &activity)?,
            foundry: Foundry::start(config, activity)?,
        })))
    }

    /// A component that was prepared before, also by another process that had the same cache, or is being prepared: without its bytes, which
    /// needn't be read or fetched then.
    pub async fn warm(&self, digest: &Digest) -> Option<Prepared> {
        let code = self.0.foundry.find(digest).await?;
        Some(Prepared::new(self.clone(), code))
    }

    /// Compile a component and link it with what the host offers, or find it warm.
    ///
    /// `bytes` must be what `digest` names; the caller has verified that. A digest is compiled once, however many ask for it meanwhile,
    /// and that ends when the last of them stops waiting. A failure isn't remembered.
    ///
    /// # Errors
    ///
    /// When the bytes aren't a component that this host can run. The error says what about it.
    pub async fn prepare(
        &self,
        digest: &Digest,
        bytes: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Prepared, PrepareError> {
        let code = self.0.foundry.prepare(digest, Bytes::from_owner(bytes)).await?;
        Ok(Prepared::new(self.clone(), code))
    }

    /// Run a future on the engine's threads for guests. Whoever makes many short calls makes them there: each is then made at once, on the
    /// thread where the future is, instead of being handed over to another one.
    ///
    /// It shares these threads with guests, so it mustn't hold up anything that can't wait for them.
    ///
    /// # Errors
    ///
    /// When the future panics.
    pub async fn among_guests<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.executor().run(future).await
    }

    fn executor(&self) -> &Executor {
        &self.0.executor
    }
}
