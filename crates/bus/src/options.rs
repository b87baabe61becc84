//! What a session needs to know, and what it publishes.

use std::{fmt, path::PathBuf, time::Duration};

use bytes::Bytes;
use secrecy::SecretString;

use crate::BrokerUrl;

/// How to reach a broker, who we are there, and what we want to hear.
#[derive(Debug, Clone)]
pub struct Options {
    /// The broker.
    pub broker: BrokerUrl,
    /// Under which the broker keeps our session. It ends the connection of whoever else uses it.
    pub client_id: String,
    /// Who we are to the broker's access control. None connects without credentials.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<SecretString>,
    /// Whom to trust for `mqtts`, instead of the system's certificate authorities.
    pub ca: Option<Ca>,
    /// Time without traffic after which the broker is asked whether it's there; twice that without an answer ends the connection. At
    /// least 5 s.
    pub keep_alive: Duration,
    /// How long the broker keeps subscriptions and messages for us while we are away.
    pub session_expiry: Duration,
    /// Largest packet that we take. The broker drops larger ones.
    pub max_packet_bytes: u32,
    /// What the broker publishes for us when the connection ends without a goodbye.
    pub will: Option<Publication>,
    /// Subscribed after every connect.
    pub subscriptions: Vec<Subscription>,
}

/// Certificate authorities, as [PEM](https://www.rfc-editor.org/rfc/rfc7468).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    /// In a file.
    File(PathBuf),
    /// As text.
    Pem(String),
}

impl From<PathBuf> for Ca {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// Where they are, for messages.
impl fmt::Display for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Pem(_) => f.write_str("the configuration's text"),
        }
    }
}

/// Topics to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// A topic, with `+` for any level and `#` for any levels at the end.
    pub filter: String,
    /// The most that messages are delivered with.
    pub qos: Qos,
}

/// How hard the broker tries. MQTT's third level, exactly once, isn't used: our own attempt numbers do that end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// May be lost.
    AtMostOnce,
    /// May come twice.
    AtLeastOnce,
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// A topic, without wildcards.
    pub topic: String,
    /// The message.
    pub payload: Bytes,
    /// How hard the broker tries. In the outbox, QoS 1 stays until the broker has acknowledged it, QoS 0 until it is sent.
    pub qos: Qos,
    /// Whether the broker keeps it for those who subscribe later, until another one takes its place.
    pub retain: bool,
    /// After this, nobody needs it any more: neither the outbox nor the broker keeps it for longer.
    pub expiry: Option<Duration>,
}
