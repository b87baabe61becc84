//! Delivery: what is decided about a task's attempts, on both sides, and nothing of how it is done.
//!
//! Pure machines: plain functions over plain data, with no IO, no clock and no randomness, so that a simulator can drive both sides through any
//! interleaving of messages, crashes and restarts:
//!
//! ```text
//!  control plane                                   proplet
//!  plan(task, fleet, inbox, now)                   Ledger::decide(event)
//!    -> (new status, actions)                        -> (records, actions)
//!
//!  the shell writes the status,                    the shell makes the records durable,
//!  then performs the actions                       then performs the actions
//! ```
//!
//! That order is the heart of it: an attempt is in the status before its start is published, an accepted attempt is in the journal before
//! it runs, and an outcome is in the status before it is acknowledged. The promises that follow are in docs/ARCHITECTURE.md.

pub mod brain;
pub mod desk;
pub mod fleet;
pub mod inbox;
pub mod lease;
pub mod ledger;
pub mod plan;
pub mod reason;

mod place;
