//! Topics: the tree `m/{domain}/c/{channel}/…`, parsed once, never matched by substring.

use std::{fmt, str::FromStr};

use propeller_api::PropletId;

/// What a message on a topic is, by the levels between base and proplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Control plane to proplet: [`crate::Start`].
    Start,
    /// Control plane to proplet: [`crate::Stop`].
    Stop,
    /// Control plane to proplet: [`crate::Ack`].
    Ack,
    /// Control plane to proplet: [`crate::Lease`].
    Lease,
    /// Proplet to control plane: [`crate::Alive`].
    Alive,
    /// Proplet to control plane: [`crate::Report`].
    Results,
    /// Proplet to control plane: [`crate::Logs`].
    Logs,
    /// Proplet to control plane: [`crate::Metrics`].
    Metrics,
    /// Proplet to control plane: [`crate::ChunkRequest`].
    ChunkRequest,
    /// Control plane to proplet: [`crate::Chunk`].
    Chunk,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Stop,
        Self::Ack,
        Self::Lease,
        Self::Alive,
        Self::Results,
        Self::Logs,
        Self::Metrics,
        Self::ChunkRequest,
        Self::Chunk,
    ];

    /// The levels between base and proplet.
    pub fn levels(self) -> &'static str {
        match self {
            Self::Start => "control/manager/start",
            Self::Stop => "control/manager/stop",
            Self::Ack => "control/manager/ack",
            Self::Lease => "control/manager/lease",
            Self::Alive => "control/proplet/alive",
            Self::Results => "control/proplet/results",
            Self::Logs => "control/proplet/logs",
            Self::Metrics => "control/proplet/metrics",
            Self::ChunkRequest => "registry/proplet",
            Self::Chunk => "registry/server",
        }
    }
}

/// Where in a broker's topics one Propeller lives: `m/{domain}/c/{channel}`. Several can share a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    domain: String,
    channel: String,
}

/// A name can't be a topic level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` can't be a domain or channel: expected 1 to 64 letters, digits, `-`, `_` or `.`")]
pub struct InvalidBase(String);

/// A topic that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// It isn't below our base.
    #[error("the topic is not below {0}")]
    Elsewhere(String),
    /// The levels say nothing that we know.
    #[error("no message is known by the topic's levels")]
    UnknownChannel,
    /// The last level isn't a proplet's id.
    #[error("the topic's last level is not a proplet's id")]
    Proplet(#[from] propeller_api::InvalidPropletId),
}

/// That of a control plane and proplets that nobody told another: `m/default/c/main`.
impl Default for Base {
    fn default() -> Self {
        Self {
            domain: "default".to_owned(),
            channel: "main".to_owned(),
        }
    }
}

impl Base {
    /// The base of that domain and channel.
    pub fn new(domain: &str, channel: &str) -> Result<Self, InvalidBase> {
        let level = |text: &str| {
            let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let valid = (1..=64).contains(&text.len()) && text.bytes().all(alphabet);
            if valid {
                Ok(text.to_owned())
            } else {
                Err(InvalidBase(text.to_owned()))
            }
        };
        Ok(Self {
            domain: level(domain)?,
            channel: level(channel)?,
        })
    }

    /// The topic of that channel and proplet.
    pub fn topic(&self, channel: Channel, proplet: &PropletId) -> String {
        format!("{self}/{}/{proplet}", channel.levels())
    }

    /// The filter of that channel for every proplet.
    pub fn filter(&self, channel: Channel) -> String {
        format!("{self}/{}/+", channel.levels())
    }

    /// Reads a topic back.
    pub fn parse(&self, topic: &str) -> Result<Topic, InvalidTopic> {
        let base = self.to_string();
        let below = topic.strip_prefix(&base).and_then(|rest| rest.strip_prefix('/'));
        let below = below.ok_or(InvalidTopic::Elsewhere(base))?;
        let (levels, proplet) = below.rsplit_once('/').ok_or(InvalidTopic::UnknownChannel)?;
        let channel = Channel::ALL.into_iter().find(|channel| channel.levels() == levels);
        Ok(Topic {
            channel: channel.ok_or(InvalidTopic::UnknownChannel)?,
            proplet: PropletId::from_str(proplet)?,
        })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m/{}/c/{}", self.domain, self.channel)
    }
}

/// What a message is, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What it is.
    pub channel: Channel,
    /// The proplet that it comes from or goes to.
    pub proplet: PropletId,
}
