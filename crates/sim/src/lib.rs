//! Delivery in a simulated world.
//!
//! Both sides' decisions are pure: the brain of a control plane and the ledger of a proplet are called with what happened and the time. Here they are
//! called by a world in which everything that is between them and around them goes wrong: messages are lost, repeated, delayed and reordered,
//! processes are killed and stopped, disks are full or forget, brokers come back without their state or with an old one, stores are restored from a backup, clocks are
//! wrong, leaders overlap, devices are cloned, and people change their minds. Time is virtual, so a world of minutes takes milliseconds.
//!
//! A world follows from its seed and nothing else. After everything that happens the promises of delivery are checked ([`promises`]); at the end
//! everything is mended, and then every task must end and no proplet hold anything any more.
//!
//! ```text
//!  users ──► store ◄──► replicas (Brain) ◄──► broker ◄──► devices (Desk, Ledger, disk, runs)
//!                            ▲                  ▲             ▲
//!                            └───── faults ─────┴─────────────┘
//! ```
//!
//! Never here: a decision of delivery. What is simulated are the shells, each with as little sense as possible.

#![allow(
    clippy::missing_docs_in_private_items,
    missing_docs,
    reason = "a program; its modules are one thing"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a world that contradicts itself is a defect of the simulator"
)]

mod broker;
mod clock;
mod device;
mod faults;
mod keeping;
mod mishaps;
mod network;
mod plane;
mod promises;
mod proplet;
mod store;
mod users;
mod world;

pub use world::Broken;
use world::World;

/// A promise that is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// A proplet acts without its journal having the reason.
    SkipJournal,
    /// A control plane's store says that it has what it doesn't have, so that outcomes are acknowledged before they are durable.
    LoseWrites,
    /// A store in a control plane's own process answers before what it says is on the disk.
    AnswerBeforeCommit,
    /// Every start says that it is the first attempt.
    ReuseAttempt,
    /// A proplet forgets, when it restarts, what it must not run again.
    ForgetTombstones,
    /// A control plane hears nothing of attempts that its store doesn't know.
    HideForgotten,
    /// A proplet runs on when its lease is over.
    IgnoreLease,
}

/// Lets the world of that seed be.
///
/// # Errors
///
/// The first promise that wasn't kept.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Result<(), Broken> {
    World::new(seed, sabotage, false).run()
}

/// The same, with a line for everything that happened.
pub fn trace(seed: u64, sabotage: Option<Sabotage>) -> (Vec<String>, Result<(), Broken>) {
    let mut world = World::new(seed, sabotage, true);
    let result = world.run();
    (world.trace.unwrap_or_default(), result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_is_kept_in_these_worlds() {
        for seed in 0..300 {
            if let Err(broken) = run(seed, None) {
                panic!("{broken}\nreplay it: cargo run --release --bin sim -- --seed {seed}");
            }
        }
    }

    #[test]
    fn a_world_follows_from_its_seed() {
        let mut lines = 0;
        for seed in 0..10 {
            let (first, second) = (trace(seed, None).0, trace(seed, None).0);
            assert!(first == second, "world {seed}");
            lines += first.len();
        }
        assert!(lines > 500, "{lines} lines");
    }

    #[test]
    fn a_promise_that_is_broken_on_purpose_is_noticed() {
        // Where to look first, for what shows in few worlds.
        let check_from = |first: u64, sabotage, promise: &str| {
            let mut broken = (first..first + 1_000).filter_map(|seed| run(seed, Some(sabotage)).err());
            let is_noticed = broken.any(|broken| broken.promise.contains(promise));
            assert!(is_noticed, "nobody notices {sabotage:?}: {promise}");
        };
        let check = |sabotage, promise| check_from(0, sabotage, promise);
        check(Sabotage::SkipJournal, "runs 2 times");
        check(Sabotage::ForgetTombstones, "runs 2 times");
        check(Sabotage::LoseWrites, "was acknowledged as Recorded, and isn't");
        check(Sabotage::ReuseAttempt, "runs on devices");
        check(Sabotage::AnswerBeforeCommit, "was acknowledged as Recorded, and isn't");
        check(Sabotage::HideForgotten, "hasn't ended");
        check_from(7_000, Sabotage::IgnoreLease, "two attempts of it run at a time");
    }
}
