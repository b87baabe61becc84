//! The clock that interrupts guests, for as long as there is one to interrupt.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use wasmtime::EngineWeak;

use super::EngineError;

/// How long a guest runs at most before it gives its thread to the next one, and how late a deadline or a stop can reach it.
///
/// Compiled code looks at a counter in every loop and function; a shorter period costs nothing there, only wake-ups of this thread.
const PERIOD: Duration = Duration::from_millis(10);

/// Ticks without anything to interrupt before the clock stops: starting it again takes a system call, which calls in quick succession
/// shouldn't pay.
const IDLE_TICKS: u32 = 10;

thread_local! {
    /// Whether this thread is counted as awake. All threads for guests are at first.
    static AWAKE: Cell<bool> = const { Cell::new(true) };
}

/// How many of the threads for guests have something to do. Guests run on these alone, so if none has, no guest runs: those that there are
/// wait, and need no tick.
///
/// The threads tell of themselves, rather than every run: a run that is started somewhere else later can't be forgotten that way, and one
/// that takes a microsecond doesn't pay for it.
pub(super) struct Activity {
    awake: AtomicUsize,
    /// Whether the clock stands still, or is about to.
    stopped: AtomicBool,
    clock: OnceLock<Thread>,
}

impl Activity {
    /// Of so many threads, which are all awake at first.
    pub(super) fn of(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            awake: AtomicUsize::new(threads),
            stopped: AtomicBool::new(false),
            clock: OnceLock::new(),
        })
    }

    /// This thread, which is one of them, has nothing to do.
    pub(super) fn sleeps(&self) {
        if AWAKE.replace(false) {
            self.awake.fetch_sub(1, SeqCst);
        }
    }

    /// This thread has something to do again.
    pub(super) fn wakes(&self) {
        // Counted before looking whether the clock stops, which it says before it looks at the count: one of both sees the other.
        if !AWAKE.replace(true) && self.awake.fetch_add(1, SeqCst) == 0 && self.stopped.load(SeqCst) {
            self.start_clock();
        }
    }

    fn start_clock(&self) {
        if let Some(clock) = self.clock.get() {
            clock.unpark();
        }
    }

    fn is_idle(&self) -> bool {
        self.awake.load(SeqCst) == 0
    }
}

/// The thread that raises the epoch of engines. It ends when this is dropped.
pub(super) struct Ticker {
    clock: Arc<Clock>,
    thread: Option<JoinHandle<()>>,
}

struct Clock {
    engines: Mutex<Vec<EngineWeak>>,
    activity: Arc<Activity>,
    ended: AtomicBool,
}

impl Ticker {
    pub(super) fn start(activity: Arc<Activity>) -> Result<Self, EngineError> {
        let clock = Arc::new(Clock {
            engines: Mutex::default(),
            activity,
            ended: AtomicBool::new(false),
        });
        let thread = spawn(clock.clone()).map_err(EngineError::StartTicker)?;
        // Set by nobody else.
        let _ = clock.activity.clock.set(thread.thread().clone());
        Ok(Self {
            clock,
            thread: Some(thread),
        })
    }

    /// Tick for this engine too.
    pub(super) fn add(&self, engine: EngineWeak) {
        self.clock.engines().push(engine);
    }
}

fn spawn(clock: Arc<Clock>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("epoch-ticker".to_owned())
        .spawn(move || clock.run())
}

impl Clock {
    fn run(&self) {
        let mut idle = 0;
        while !self.ended.load(SeqCst) {
            idle = if self.activity.is_idle() { idle + 1 } else { 0 };
            if idle > IDLE_TICKS {
                self.stand_still();
                idle = 0;
            }
            thread::park_timeout(PERIOD);
            self.tick();
        }
    }

    /// Until a thread wakes. What follows is a whole period, so nothing is interrupted that only begins.
    fn stand_still(&self) {
        self.activity.stopped.store(true, SeqCst);
        while self.activity.is_idle() && !self.ended.load(SeqCst) {
            thread::park();
        }
        self.activity.stopped.store(false, SeqCst);
    }

    fn tick(&self) {
        for engine in self.engines().iter().filter_map(EngineWeak::upgrade) {
            engine.increment_epoch();
        }
    }

    fn engines(&self) -> MutexGuard<'_, Vec<EngineWeak>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.ended.store(true, SeqCst);
        self.clock.activity.start_clock();
        if let Some(thread) = self.thread.take() {
            // The thread only counts; it has no way to panic that would be worth telling.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let begin = Instant::now();
        while !condition() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_clock_stops_while_no_thread_is_awake_and_starts_with_the_first() {
        let activity = Activity::of(2);
        let _ticker = Ticker::start(activity.clone()).unwrap();
        let turn = |wakes: bool| {
            let activity = activity.clone();
            move || {
                activity.sleeps();
                activity.sleeps();
                if wakes {
                    activity.wakes();
                }
            }
        };
        thread::spawn(turn(false)).join().unwrap();
        assert!(!activity.is_idle(), "the other one is awake");
        thread::spawn(turn(false)).join().unwrap();
        wait_for("it stops", || activity.stopped.load(SeqCst));

        activity.awake.store(1, SeqCst);
        thread::spawn(turn(true)).join().unwrap();
        wait_for("it starts", || !activity.stopped.load(SeqCst));
    }
}
