//! Bounds, so that no client can take all of the machine.

use std::time::Duration;

use propeller_protocol::MAX_MESSAGE_BYTES;

/// The largest packet: the largest message, and room for its topic and properties. The broker adds two of these: who sent it.
pub(super) const PACKET_BYTES: usize = MAX_MESSAGE_BYTES + 4096;

/// Connections at a time. This broker is for a machine and the devices around it; a fleet has Mosquitto.
pub(super) const CLIENTS: usize = 1024;

/// Subscriptions of a client. A control plane has four, a proplet five.
pub(super) const SUBSCRIPTIONS: usize = 64;

/// Messages that wait in memory for the socket of a client that is connected. What is beyond goes to its queue, and at QoS 0, as heartbeats
/// and logs, is dropped.
pub(super) const WAITING: usize = 1024;

/// Messages on their way to a client, or from it, that the other side hasn't acknowledged.
pub(super) const UNACKNOWLEDGED: u16 = 64;

/// What a session's queue holds while its client is away, in messages and bytes. The oldest are dropped first.
pub(super) const QUEUED_MESSAGES: usize = 10_000;
/// See [`QUEUED_MESSAGES`].
pub(super) const QUEUED_BYTES: usize = 64 << 20;

/// Retained messages. A proplet has one.
pub(super) const RETAINED: usize = 4096;

/// How long a session lasts without its client, whatever the client asks for. A device that comes back later begins anew, as after the
/// loss of a broker's state.
pub(super) const SESSION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often what has expired is removed. Until then the broker keeps some hundred bytes for every client id that it ever saw.
pub(super) const CLEANUP: Duration = Duration::from_secs(60);
