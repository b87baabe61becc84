//! The clock that interrupts guests.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use wasmtime::EngineWeak;

use super::EngineError;

/// How long a guest runs at most before it gives its thread to the next one, and how late a deadline or a stop can reach it.
///
/// Compiled code looks at a counter in every loop and function; a shorter period costs nothing there, only wake-ups of this thread.
const PERIOD: Duration = Duration::from_millis(10);

/// The thread that raises the epoch of engines. It ends when this is dropped.
pub(super) struct Ticker {
    engines: Arc<Engines>,
    /// Nothing is ever sent: that the other end is gone wakes the thread at once and ends it.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

type Engines = Mutex<Vec<EngineWeak>>;

impl Ticker {
    pub(super) fn start() -> Result<Self, EngineError> {
        let (stop, stopped) = mpsc::channel();
        let engines = Arc::new(Engines::default());
        let thread = Self::spawn(engines.clone(), stopped).map_err(EngineError::StartTicker)?;
        Ok(Self {
            engines,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Tick for this engine too.
    pub(super) fn add(&self, engine: EngineWeak) {
        lock(&self.engines).push(engine);
    }

    fn spawn(engines: Arc<Engines>, stopped: mpsc::Receiver<()>) -> io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("epoch-ticker".to_owned()).spawn(move || {
            while stopped.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
                for engine in lock(&engines).iter().filter_map(EngineWeak::upgrade) {
                    engine.increment_epoch();
                }
            }
        })
    }
}

fn lock(engines: &Engines) -> std::sync::MutexGuard<'_, Vec<EngineWeak>> {
    engines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only counts; it has no way to panic that would be worth telling.
            let _ = thread.join();
        }
    }
}
