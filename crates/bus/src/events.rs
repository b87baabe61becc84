//! The way out: what happens on the session.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Publication;

/// Events that wait for the consumer. It is far more than the broker may send ahead, so that only a consumer that doesn't move at all can fill it.
const WAITING: usize = 1024;

/// What happens on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The broker has us. Subscriptions are on their way before anything that is published from now on.
    Connected {
        /// Whether the broker kept our session: if not, it kept no messages either.
        session_present: bool,
    },
    /// The connection ended. The session connects again.
    Disconnected {
        /// Why, for people.
        reason: String,
    },
    /// A message.
    Message {
        /// Its topic.
        topic: String,
        /// Its bytes.
        payload: Bytes,
        /// Whether the broker had kept it from before the subscription.
        retain: bool,
    },
    /// Another connection uses our client id, and the broker ended ours. The session waits a minute before it connects again, which ends
    /// the other.
    ///
    /// Nobody can count on this. Mosquitto 2.0.11 closes the connection without a word, and the client library (rumqttc 0.25) misses the
    /// broker's word if it has no property length, which MQTT lets brokers leave out. To a session that is [`Event::Disconnected`], and
    /// connecting again throws the other out.
    TakenOver,
    /// The broker doesn't do what it is asked: for bad credentials, access control, a quota. The session goes on, and tries again what is its own;
    /// a publication is done with.
    Refused {
        /// What it refuses.
        what: Refused,
        /// Its answer in one word, such as `QuotaExceeded`: few, for figures.
        code: String,
        /// Why, for people.
        reason: String,
    },
}

/// What a broker refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// To let us in, or to keep the connection.
    Connection,
    /// To let us hear a topic.
    Subscription,
    /// To take this message.
    Publication(Publication),
}

impl Refused {
    /// In one word, as figures have it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Subscription => "subscription",
            Self::Publication(_) => "publication",
        }
    }
}

/// The events of a session, which ends when this is dropped.
#[derive(Debug)]
pub struct Events {
    deliveries: mpsc::Receiver<Delivery>,
    acks: mpsc::UnboundedSender<Ack>,
}

impl Events {
    /// The next event, or none when the session has ended. Can be cancelled without losing one.
    pub async fn next(&mut self) -> Option<Event> {
        let Delivery { event, ack } = self.deliveries.recv().await?;
        if let Some(ack) = ack {
            // If the session has ended, nobody needs it: the broker sends the message again.
            let _ = self.acks.send(ack);
        }
        Some(event)
    }
}

/// An event on its way to the consumer.
pub(crate) struct Delivery {
    pub(crate) event: Event,
    /// To be sent to the broker when the consumer takes the event.
    pub(crate) ack: Option<Ack>,
}

/// Which message was taken. Its number means something on the connection that it came by only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) connection: u64,
    pub(crate) packet: u16,
}

/// The session's ends of [`Events`].
pub(crate) struct Sink {
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    /// Unbounded as a type; the receive maximum bounds it.
    pub(crate) acks: mpsc::UnboundedReceiver<Ack>,
}

pub(crate) fn channel() -> (Events, Sink) {
    let (sender, deliveries) = mpsc::channel(WAITING);
    let (acks, acked) = mpsc::unbounded_channel();
    let sink = Sink {
        deliveries: sender,
        acks: acked,
    };
    (Events { deliveries, acks }, sink)
}

impl Sink {
    /// Whether messages that may be lost should be: half of the room is for the others.
    pub(crate) fn is_crowded(&self) -> bool {
        self.deliveries.capacity() < WAITING / 2
    }
}
