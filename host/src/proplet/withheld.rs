//! Accepts that are told a moment late: most calls end within it, and an outcome says all that an accept says.
//!
//! It saves each of these a message, which the broker would hand on before the result. That an accept is lost on the way costs nothing but time
//! anyway: the inventory and the outcome tell it too.

use std::{collections::VecDeque, time::Duration};

use propeller_delivery::ledger::Holding;
use propeller_protocol::AttemptRef;
use tokio::time::Instant;

/// How late. Short for people, and long for a call.
const MOMENT: Duration = Duration::from_millis(5);

/// What was accepted and isn't told yet, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Withheld(VecDeque<(Instant, Holding)>);

impl Withheld {
    /// Keeps an accept until a moment after `now`.
    pub(super) fn hold(&mut self, holding: Holding, now: Instant) {
        self.0.push_back((now + MOMENT, holding));
    }

    /// Nothing of that attempt needs to be told any more.
    pub(super) fn forget(&mut self, attempt: &AttemptRef) {
        self.0.retain(|(_, holding)| holding.attempt != *attempt);
    }

    /// When the first is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(due, _)| *due)
    }

    /// The next that is to be told by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Holding> {
        self.0.pop_front_if(|(due, _)| *due <= now).map(|(_, holding)| holding)
    }
}

#[cfg(test)]
mod tests {
    use propeller_protocol::TaskRef;

    use super::*;

    fn holding(attempt: u32) -> Holding {
        Holding {
            attempt: AttemptRef {
                task: TaskRef {
                    namespace: "lab".into(),
                    name: "a".into(),
                    uid: "uid-a".into(),
                },
                attempt,
            },
            controller: "controller-1".parse().unwrap(),
            issued_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            leased_before: None,
        }
    }

    #[test]
    fn what_ends_within_a_moment_is_not_told() {
        let (mut withheld, now) = (Withheld::default(), Instant::now());
        assert_eq!(withheld.due(), None);
        for attempt in 1..=3 {
            withheld.hold(holding(attempt), now);
        }
        withheld.forget(&holding(2).attempt);
        assert_eq!((withheld.due(), withheld.take_due(now)), (Some(now + MOMENT), None));
        let later = now + MOMENT;
        withheld.hold(holding(4), later);
        assert_eq!(withheld.take_due(later), Some(holding(1)));
        assert_eq!(withheld.take_due(later), Some(holding(3)));
        assert_eq!((withheld.take_due(later), withheld.due()), (None, Some(later + MOMENT)));
    }
}
