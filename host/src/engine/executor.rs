//! Where guests run: threads of their own.
//!
//! Heartbeats, MQTT and `stop` live on the runtime of whoever uses the engine. A guest that spins holds a thread of this one instead,
//! for one tick of the epoch at a time.

use std::{future::Future, num::NonZeroUsize, sync::Arc};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::{JoinError, JoinHandle},
};
use tokio_util::task::AbortOnDropHandle;

use super::EngineError;

/// Compilations at the same moment. One alone uses every processor for most of its time; a second one lets something small pass by
/// something large.
const COMPILATIONS: usize = 2;

/// A Tokio runtime for guests and compilations. Dropping it abandons what runs there.
#[derive(Debug)]
pub(super) struct Executor {
    /// Always there, until `drop` takes it.
    runtime: Option<Runtime>,
    handle: tokio::runtime::Handle,
    turns: Arc<Semaphore>,
}

impl Executor {
    pub(super) fn start(threads: NonZeroUsize) -> Result<Self, EngineError> {
        let runtime = Builder::new_multi_thread()
            .thread_name("guest")
            .worker_threads(threads.get())
            // By default a worker looks at timers and at tasks from outside once in 61 polls, which is meant for polls of microseconds.
            // Here a poll may take a whole tick: deadlines would come half a second late.
            .event_interval(1)
            .global_queue_interval(1)
            .enable_all()
            .build()
            .map_err(EngineError::StartExecutor)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            turns: Arc::new(Semaphore::new(COMPILATIONS)),
        })
    }

    /// Run the future here, and wait for it there. When the caller stops waiting, the future is dropped at its next yield.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        AbortOnDropHandle::new(self.handle.spawn(future)).await
    }

    /// Run a compilation, when its turn comes, on a thread that nothing else waits for. It goes on even if nobody waits for it.
    pub(super) fn compile<T: Send + 'static>(
        &self,
        compilation: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T, JoinError>> {
        let turns = self.turns.clone();
        self.handle.spawn(async move {
            // Fails only if somebody closed the semaphore, and nobody does.
            let _turn = turns.acquire().await;
            tokio::task::spawn_blocking(compilation).await
        })
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
