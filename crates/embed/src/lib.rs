//! The servers that a control plane without a cluster brings along: an MQTT broker and an OCI registry, in its own process.
//!
//! ```text
//!  proplet add, remove ──► Accounts ─┐ who may speak and hear what
//!                                    ▼
//!  control plane, proplets ──MQTT──► Broker ──► sessions, queues, retained messages   (mqtt5)
//!
//!  propeller push ───────────HTTP──► Registry ──► blobs, manifests, tags              (ferro-oci-server)
//!  proplets, control plane ◄─────────┘
//! ```
//!
//! Both are crates of others, each behind one module here, so that it can be exchanged: nothing of `mqtt5` is in what [`broker`] shows, and
//! nothing of `ferro-oci-server` in what [`registry`] shows. What is ours is what they leave to their users: who may do what, bounds,
//! errors that say what to change, and artifacts that are whole after a power cut.
//!
//! Both bind loopback unless told otherwise, tell the address that they got, keep their state in a directory that only this user can read,
//! and stop in order. Never here: a topic's or an artifact's meaning beyond whose it is.

pub mod broker;
mod folder;
pub mod registry;

/// What one of the servers underneath says; only its text is of use.
type Cause = Box<dyn std::error::Error + Send + Sync>;
