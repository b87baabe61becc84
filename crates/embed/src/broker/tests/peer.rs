//! A bare client, that tells what the broker answers.

use std::{collections::VecDeque, net::SocketAddr};

use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{ConnectReturnCode, Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode},
    },
};

use super::{in_time, password};

pub(super) struct Peer {
    client: AsyncClient,
    events: EventLoop,
    heard: VecDeque<Publish>,
}

/// What a user says to get in, with its name as client id.
pub(super) fn greeting(broker: SocketAddr, user: &str) -> MqttOptions {
    let mut options = stranger(broker, user);
    options.set_credentials(user, password(user));
    options
}

/// What somebody without an account says.
pub(super) fn stranger(broker: SocketAddr, client: &str) -> MqttOptions {
    MqttOptions::new(client, broker.ip().to_string(), broker.port())
}

impl Peer {
    pub(super) async fn connect(options: MqttOptions) -> Result<Self, ConnectReturnCode> {
        let (client, mut events) = AsyncClient::new(options, 16);
        loop {
            match in_time(events.poll()).await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break,
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) => return Err(code),
                Err(error) => panic!("{error}"),
            }
        }
        Ok(Self {
            client,
            events,
            heard: VecDeque::new(),
        })
    }

    pub(super) async fn of(broker: SocketAddr, user: &str) -> Self {
        Self::connect(greeting(broker, user)).await.unwrap()
    }

    pub(super) async fn publish(&mut self, topic: &str, payload: &str) -> PubAckReason {
        self.publish_with(topic, payload, PublishProperties::default()).await
    }

    pub(super) async fn publish_with(
        &mut self,
        topic: &str,
        payload: &str,
        properties: PublishProperties,
    ) -> PubAckReason {
        let sent = self
            .client
            .publish_with_properties(topic, QoS::AtLeastOnce, false, payload.to_owned(), properties);
        sent.await.unwrap();
        loop {
            if let Packet::PubAck(ack) = self.next().await.unwrap() {
                return ack.reason;
            }
        }
    }

    pub(super) async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        loop {
            if let Packet::SubAck(ack) = self.next().await.unwrap() {
                return ack.return_codes[0];
            }
        }
    }

    /// The next message.
    pub(super) async fn message(&mut self) -> Publish {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return message;
            }
            self.next().await.unwrap();
        }
    }

    /// How the connection ends.
    pub(super) async fn end(&mut self) -> ConnectionError {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }

    /// Without a word to the broker.
    pub(super) fn cut(self) {}

    async fn next(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            if let Event::Incoming(packet) = in_time(self.events.poll()).await? {
                if let Packet::Publish(message) = &packet {
                    self.heard.push_back(message.clone());
                }
                return Ok(packet);
            }
        }
    }
}
