//! How long the processor worked for one guest.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// From here on a run is worth two system calls per turn.
const LONG: Duration = Duration::from_millis(1);

/// Sums up the time in which a future was polled, which for a guest is the time in which its code ran.
///
/// Asking the kernel for a thread's processor time takes longer than the shortest calls. So the first turns are measured with the clock on the
/// wall, which is read in user space, and a run that turns out to be long is measured exactly from then on. What that can be wrong by is
/// how long other processes held the processor during the first turn, and a turn ends after one tick of the epoch.
#[derive(Debug, Default)]
pub(in crate::engine) struct ProcessorTime {
    sum: Duration,
}

/// When a turn began, on one of two clocks.
enum Begun {
    Wall(Instant),
    Thread(Duration),
}

impl ProcessorTime {
    /// Polls the future to its end.
    pub(in crate::engine) async fn measure<F: Future>(&mut self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|context| {
            let begun = if self.sum < LONG {
                Begun::Wall(Instant::now())
            } else {
                Begun::Thread(thread_time())
            };
            let poll = future.as_mut().poll(context);
            self.sum += match begun {
                Begun::Wall(instant) => instant.elapsed(),
                Begun::Thread(time) => thread_time().saturating_sub(time),
            };
            poll
        })
        .await
    }

    /// What was measured so far.
    pub(in crate::engine) fn sum(&self) -> Duration {
        self.sum
    }
}

/// Processor time of this thread since it began.
fn thread_time() -> Duration {
    // The kernel gives no negative time.
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, thread};

    use super::*;

    #[tokio::test]
    async fn work_counts_and_waiting_does_not() {
        let mut time = ProcessorTime::default();
        let work = async {
            for _ in 0..3 {
                let begun = thread_time();
                while thread_time() - begun < Duration::from_millis(10) {}
                tokio::time::sleep(Duration::from_millis(50)).await;
                tokio::task::yield_now().await;
            }
            // The exact clock doesn't count this, although it happens inside a turn.
            thread::sleep(Duration::from_millis(100));
        };
        time.measure(pin!(work)).await;
        let sum = time.sum().as_millis();
        assert!((30..100).contains(&sum), "{sum} ms");
    }
}
