//! What this process can say about itself right now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The state of this process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Debug, Default)]
struct State {
    leader: AtomicBool,
    in_sync: AtomicBool,
    connected: AtomicBool,
}

impl Health {
    /// Whether this process is the one that works. A standby is ready too: it has nothing to do but wait.
    pub fn set_leader(&self, leader: bool) {
        self.0.leader.store(leader, Ordering::Relaxed);
    }

    /// Whether its caches are in sync.
    pub fn set_in_sync(&self, in_sync: bool) {
        self.0.in_sync.store(in_sync, Ordering::Relaxed);
    }

    /// Whether its session with the broker is up.
    pub fn set_connected(&self, connected: bool) {
        self.0.connected.store(connected, Ordering::Relaxed);
    }

    /// What it is, when it can do its work; else what is missing.
    pub fn readiness(&self) -> Result<&'static str, &'static str> {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if !is(&self.0.leader) {
            Ok("standby")
        } else if !is(&self.0.in_sync) {
            Err("leader, and the caches are not in sync yet")
        } else if !is(&self.0.connected) {
            Err("leader, and there is no session with the broker")
        } else {
            Ok("leader")
        }
    }
}
