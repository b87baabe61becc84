//! What control plane and proplet say to each other over MQTT: topics and messages.
//!
//! ```text
//!                 start · stop · ack · lease
//!  control plane ────────────────────────────► proplet
//!                ◄────────────────────────────
//!                 alive · results · logs · metrics
//! ```
//!
//! The tree is `m/{domain}/c/{channel}/…`, and the identity of the proplet is the last level of every topic, so that a broker's ACL can
//! hold each proplet to its own topics. Messages are JSON. Every message has one envelope, flattened into it: the schema version, and as
//! far as they apply the controller, the task and attempt, the journal, the boot id and the sequence number. Unknown fields are ignored;
//! what must not be ignored is named in a start's `requires`.
//!
//! Never here: IO, a client, a clock. What is decided on a message is crates/delivery's.

mod bounds;
mod control;
mod ids;
mod proplet;
mod registry;
pub mod requires;
mod topic;
mod wire;

pub use control::{Ack, LEASE, Lease, Limits, Start, Stop, Verdict};
pub use ids::{AttemptRef, Boot, ControllerId, InvalidId, TaskRef};
pub use propeller_api::{JournalId, Usage};
pub use proplet::{
    Alive, Failure, Held, HeldState, Logs, Metrics, Outcome, Presence, Refusal, Rejection, Report, Sender, Stage,
    Stream,
};
pub use registry::{Chunk, ChunkRequest};
pub use topic::{Base, Channel, InvalidBase, InvalidTopic, Topic};
pub use wire::{DecodeError, MAX_MESSAGE_BYTES, Message, SCHEMA_VERSION, decode, encode};

#[cfg(test)]
mod tests;
