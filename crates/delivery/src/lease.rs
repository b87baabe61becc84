//! Since when a proplet may have been cut off from a control plane.
//!
//! What runs with a lease ends when nobody may hear of it any more. The control plane counts from when a heartbeat arrived, the proplet from
//! when it sent that one, which is earlier: so the proplet's lease ends first, whatever the messages' ways took. The clock here is one that runs while
//! the machine is suspended, or what was suspended would wake up and run on. Several control planes may share a proplet, and each hears of its own
//! attempts only: what one echoes extends nothing of another's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use propeller_protocol::{ControllerId, LEASE};

/// Heartbeats that are remembered. An echo that comes later than that is too old to be of use.
const REMEMBERED: usize = 16;
/// Control planes that are remembered. More are a peer's that makes them up; the one that was heard longest ago goes.
const CONTROLLERS: usize = 16;

/// When heartbeats were sent, and until when each control plane's lease lasts.
#[derive(Debug, Clone, Default)]
pub struct LeaseClock {
    sent: BTreeMap<u64, Duration>,
    until: BTreeMap<ControllerId, Duration>,
}

impl LeaseClock {
    /// A heartbeat of that sequence number is about to be sent.
    pub fn sent(&mut self, sequence: u64, now: Duration) {
        self.sent.insert(sequence, now);
        if self.sent.len() > REMEMBERED {
            self.sent.pop_first();
        }
    }

    /// That control plane heard it.
    pub fn echoed(&mut self, controller: &ControllerId, sequence: u64) {
        let Some(sent) = self.sent.get(&sequence).copied() else {
            return;
        };
        let until = self.until.entry(controller.clone()).or_default();
        *until = (*until).max(sent + LEASE);
        if self.until.len() > CONTROLLERS {
            let oldest = self.until.iter().min_by_key(|(_, until)| **until);
            let oldest = oldest.map(|(controller, _)| controller.clone());
            oldest.map(|controller| self.until.remove(&controller));
        }
    }

    /// The control planes whose attempts may run.
    pub fn holders(&self, now: Duration) -> BTreeSet<ControllerId> {
        let held = self.until.iter().filter(|(_, until)| now < **until);
        held.map(|(controller, _)| controller.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(name: &str) -> ControllerId {
        name.parse().unwrap()
    }

    fn held(clock: &LeaseClock, second: u64) -> Vec<String> {
        let holders = clock.holders(Duration::from_secs(second));
        holders.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lease_counts_from_when_the_heartbeat_was_sent() {
        let (at, a) = (Duration::from_secs, controller("a"));
        let mut clock = LeaseClock::default();
        clock.echoed(&a, 7);
        assert!(held(&clock, 0).is_empty(), "nobody sent that");
        clock.sent(1, at(100));
        clock.sent(2, at(110));
        clock.echoed(&a, 2);
        clock.echoed(&a, 1);
        assert_eq!(held(&clock, 139), ["a"], "an older one changes nothing");
        assert!(held(&clock, 140).is_empty());
        (3..100).for_each(|sequence| clock.sent(sequence, at(150)));
        clock.echoed(&a, 3);
        assert!(held(&clock, 150).is_empty(), "it is forgotten");
    }

    #[test]
    fn each_control_plane_has_its_own() {
        let at = Duration::from_secs;
        let mut clock = LeaseClock::default();
        clock.sent(1, at(100));
        clock.echoed(&controller("a"), 1);
        clock.echoed(&controller("b"), 1);
        clock.sent(2, at(120));
        clock.echoed(&controller("b"), 2);
        assert_eq!(held(&clock, 129), ["a", "b"]);
        assert_eq!(held(&clock, 130), ["b"]);
        (0..100).for_each(|number| clock.echoed(&controller(&format!("made-up-{number}")), 1));
        assert_eq!(clock.holders(at(120)).len(), CONTROLLERS);
        assert_eq!(held(&clock, 130), ["b"], "who was heard last stays");
    }
}
