//! The clock that interrupts guests.

use std::{io, sync::mpsc, thread, time::Duration};

use super::EngineError;

/// How long a guest runs at most before it gives its thread to the next one, and how late a deadline or a stop can reach it.
///
/// Compiled code looks at a counter in every loop and function; a shorter period costs nothing there, only wake-ups of this thread.
const PERIOD: Duration = Duration::from_millis(10);

/// The thread that raises an engine's epoch. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    /// Nothing is ever sent: that the other end is gone wakes the thread at once and ends it.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> Result<Self, EngineError> {
        let (stop, stopped) = mpsc::channel();
        let thread = Self::spawn(engine, stopped).map_err(EngineError::StartTicker)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn spawn(engine: wasmtime::Engine, stopped: mpsc::Receiver<()>) -> io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("epoch-ticker".to_owned()).spawn(move || {
            while stopped.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })
    }
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
