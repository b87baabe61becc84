//! Since when a proplet may have been cut off from its control plane.
//!
//! What runs with a lease ends when nobody may hear of it any more. The control plane counts from when a heartbeat arrived, the proplet from
//! when it sent that one, which is earlier: so the proplet's lease ends first, whatever the messages' ways took. The clock here is one that runs while
//! the machine is suspended, or what was suspended would wake up and run on.

use std::{collections::BTreeMap, time::Duration};

use propeller_protocol::LEASE;

/// Heartbeats that are remembered. An echo that comes later than that is too old to be of use.
const REMEMBERED: usize = 16;

/// When heartbeats were sent, and which of them was echoed last.
#[derive(Debug, Clone, Default)]
pub struct LeaseClock {
    sent: BTreeMap<u64, Duration>,
    until: Option<Duration>,
}

impl LeaseClock {
    /// A heartbeat of that sequence number is about to be sent.
    pub fn sent(&mut self, sequence: u64, now: Duration) {
        self.sent.insert(sequence, now);
        if self.sent.len() > REMEMBERED {
            self.sent.pop_first();
        }
    }

    /// The control plane heard it.
    pub fn echoed(&mut self, sequence: u64) {
        let Some(sent) = self.sent.get(&sequence).copied() else {
            return;
        };
        self.sent.retain(|later, _| *later > sequence);
        self.until = self.until.max(Some(sent + LEASE));
    }

    /// Whether what has a lease may run.
    pub fn is_held(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the lease ends, unless another heartbeat is echoed.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_from_when_the_heartbeat_was_sent() {
        let at = Duration::from_secs;
        let mut clock = LeaseClock::default();
        assert!(!clock.is_held(at(0)));
        clock.echoed(7);
        assert!(!clock.is_held(at(0)), "nobody sent that");
        clock.sent(1, at(100));
        clock.sent(2, at(110));
        clock.echoed(2);
        assert!(clock.is_held(at(139)) && !clock.is_held(at(140)));
        clock.echoed(1);
        assert_eq!(clock.until(), Some(at(140)), "an older one changes nothing");
        (3..100).for_each(|sequence| clock.sent(sequence, at(150)));
        clock.echoed(3);
        assert!(!clock.is_held(at(150)), "it is forgotten");
    }
}
