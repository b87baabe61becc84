//! Where guests run: threads of their own. Compilations have others, which a guest can't hold up.
//!
//! Heartbeats, MQTT and `stop` live on the runtime of whoever uses the engine. A guest that spins holds a thread of this one instead,
//! for one tick of the epoch at a time. Where it should, it also stands back behind all other threads, and behind compilations.

use std::{future::Future, num::NonZeroUsize, sync::Arc};

use rustix::process::nice;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinError,
};
use tokio_util::task::AbortOnDropHandle;

use super::{EngineError, ticker::Activity};

/// A Tokio runtime for guests or for compilations. Dropping it abandons what runs there.
#[derive(Debug)]
pub(super) struct Executor {
    /// Always there, until `drop` takes it.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Executor {
    /// Threads for guests, which tell `activity` when they sleep and wake.
    pub(super) fn for_guests(
        threads: NonZeroUsize,
        niceness: u8,
        activity: &Arc<Activity>,
    ) -> Result<Self, EngineError> {
        let (sleeps, wakes) = (activity.clone(), activity.clone());
        let mut builder = Self::builder("guest", threads);
        builder
            .on_thread_park(move || sleeps.sleeps())
            .on_thread_unpark(move || wakes.wakes());
        if niceness > 0 {
            // To Linux a thread is a process. It may be as nice already as one can be.
            builder.on_thread_start(move || {
                let _ = nice(niceness.into());
            });
        }
        Self::start(builder)
    }

    /// A thread for what compilations wait for, and those that they block.
    pub(super) fn for_code() -> Result<Self, EngineError> {
        Self::start(Self::builder("code", NonZeroUsize::MIN))
    }

    fn builder(name: &str, threads: NonZeroUsize) -> Builder {
        let mut builder = Builder::new_multi_thread();
        builder
            .thread_name(name)
            .worker_threads(threads.get())
            // By default a worker looks at timers and at tasks from outside once in 61 polls, which is meant for polls of microseconds.
            // Here a poll may take a whole tick: deadlines would come half a second late.
            .event_interval(1)
            .global_queue_interval(1)
            .enable_all();
        builder
    }

    fn start(mut builder: Builder) -> Result<Self, EngineError> {
        let runtime = builder.build().map_err(EngineError::StartExecutor)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Run the future here, and wait for it there. When the caller stops waiting, the future is dropped at its next yield.
    ///
    /// A caller that is here already keeps its thread: handing a future to another one takes longer than the shortest calls.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        if self.is_here() {
            return Ok(future.await);
        }
        AbortOnDropHandle::new(self.handle.spawn(future)).await
    }

    /// Whether the caller is on one of these threads.
    pub(super) fn is_here(&self) -> bool {
        Handle::try_current().is_ok_and(|current| current.id() == self.handle.id())
    }

    /// Where futures can be spawned.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime that is simply dropped waits for its threads, which Tokio forbids inside another runtime.
            runtime.shutdown_background();
        }
    }
}
