//! The MQTT session that control plane and proplet share. The only place of the project that knows the MQTT client.
//!
//! ```text
//!  Publisher::publish ──► outbox ──► PUBLISH ──► broker ──► PUBACK: out of the outbox
//!  Publisher::offer ────────────────►                │
//!  Events::next ◄── Connected, Message, … ◄──────────┘   a message is acknowledged when it is taken
//! ```
//!
//! What the client library leaves to its users is done here. The session connects again for ever, with growing, jittered pauses. It
//! subscribes again after every connect, since a broker may have lost its sessions. It keeps what is to be published itself, because the
//! library drops it when a broker doesn't know the session any more: a publication stays in the outbox until the broker has acknowledged
//! it, over any number of connections. So the broker may get it twice, and never not at all.
//!
//! A slow consumer holds up neither the connection nor other processes: a QoS 1 message is acknowledged to the broker only when the
//! consumer takes it, and the broker sends no more than a fixed number ahead of that.
//!
//! The session logs what happens to the connection. Never here: topics and payloads have no meaning, and nothing is decided on them.

mod broker_url;
mod connection;
mod events;
mod options;
mod outbox;
mod publisher;
mod session;
mod tls;
mod translate;

use tokio_util::sync::CancellationToken;

pub use broker_url::{BrokerUrl, InvalidBrokerUrl};
pub use events::{Event, Events, Refused};
pub use options::{Ca, Options, Publication, Qos, Subscription};
pub use publisher::{Closed, Publisher};
pub use tls::TlsError;

/// Starts a session, which connects by itself and goes on until `shutdown` is cancelled or [`Publisher::close`] is called. It then says
/// goodbye, so that the broker drops the will. So does a session whose [`Events`] are dropped. Must be called inside a Tokio runtime.
///
/// # Errors
///
/// When the certificate authorities can't be read. A broker that isn't there is no error, but waited for.
pub fn connect(options: Options, shutdown: CancellationToken) -> Result<(Publisher, Events), TlsError> {
    let transport = tls::transport(&options)?;
    let stop = shutdown.child_token();
    let (publisher, inputs) = publisher::channel(stop.clone());
    let (events, sink) = events::channel();
    tokio::spawn(session::Session::new(options, transport, inputs, sink, stop).run());
    Ok((publisher, events))
}
