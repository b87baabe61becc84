//! A client that sees everything on a broker, and says anything: the witness that nothing reached a proplet, and the source of hostile messages.
//!
//! It knows neither our topics nor our messages, only MQTT: topics are strings and payloads bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::wait::{PATIENCE, wait_for};

/// Mosquitto's own bound is 256 MiB; rumqttc's default of 10 KiB would end the connection at the first larger message.
const LARGEST_PACKET: u32 = 16 << 20;

/// A connected client. It connects again, and subscribes again, when the broker went away; what was published meanwhile it misses.
#[derive(Debug)]
pub struct Spy {
    client: AsyncClient,
    state: Arc<Mutex<State>>,
    acks: AsyncMutex<mpsc::UnboundedReceiver<PubAckReason>>,
    poller: JoinHandle<()>,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// All of its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The broker had kept it from before the subscription.
    pub retained: bool,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    /// One for each connection so far.
    subscriptions: usize,
    refused: Option<String>,
}

impl Spy {
    /// Connects without a name, and subscribes to `filter`.
    ///
    /// # Errors
    /// When the broker isn't there or refuses.
    pub async fn connect(broker: SocketAddr, filter: &str) -> Result<Self> {
        Self::connect_as(broker, None, filter).await
    }

    /// Connects with a user name and a password, and subscribes to `filter`.
    ///
    /// # Errors
    /// When the broker isn't there or refuses.
    pub async fn connect_as(broker: SocketAddr, account: Option<(&str, &str)>, filter: &str) -> Result<Self> {
        let mut options = MqttOptions::new(
            format!("spy-{}", Uuid::new_v4()),
            broker.ip().to_string(),
            broker.port(),
        );
        options.set_max_packet_size(Some(LARGEST_PACKET));
        if let Some((user, password)) = account {
            options.set_credentials(user, password);
        }
        let (client, connection) = AsyncClient::new(options, 64);
        let (ack, acks) = mpsc::unbounded_channel();
        let state = Arc::new(Mutex::new(State::default()));
        let listener = Listener {
            client: client.clone(),
            filter: filter.to_owned(),
            state: state.clone(),
            ack,
        };
        let poller = tokio::spawn(listener.run(connection));
        let spy = Self {
            client,
            state,
            acks: AsyncMutex::new(acks),
            poller,
        };
        spy.wait_for_subscriptions(1).await?;
        Ok(spy)
    }

    /// Waits until the broker has confirmed that many subscriptions: one is there from the beginning, and one more each time that the broker came back.
    ///
    /// # Errors
    /// When the broker refuses, or isn't there for [`PATIENCE`].
    pub async fn wait_for_subscriptions(&self, wanted: usize) -> Result<()> {
        let outcome = wait_for("a subscription", PATIENCE, async || {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match &state.refused {
                Some(reason) => Ok(Err(anyhow!("the broker refuses: {reason}"))),
                None if state.subscriptions >= wanted => Ok(Ok(())),
                None => bail!("{} of {wanted}", state.subscriptions),
            }
        });
        outcome.await.flatten()
    }

    /// Every message so far, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .messages
            .clone()
    }

    /// Waits for the first message that `wanted` accepts, from the beginning on.
    ///
    /// # Errors
    /// When [`PATIENCE`] passes. Tells the topics of all that came instead.
    pub async fn wait_for_message(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Result<Message> {
        wait_for(what, PATIENCE, async || {
            let messages = self.messages();
            let topics: Vec<&str> = messages.iter().map(|message| message.topic.as_str()).collect();
            messages
                .iter()
                .find(|message| wanted(message))
                .cloned()
                .with_context(|| format!("messages on {topics:?}"))
        })
        .await
    }

    /// Publishes (QoS 1), and waits until the broker has taken it.
    ///
    /// # Errors
    /// When the broker doesn't allow it, or doesn't answer for [`PATIENCE`].
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<()> {
        self.send(topic, payload.into(), false).await
    }

    /// Publishes a message that the broker keeps, until an empty one takes its place.
    ///
    /// # Errors
    /// When the broker doesn't allow it, or doesn't answer for [`PATIENCE`].
    pub async fn publish_retained(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<()> {
        self.send(topic, payload.into(), true).await
    }

    /// Publishes all of these (QoS 1) as fast as the broker takes them, and waits until it has taken the last one.
    ///
    /// # Errors
    /// When it doesn't answer for [`PATIENCE`].
    pub async fn flood(&self, messages: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<()> {
        let mut acks = self.acks.lock().await;
        let mut unanswered = 0;
        for (topic, payload) in messages {
            self.client.publish(topic, QoS::AtLeastOnce, false, payload).await?;
            unanswered += 1;
            while acks.try_recv().is_ok() {
                unanswered -= 1;
            }
        }
        for _ in 0..unanswered {
            let ack = tokio::time::timeout(PATIENCE, acks.recv()).await;
            ack.context("nobody acknowledges a message")?
                .context("the spy is gone")?;
        }
        Ok(())
    }

    async fn send(&self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<()> {
        // Held from here to the acknowledgement, so that the next one is ours.
        let mut acks = self.acks.lock().await;
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await?;
        let ack = tokio::time::timeout(PATIENCE, acks.recv()).await;
        match ack
            .with_context(|| format!("nobody acknowledges a message on {topic}"))?
            .context("the spy is gone")?
        {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            refused => bail!("the broker refuses a message on {topic}: {refused:?}"),
        }
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

struct Listener {
    client: AsyncClient,
    filter: String,
    state: Arc<Mutex<State>>,
    ack: mpsc::UnboundedSender<PubAckReason>,
}

impl Listener {
    async fn run(self, mut connection: EventLoop) {
        loop {
            match connection.poll().await {
                Ok(Event::Incoming(packet)) => self.take(packet),
                Ok(Event::Outgoing(_)) => {}
                Err(ConnectionError::ConnectionRefused(reason)) => return self.refuse(format!("{reason:?}")),
                // rumqttc tries again at once, and would do nothing else while the broker is away.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn take(&self, packet: Packet) {
        match packet {
            // Each time: a broker that lost its sessions knows of no subscription. The queue is never full, there is at most one other request in it.
            Packet::ConnAck(_) => {
                if let Err(error) = self.client.try_subscribe(&self.filter, QoS::AtLeastOnce) {
                    self.refuse(error.to_string());
                }
            }
            Packet::SubAck(ack) => match ack.return_codes.as_slice() {
                [SubscribeReasonCode::Success(_)] => self.update(|state| state.subscriptions += 1),
                codes => self.refuse(format!("{codes:?}")),
            },
            Packet::Publish(message) => self.update(|state| state.messages.push(message.into())),
            // Nobody waits any more where the spy is gone.
            Packet::PubAck(ack) => drop(self.ack.send(ack.reason)),
            _ => {}
        }
    }

    fn refuse(&self, reason: String) {
        self.update(|state| state.refused = Some(reason));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl From<Publish> for Message {
    fn from(message: Publish) -> Self {
        Self {
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            payload: message.payload.to_vec(),
            retained: message.retain,
        }
    }
}
