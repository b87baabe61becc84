//! From an MQTT message to what happened to an attempt.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use propeller_api::PropletId;
use propeller_bus::{Qos, Subscription};
use propeller_delivery::ledger::{Event, Holding};
use propeller_protocol::{
    AttemptRef, Base, Channel, ControllerId, DecodeError, InvalidTopic, Refusal, Rejection, decode,
};
use serde::Deserialize;

use super::chain::chain;

/// What the control plane tells a proplet.
const CHANNELS: [(Channel, Qos); 4] = [
    (Channel::Start, Qos::AtLeastOnce),
    (Channel::Stop, Qos::AtLeastOnce),
    (Channel::Ack, Qos::AtLeastOnce),
    (Channel::Lease, Qos::AtMostOnce),
];

/// What a message means.
#[derive(Debug)]
pub enum Heard {
    /// Something for the ledger.
    Event(Event),
    /// A start that isn't understood, but says whose it is: its controller must not wait for nothing.
    Malformed(Holding, Rejection),
    /// Nothing. It was counted.
    Undecodable,
}

/// Reads messages, and counts those that it can't read.
#[derive(Debug)]
pub struct Inbound {
    base: Base,
    id: PropletId,
    undecodable: u64,
    /// Topics of which a message was logged as such. Only topics that we subscribed to get here, so there are few.
    complained: BTreeSet<String>,
}

impl Inbound {
    /// For the messages of that proplet.
    pub fn new(base: Base, id: PropletId) -> Self {
        Self {
            base,
            id,
            undecodable: 0,
            complained: BTreeSet::new(),
        }
    }

    /// What to subscribe to: this proplet's own topics.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let subscription = |(channel, qos)| Subscription {
            filter: self.base.topic(channel, &self.id),
            qos,
        };
        CHANNELS.map(subscription).into()
    }

    /// Messages that couldn't be read so far.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Reads a message.
    pub fn read(&mut self, topic: &str, payload: &[u8]) -> Heard {
        let error = match self.event(topic, payload) {
            Ok(event) => return Heard::Event(event),
            Err(error) => error,
        };
        let problem = chain(&error);
        self.complain(topic, &problem);
        match error {
            Unreadable::Start(_) => malformed(payload, problem).unwrap_or(Heard::Undecodable),
            _ => Heard::Undecodable,
        }
    }

    fn event(&self, topic: &str, payload: &[u8]) -> Result<Event, Unreadable> {
        let topic = self.base.parse(topic)?;
        if topic.proplet != self.id {
            return Err(Unreadable::Other);
        }
        match topic.channel {
            Channel::Start => match decode(payload) {
                Ok(start) => Ok(Event::Start(Box::new(start))),
                Err(error) => Err(Unreadable::Start(error)),
            },
            Channel::Stop => Ok(Event::Stop(decode(payload)?)),
            Channel::Ack => Ok(Event::Ack(decode(payload)?)),
            Channel::Lease => Ok(Event::Echo(decode(payload)?)),
            _ => Err(Unreadable::Other),
        }
    }

    /// The first of a topic is news, a thousand more of it would only fill the disk.
    fn complain(&mut self, topic: &str, problem: &str) {
        self.undecodable += 1;
        if self.complained.insert(topic.to_owned()) {
            tracing::warn!(
                topic,
                problem,
                "a message can't be read; more of this topic are counted, and logged at debug level"
            );
        } else {
            tracing::debug!(topic, problem, "a message can't be read");
        }
    }
}

/// Why a message means nothing.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    #[error("not a topic that this proplet listens to")]
    Other,
    #[error("not a start")]
    Start(#[source] DecodeError),
    #[error("not the message that its topic promises")]
    Message(#[from] DecodeError),
}

/// The least that has to be there to answer. Neither the version nor anything else is looked at.
#[derive(Deserialize)]
struct Whose {
    controller: ControllerId,
    #[serde(flatten)]
    attempt: AttemptRef,
}

fn malformed(payload: &[u8], message: String) -> Option<Heard> {
    let Whose { controller, attempt } = serde_json::from_slice(payload).ok()?;
    let holding = Holding {
        attempt,
        controller,
        issued_at: Timestamp::UNIX_EPOCH,
        leased_before: None,
    };
    let reason = Refusal::Malformed;
    Some(Heard::Malformed(holding, Rejection { reason, message }))
}
