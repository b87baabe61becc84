//! One connection, from CONNECT to its end.

use std::{collections::VecDeque, pin::pin, sync::atomic::Ordering, time::Duration};

use rumqttc::{
    Outgoing,
    v5::{
        AsyncClient, ConnectionError, Event as Polled, EventLoop, StateError,
        mqttbytes::{
            QoS,
            v5::{ConnAck, DisconnectReasonCode, Packet, PubAck, PubAckReason, Publish, SubAck, SubscribeReasonCode},
        },
    },
};
use tokio::{
    sync::mpsc::error::TrySendError,
    time::{Instant, timeout},
};

use crate::{
    Event, Publication,
    events::{Ack, Delivery, Refused},
    publisher::Input,
    session::Session,
    translate::{self, Bounds},
};

/// What a broker that knows no MQTT 5 does: it says nothing and hangs up.
const NO_ANSWER: &str = "the broker closed the connection without an answer: it must speak MQTT 5, which Mosquitto 2 does and NATS and RabbitMQ before 3.13 don't";

/// Messages that the broker sends ahead of the consumer, and publications that we send ahead of the broker. Enough to keep a line with a
/// round trip of 50 ms busy with a thousand messages a second.
const BOUNDS: Bounds = Bounds {
    incoming: 64,
    outgoing: 64,
};

/// Requests on their way to the library: subscriptions, and within their bounds acknowledgements, publications and offers.
const REQUESTS: usize = 1024;

/// MQTT's word for it.
const TOO_LARGE: &str = "PacketTooLarge";

/// What a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// We ended it, or nobody listens any more.
    Stopped,
    /// It never came about.
    Failed(String),
    /// The broker doesn't let us in: in one word, and for people.
    Refused(String, String),
    /// It broke off.
    Lost(String),
    /// Another one with our client id took its place.
    TakenOver,
}

/// The library's client and its event loop are made for one connection and thrown away with it: what they would keep for the next one, and
/// drop when the broker doesn't know our session any more, is in the outbox.
pub(crate) struct Connection<'a> {
    session: &'a mut Session,
    number: u64,
    client: AsyncClient,
    /// Taken messages whose acknowledgement hasn't been handed to the library.
    acks: VecDeque<Ack>,
    is_up: bool,
}

/// Connects, and stays until the connection ends. `number` is this connection's and no other's of the session.
pub(crate) async fn run(session: &mut Session, number: u64) -> End {
    let options = translate::connect(&session.options, session.transport.clone(), &BOUNDS);
    let (client, event_loop) = AsyncClient::new(options, REQUESTS);
    let connection = Connection {
        session,
        number,
        client,
        acks: VecDeque::new(),
        is_up: false,
    };
    connection.run(event_loop).await
}

impl Connection<'_> {
    async fn run(mut self, mut event_loop: EventLoop) -> End {
        loop {
            let taken = match self.poll(&mut event_loop).await {
                Some(Ok(event)) => self.take(event),
                Some(Err(error)) => Err(self.end(error)),
                None => Err(self.say_goodbye(&mut event_loop).await),
            };
            match taken {
                Ok(()) => self.feed(),
                Err(end) => return end,
            }
        }
    }

    /// The next thing that the library tells, or none when the session is to stop. What our process wants meanwhile is handed over, and
    /// the poll kept: dropping an unfinished one could lose events.
    async fn poll(&mut self, event_loop: &mut EventLoop) -> Option<Result<Polled, ConnectionError>> {
        // After each keep alive the library asks the broker for a sign of life, and tells that it did. It's silent for longer only when it
        // waits for a socket that takes no more bytes, which it does without a limit of its own.
        let silence = translate::keep_alive(&self.session.options) * 2;
        let mut poll = pin!(timeout(silence, event_loop.poll()));
        loop {
            tokio::select! {
                polled = &mut poll => return Some(polled.unwrap_or_else(|elapsed| Err(elapsed.into()))),
                () = self.session.stop.cancelled() => return None,
                () = self.session.sink.deliveries.closed() => return None,
                Some(input) = self.session.inputs.queue.recv() => self.accept(input),
                Some(ack) = self.session.sink.acks.recv() => self.acks.push_back(ack),
            }
            self.feed();
        }
    }

    /// Hands over what waits, as far as there is room.
    fn feed(&mut self) {
        if !self.is_up {
            return;
        }
        while let Some(ack) = self.acks.pop_front() {
            if ack.connection == self.number && self.client.try_ack(&acknowledged(ack)).is_err() {
                self.acks.push_front(ack);
                return;
            }
        }
        let now = Instant::now();
        while let Some((publication, expiry)) = self.session.outbox.next(now) {
            if !hand_over(&self.client, publication, translate::qos(publication.qos), expiry) {
                return;
            }
            self.session.outbox.handed();
        }
        for publication in self.session.outbox.take_too_large() {
            self.too_large(publication);
        }
    }

    fn accept(&mut self, input: Input) {
        match input {
            Input::Queued(entry) => self.session.outbox.push(entry),
            Input::Offered(publication, _room) if self.is_up => self.offer(&publication),
            Input::Offered(..) => {}
        }
    }

    fn offer(&self, publication: &Publication) {
        let Publication { topic, expiry, .. } = publication;
        let publishable = self.session.outbox.is_publishable(publication);
        if self.session.outbox.is_too_large(publication) {
            self.too_large(publication.clone());
        } else if publishable && !hand_over(&self.client, publication, QoS::AtMostOnce, *expiry) {
            tracing::debug!(topic, "dropping a publication: the connection is far behind");
        }
    }

    fn take(&mut self, event: Polled) -> Result<(), End> {
        match event {
            Polled::Incoming(Packet::ConnAck(ack)) => return self.up(&ack),
            Polled::Incoming(Packet::Publish(message)) => return self.deliver(message),
            Polled::Incoming(Packet::SubAck(ack)) => return self.subscribed(&ack),
            Polled::Incoming(Packet::PubAck(ack)) => return self.acknowledged(&ack),
            // Packets without acknowledgement have the number 0.
            Polled::Outgoing(Outgoing::Publish(packet)) if packet != 0 => self.session.outbox.sent(packet),
            _ => {}
        }
        Ok(())
    }

    fn up(&mut self, ack: &ConnAck) -> Result<(), End> {
        let properties = ack.properties.as_ref();
        let window = properties
            .and_then(|properties| properties.receive_max)
            .unwrap_or(u16::MAX);
        let max_packet = properties.and_then(|properties| properties.max_packet_size);
        self.session
            .outbox
            .connected(window.min(BOUNDS.outgoing).into(), max_packet);
        let filters = self.session.options.subscriptions.iter().map(translate::filter);
        if filters.len() > 0 && self.client.try_subscribe_many(filters).is_err() {
            return Err(End::Failed("a subscription's filter is not valid".to_owned()));
        }
        self.is_up = true;
        self.session.inputs.connected.store(true, Ordering::Relaxed);
        let session_present = ack.session_present;
        tracing::info!(broker = %self.session.options.broker, session_present, "connected to the broker");
        self.tell(Event::Connected { session_present }, None)
    }

    fn deliver(&mut self, message: Publish) -> Result<(), End> {
        let at_most_once = message.qos == QoS::AtMostOnce;
        let ack = Ack {
            connection: self.number,
            packet: message.pkid,
        };
        let Ok(topic) = String::from_utf8(message.topic.into()) else {
            return Err(End::Lost("the broker sent a topic that is not UTF-8".to_owned()));
        };
        if at_most_once && self.session.sink.is_crowded() {
            tracing::debug!(topic, "dropping a message: the consumer is far behind");
            return Ok(());
        }
        let (payload, retain) = (message.payload, message.retain);
        self.tell(
            Event::Message { topic, payload, retain },
            (!at_most_once).then_some(ack),
        )
    }

    /// The broker never sends further ahead than [`BOUNDS`], so only a consumer that has stood still over several connections has no room.
    /// What it isn't told now the broker sends again.
    fn tell(&self, event: Event, ack: Option<Ack>) -> Result<(), End> {
        match self.session.sink.deliveries.try_send(Delivery { event, ack }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(End::Lost(
                "our own process does not keep up with its messages".to_owned(),
            )),
            Err(TrySendError::Closed(_)) => Err(End::Stopped),
        }
    }

    fn subscribed(&self, ack: &SubAck) -> Result<(), End> {
        for (subscription, code) in self.session.options.subscriptions.iter().zip(&ack.return_codes) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                let filter = &subscription.filter;
                tracing::warn!(filter, ?code, "the broker refuses a subscription");
                let reason = format!("subscription to `{filter}`: {code:?}");
                self.refused(Refused::Subscription, format!("{code:?}"), reason)?;
            }
        }
        Ok(())
    }

    /// Also what the broker refuses is done with: it would refuse it again, or is over a quota, and whoever must be heard says it again by itself.
    fn acknowledged(&mut self, ack: &PubAck) -> Result<(), End> {
        let publication = self.session.outbox.acknowledged(ack.pkid);
        if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
            let topic = publication.as_ref().map(|publication| &publication.topic);
            tracing::warn!(topic, reason = ?ack.reason, "the broker refuses a publication");
            if let Some(publication) = publication {
                let code = format!("{:?}", ack.reason);
                let reason = format!("publication to `{}`: {code}", publication.topic);
                return self.refused(Refused::Publication(publication), code, reason);
            }
        }
        Ok(())
    }

    fn refused(&self, what: Refused, code: String, reason: String) -> Result<(), End> {
        self.tell(Event::Refused { what, code, reason }, None)
    }

    /// What wasn't sent, because the broker has said how large a packet may be.
    fn too_large(&self, publication: Publication) {
        let reason = format!("publication to `{}`: larger than the broker takes", publication.topic);
        // It's only counted, so it may be lost where nobody keeps up.
        let _ = self.refused(Refused::Publication(publication), TOO_LARGE.to_owned(), reason);
    }

    fn end(&self, error: ConnectionError) -> End {
        match error {
            ConnectionError::ConnectionRefused(code) => End::Refused(format!("{code:?}"), translate::refusal(code)),
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code: DisconnectReasonCode::SessionTakenOver,
                ..
            }) => End::TakenOver,
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => {
                let code = format!("{reason_code:?}");
                let reason = match reason_string {
                    Some(words) => format!("the broker ended the connection: {code}: {words}"),
                    None => format!("the broker ended the connection: {code}"),
                };
                // The end itself is told in any case.
                if is_refusal(reason_code) {
                    let _ = self.refused(Refused::Connection, code, reason.clone());
                }
                if self.is_up {
                    End::Lost(reason)
                } else {
                    End::Failed(reason)
                }
            }
            error if self.is_up => End::Lost(error.to_string()),
            // So answer brokers that don't know the version of the protocol.
            ConnectionError::MqttState(StateError::ConnectionAborted) => End::Failed(NO_ANSWER.to_owned()),
            error => End::Failed(error.to_string()),
        }
    }

    async fn say_goodbye(&self, event_loop: &mut EventLoop) -> End {
        if self.is_up && self.client.try_disconnect().is_ok() {
            let goodbye = async {
                while !matches!(
                    event_loop.poll().await,
                    Ok(Polled::Outgoing(Outgoing::Disconnect)) | Err(_)
                ) {}
            };
            // Whether the broker heard it makes no difference to us.
            drop(timeout(GOODBYE, goodbye).await);
        }
        End::Stopped
    }
}

/// `false` if the library has no room for it now.
fn hand_over(client: &AsyncClient, publication: &Publication, qos: QoS, expiry: Option<Duration>) -> bool {
    let Publication {
        topic, payload, retain, ..
    } = publication;
    let (payload, properties) = (payload.clone(), translate::properties(expiry));
    client
        .try_publish_with_properties(topic, qos, *retain, payload, properties)
        .is_ok()
}

/// What the library needs to see of a message to acknowledge it.
fn acknowledged(ack: Ack) -> Publish {
    let mut message = Publish::new("", QoS::AtLeastOnce, "", None);
    message.pkid = ack.packet;
    message
}

/// Whether a broker ends a connection for what we did, or may not do. It may also just stop.
fn is_refusal(code: DisconnectReasonCode) -> bool {
    use DisconnectReasonCode::{
        ConnectionRateExceeded, MessageRateTooHigh, NotAuthorized, PacketTooLarge, QuotaExceeded,
        ReceiveMaximumExceeded,
    };
    matches!(
        code,
        NotAuthorized
            | QuotaExceeded
            | PacketTooLarge
            | ReceiveMaximumExceeded
            | MessageRateTooHigh
            | ConnectionRateExceeded
    )
}
