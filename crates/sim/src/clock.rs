//! Clocks that are wrong, each in its own way.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The world's own time, since its begin.
pub type Time = Duration;

/// What a machine takes for the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// How much too fast it runs, in millionths.
    pub drift: i32,
    /// How far its wall clock is ahead.
    pub ahead: SignedDuration,
    /// For how long the machine was suspended, which not every clock counts.
    pub suspended: Duration,
}

impl Clock {
    /// How long the machine has run, also while it was suspended.
    pub fn uptime(&self, time: Time) -> Duration {
        let micros = i128::try_from(time.as_micros()).unwrap_or(i128::MAX);
        let drifted = micros + micros * i128::from(self.drift) / 1_000_000;
        Duration::from_micros(u64::try_from(drifted).unwrap_or_default())
    }

    /// The same without the times when it was suspended.
    pub fn elapsed(&self, time: Time) -> Duration {
        self.uptime(time).saturating_sub(self.suspended)
    }

    /// What its wall clock shows.
    pub fn wall(&self, time: Time) -> Timestamp {
        let begin = Timestamp::from_second(1_800_000_000).unwrap_or_default();
        let passed = SignedDuration::try_from(self.uptime(time)).unwrap_or(SignedDuration::MAX) + self.ahead;
        begin.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}
