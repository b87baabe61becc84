//! The servers that a control plane without a cluster brings along, in its own process: an MQTT broker.
//!
//! ```text
//!  proplet add, remove ──► Accounts ─┐ who may speak and hear what
//!                                    ▼
//!  control plane, proplets ──MQTT──► Broker ──► sessions, queues, retained messages   (mqtt5)
//! ```
//!
//! It is a crate of others behind one module here, so that it can be exchanged: nothing of `mqtt5` is in what [`broker`] shows.

pub mod broker;
mod folder;

/// What one of the servers underneath says; only its text is of use.
type Cause = Box<dyn std::error::Error + Send + Sync>;
