//! What is done with a prepared component: one call, one run as a program, or serving HTTP for as long as it's wanted.
//!
//! All three have the same walls ([`Sandbox`]) and the same figures, and end in the same ways. They differ in what they make of the guest's own end.

mod command;
mod export;
mod invoke;
mod processor;
mod service;

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use wasmtime::Store;

pub use command::{Exit, Program};
pub(super) use export::Exports;
pub use invoke::{Invocation, Returned};
pub use service::{Served, Service, ServiceEvent, ServiceLimits};

use processor::ProcessorTime;

use super::{InvokeError, Prepared, Sandbox, memory::MemoryBound, state::State};

/// How a run ended, and what it used.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<T> {
    /// What came of it, or why nothing did.
    pub result: Result<T, InvokeError>,
    /// What it used, however it ended.
    pub figures: Figures,
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// From when its turn came to its end, waiting inside included.
    pub wall: Duration,
    /// How long a processor worked for it. Exact to a few milliseconds.
    pub cpu: Duration,
    /// Most bytes that its memories and tables held together. Of a service, those of all its instances at one time, and its connections.
    pub peak_memory: u64,
    /// Bytes that it was given: arguments, input, what it received over HTTP and from key-value buckets.
    pub bytes_in: u64,
    /// Bytes that it gave: its result, output that isn't discarded, what it sent over HTTP and to key-value buckets.
    pub bytes_out: u64,
}

/// One instance's life: its store, and what it used so far.
struct Life {
    begun: Instant,
    processor: ProcessorTime,
    store: Store<State>,
}

impl Life {
    /// A fresh store. Programs see `argv`; for anything else it's empty.
    fn begin(prepared: &Prepared, sandbox: &Sandbox, argv: &[String]) -> Self {
        Self::within(MemoryBound::new(sandbox.limits.memory), prepared, sandbox, argv)
    }

    /// With a bound on its memory that isn't its alone.
    fn within(memory: MemoryBound, prepared: &Prepared, sandbox: &Sandbox, argv: &[String]) -> Self {
        Self {
            begun: Instant::now(),
            processor: ProcessorTime::default(),
            store: State::store(prepared.pre().engine(), sandbox, argv, memory),
        }
    }

    /// Which of the three ends comes first decides: its own, a cancel or the deadline. The others are dropped.
    async fn end<'a, T, F>(
        &'a mut self,
        sandbox: &Sandbox,
        work: impl FnOnce(&'a mut Store<State>) -> F,
    ) -> Result<T, InvokeError>
    where
        F: Future<Output = Result<T, InvokeError>>,
    {
        if sandbox.cancel.is_cancelled() {
            return Err(InvokeError::Cancelled);
        }
        let deadline = sandbox.limits.deadline;
        // Where it stays: passed on by value it would be copied, which for the future of a call is a matter of kilobytes.
        let work = pin!(work(&mut self.store));
        let work = self.processor.measure(work);
        // The guest first: one that ends at once has then neither set a timer nor waited for a cancel, which would cost as much as its call.
        // They are in blocks of their own because already making them costs something.
        tokio::select! {
            biased;
            result = work => result,
            () = async { sandbox.cancel.cancelled().await } => Err(InvokeError::Cancelled),
            () = async { tokio::time::sleep(deadline).await } => Err(InvokeError::DeadlineExceeded { deadline }),
        }
    }

    fn outcome<T>(self, result: Result<T, InvokeError>) -> Outcome<T> {
        let figures = self.figures();
        Outcome { result, figures }
    }

    /// What it used so far.
    fn figures(&self) -> Figures {
        let state = self.store.data();
        let (bytes_in, bytes_out) = state.traffic.sums();
        Figures {
            wall: self.begun.elapsed(),
            cpu: self.processor.sum(),
            peak_memory: state.memory.peak(),
            bytes_in,
            bytes_out,
        }
    }
}

impl Prepared {
    /// Drives a run on the engine's threads. Dropping the future ends the run too.
    async fn drive<T: Send + 'static>(&self, run: impl Future<Output = Outcome<T>> + Send + 'static) -> Outcome<T> {
        let ended = self.engine().executor().run(run).await;
        ended.unwrap_or_else(|failure| Outcome {
            result: Err(InvokeError::host(failure)),
            figures: Figures::default(),
        })
    }
}
