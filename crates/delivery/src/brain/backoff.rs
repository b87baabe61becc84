//! Delays that grow, with a jitter that can be repeated: a hash of who waits and for the how manieth time.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// A delay that doubles from failure to failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) first_seconds: u64,
    pub(super) longest_seconds: u64,
}

impl Backoff {
    /// The delay after `earlier` failures before this one, with up to a quarter more so that many who failed together don't come back
    /// together.
    pub(super) fn delay(self, who: &str, earlier: u32) -> Duration {
        let doubled = 1_u64.checked_shl(earlier.min(32)).unwrap_or(u64::MAX);
        let seconds = self.first_seconds.saturating_mul(doubled).min(self.longest_seconds);
        let mut hasher = DefaultHasher::new();
        (who, earlier).hash(&mut hasher);
        let quarter = seconds.saturating_mul(250);
        Duration::from_millis(seconds.saturating_mul(1000) + hasher.finish() % quarter.max(1))
    }
}

/// Times far beyond what a calendar holds stay at its end.
pub(super) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_can_be_repeated() {
        let backoff = Backoff {
            first_seconds: 10,
            longest_seconds: 300,
        };
        let check = |earlier, seconds: u64| {
            let delay = backoff.delay("uid", earlier).as_millis();
            let range = u128::from(seconds) * 1000..u128::from(seconds) * 1250;
            assert!(range.contains(&delay), "{earlier}: {delay}");
        };
        check(0, 10);
        check(1, 20);
        check(4, 160);
        check(5, 300);
        check(u32::MAX, 300);
        assert_eq!(backoff.delay("uid", 3), backoff.delay("uid", 3));
        assert_ne!(backoff.delay("uid", 3), backoff.delay("other", 3));
    }
}
