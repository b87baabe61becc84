//! The session with the broker: bytes become events of the brain, and what the brain says becomes bytes.
//!
//! Messages are decoded by their topic, and the proplet that a message is from is the one that its topic names. What can't be decoded is
//! counted, told once for each topic, and changes nothing.

use std::{collections::HashSet, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use propeller_api::PropletId;
use propeller_bus::{
    BrokerUrl, Ca, Event as BusEvent, Events, Options, Publication, Publisher, Qos, Refused, Subscription, TlsError,
};
use propeller_protocol::{
    Alive, Base, Channel, ChunkRequest, DecodeError, InvalidTopic, Logs, MAX_MESSAGE_BYTES, Message,
    Metrics as Figures, Report, Start, Topic, decode, encode,
};
use secrecy::SecretString;
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    brain::{Bus, Clock, Event, Outgoing},
    health::Health,
    metrics::Metrics,
};

/// How long the broker keeps reports for a control plane that is away. What is older comes again from the proplets' journals.
const SESSION_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);
/// A connection that is silent for one and a half of this is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a goodbye waits until the broker has what was said last.
const FLUSH: Duration = Duration::from_secs(2);
/// Topics that were complained about. Beyond that they are only counted, since anybody can make them up.
const MAX_COMPLAINTS: usize = 1_000;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The certificate authorities for the broker can't be read.
    #[error("the connection to the broker can't be made secure")]
    Tls(#[source] TlsError),
    /// Another process uses our client id.
    #[error(
        "the MQTT session was taken over by another process with client id `{0}`: either a new leader, or another operator that must get a \
         client id of its own"
    )]
    TakenOver(String),
    /// The session is closed, which nobody asked for.
    #[error("the MQTT session is closed")]
    Closed,
}

/// Where the broker is, and who we are there.
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// The same for all replicas of a control plane, and for no other. Derived from its identity when absent.
    pub client_id: Option<String>,
    /// User name; `None` connects without.
    pub username: Option<String>,
    /// Password, if the broker wants one.
    pub password: Option<SecretString>,
    /// Whom to trust for `mqtts`, in place of the system's certificate authorities.
    pub ca: Option<Ca>,
    /// Where in the broker's topics we live.
    pub base: Base,
}

/// What a session needs beside the account.
pub struct Wires {
    /// To the brain.
    pub events: mpsc::Sender<Event>,
    /// From the brain. The session ends in order when it is closed.
    pub outgoing: mpsc::Receiver<Outgoing>,
    /// The control plane's clock.
    pub clock: Clock,
    /// Where figures go.
    pub metrics: Metrics,
    /// Where the state of the session goes.
    pub health: Health,
    /// Told whenever the connection breaks. Not every broker says why, and it may be that another leader took the session over.
    pub broken: Arc<Notify>,
    /// Whether the brain has a place for what tasks write.
    pub hears_logs: bool,
}

/// Runs the session of `client_id` until the brain has nothing to say any more, then says goodbye to the broker.
///
/// Every replica of a control plane has the same client id, so that a new leader takes the session over with what waits in it.
///
/// # Errors
///
/// [`Ended`], when it ends in another way. A broker that isn't there is no error, but waited for.
pub async fn run(mqtt: Mqtt, client_id: String, wires: Wires) -> Result<(), Ended> {
    let base = mqtt.base.clone();
    let options = options(mqtt, client_id.clone(), wires.hears_logs);
    let (publisher, bus) = propeller_bus::connect(options, CancellationToken::new()).map_err(Ended::Tls)?;
    let Wires {
        events,
        outgoing,
        clock,
        metrics,
        health,
        broken,
        hears_logs: _,
    } = wires;
    let incoming = Incoming {
        base: base.clone(),
        client_id,
        events,
        metrics,
        health,
        broken,
        complaints: HashSet::new(),
    };
    tokio::select! {
        ended = incoming.run(bus) => ended,
        ended = say(&publisher, outgoing, &base, &clock) => ended,
    }
}

fn options(mqtt: Mqtt, client_id: String, hears_logs: bool) -> Options {
    let logs = hears_logs.then_some((Channel::Logs, Qos::AtMostOnce));
    let heard = [
        (Channel::Alive, Qos::AtMostOnce),
        (Channel::Results, Qos::AtLeastOnce),
        (Channel::Metrics, Qos::AtMostOnce),
        (Channel::ChunkRequest, Qos::AtLeastOnce),
    ];
    let subscription = |(channel, qos)| Subscription {
        filter: mqtt.base.filter(channel),
        qos,
    };
    Options {
        subscriptions: heard.into_iter().chain(logs).map(subscription).collect(),
        broker: mqtt.broker,
        client_id,
        username: mqtt.username,
        password: mqtt.password,
        ca: mqtt.ca,
        keep_alive: KEEP_ALIVE,
        session_expiry: SESSION_EXPIRY,
        // The largest message, and room for its topic.
        max_packet_bytes: u32::try_from(MAX_MESSAGE_BYTES)
            .unwrap_or(u32::MAX)
            .saturating_add(1024),
        will: None,
    }
}

struct Incoming {
    base: Base,
    client_id: String,
    events: mpsc::Sender<Event>,
    metrics: Metrics,
    health: Health,
    broken: Arc<Notify>,
    complaints: HashSet<String>,
}

impl Incoming {
    async fn run(mut self, mut bus: Events) -> Result<(), Ended> {
        loop {
            let Some(event) = bus.next().await else {
                return self.closed().await;
            };
            let event = match event {
                BusEvent::Connected { .. } => {
                    self.health.set_connected(true);
                    Some(Bus::Connected)
                }
                BusEvent::Disconnected { .. } => {
                    self.health.set_connected(false);
                    self.broken.notify_one();
                    Some(Bus::Disconnected)
                }
                BusEvent::Message { topic, payload, retain } => self.message(&topic, &payload, retain),
                BusEvent::TakenOver => return Err(Ended::TakenOver(self.client_id)),
                BusEvent::Refused { what, code, reason } => {
                    self.metrics.broker_refused(what.label(), &code);
                    self.refused(&what, code, &reason)
                }
            };
            // Whatever tasks write, results don't wait behind it.
            if matches!(event, Some(Bus::Logs { .. })) && self.events.capacity() < self.events.max_capacity() / 2 {
                self.metrics.lines_dropped();
                continue;
            }
            if let Some(event) = event
                && self.events.send(Event::Bus(event)).await.is_err()
            {
                return self.closed().await;
            }
        }
    }

    /// Either the brain has ended, and what it said last is still being sent before the session is closed; or nobody asked for that.
    async fn closed(self) -> Result<(), Ended> {
        if self.events.is_closed() {
            pending().await
        } else {
            Err(Ended::Closed)
        }
    }

    /// Whoever waits for a start that wasn't taken should be told. The rest is said again by itself.
    fn refused(&self, what: &Refused, code: String, reason: &str) -> Option<Bus> {
        let Refused::Publication(publication) = what else {
            tracing::error!(
                reason,
                "the broker refuses us: check user name, password, access control and quotas"
            );
            return None;
        };
        let topic = self.base.parse(&publication.topic).ok()?;
        let start = (topic.channel == Channel::Start).then(|| decode::<Start>(&publication.payload))?;
        let attempt = start.ok()?.attempt;
        Some(Bus::StartRefused { attempt, reason: code })
    }

    /// The event that a message is, if it is one.
    fn message(&mut self, topic: &str, payload: &Bytes, retain: bool) -> Option<Bus> {
        let channel = self.base.parse(topic).map_or("unknown", |topic| topic.channel.levels());
        self.metrics.received(channel);
        read(&self.base, topic, payload, retain).unwrap_or_else(|problem| {
            self.metrics.undecodable(channel);
            self.complain(topic, &problem);
            None
        })
    }

    fn complain(&mut self, topic: &str, problem: &Undecodable) {
        if self.complaints.len() < MAX_COMPLAINTS && self.complaints.insert(topic.to_owned()) {
            let problem = problem as &dyn std::error::Error;
            tracing::warn!(
                topic,
                problem,
                "a message can't be decoded; more of this topic are counted only"
            );
        }
    }
}

/// Bytes that aren't what their topic promises.
#[derive(Debug, thiserror::Error)]
enum Undecodable {
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    #[error(transparent)]
    Message(#[from] DecodeError),
    #[error("nobody but a control plane says this")]
    NotFromProplet,
}

/// What a message says to the brain; nothing, if it is in order but not for the brain.
fn read(base: &Base, topic: &str, payload: &[u8], retained: bool) -> Result<Option<Bus>, Undecodable> {
    let Topic { channel, proplet } = base.parse(topic)?;
    match channel {
        Channel::Alive => {
            let alive = Box::new(decode::<Alive>(payload)?);
            Ok(Some(Bus::Alive {
                proplet,
                alive,
                retained,
            }))
        }
        Channel::Results => {
            let report = Box::new(decode::<Report>(payload)?);
            Ok(Some(Bus::Report { proplet, report }))
        }
        Channel::Logs => {
            let logs = Box::new(decode::<Logs>(payload)?);
            Ok(Some(Bus::Logs { proplet, logs }))
        }
        Channel::Metrics => Ok(decode::<Figures>(payload).map(|_| None)?),
        Channel::ChunkRequest => Ok(decode::<ChunkRequest>(payload).map(|_| None)?),
        Channel::Start | Channel::Stop | Channel::Ack | Channel::Lease | Channel::Chunk => {
            Err(Undecodable::NotFromProplet)
        }
    }
}

async fn say(
    publisher: &Publisher,
    mut outgoing: mpsc::Receiver<Outgoing>,
    base: &Base,
    clock: &Clock,
) -> Result<(), Ended> {
    while let Some(message) = outgoing.recv().await {
        if let Some(publication) = publication(base, message, clock()) {
            publisher.publish(publication).await.map_err(|_| Ended::Closed)?;
        }
    }
    if timeout(FLUSH, publisher.flush()).await.is_err() {
        tracing::warn!("the broker didn't take what was said last; it will be said again");
    }
    publisher.close().await;
    Ok(())
}

/// The message as it is published; nothing for a start that can't be accepted any more.
fn publication(base: &Base, message: Outgoing, now: Timestamp) -> Option<Publication> {
    match message {
        Outgoing::Start(proplet, start) => {
            let expiry = rest_of_window(&start, now)?;
            publish(base, Channel::Start, &proplet, &*start, Some(expiry))
        }
        Outgoing::Stop(proplet, stop) => publish(base, Channel::Stop, &proplet, &stop, None),
        Outgoing::Ack(proplet, ack) => publish(base, Channel::Ack, &proplet, &ack, None),
        // An echo that comes late is of no use: better none.
        Outgoing::Lease(proplet, lease) => {
            publish(base, Channel::Lease, &proplet, &lease, None).map(|lease| Publication {
                qos: Qos::AtMostOnce,
                ..lease
            })
        }
    }
}

/// How long the start may still be accepted: for longer, no broker needs to keep it.
fn rest_of_window(start: &Start, now: Timestamp) -> Option<Duration> {
    let age = Duration::try_from(now.duration_since(start.issued_at)).unwrap_or_default();
    let rest = Duration::from_secs(start.window_seconds.into()).checked_sub(age)?;
    // MQTT counts expiry in seconds, and zero is at once.
    (rest >= Duration::from_secs(1)).then_some(rest)
}

fn publish<M: Message>(
    base: &Base,
    channel: Channel,
    proplet: &PropletId,
    message: &M,
    expiry: Option<Duration>,
) -> Option<Publication> {
    let payload = match encode(message) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::error!(%proplet, ?channel, %error, "a message can't be encoded");
            return None;
        }
    };
    Some(Publication {
        topic: base.topic(channel, proplet),
        payload: payload.into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expiry,
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use propeller_api::{Call, Capacity, Digest, HostInfo, Memory, Work};
    use propeller_protocol::{AttemptRef, Limits, Presence, Sender, Stage, TaskRef};

    use super::*;

    fn sender() -> Sender {
        Sender {
            journal: "journal-1".parse().unwrap(),
            boot: "boot-1".parse().unwrap(),
            sequence: 1,
        }
    }

    fn alive() -> Alive {
        let presence = Presence::Alive {
            interval_seconds: 10,
            capacity: Capacity {
                tasks: 2,
                memory: Memory::from_bytes(1 << 30),
                task_memory: None,
                max_task_memory: None,
            },
            inventory: vec![],
            host: HostInfo::default(),
            labels: Default::default(),
            capabilities: vec![],
            max_packet_bytes: 1 << 20,
            undecodable: 0,
            draining: false,
        };
        let sender = sender();
        Alive { sender, presence }
    }

    fn attempt() -> AttemptRef {
        let task = TaskRef {
            namespace: "lab".into(),
            name: "a".into(),
            uid: "uid-a".into(),
        };
        AttemptRef { task, attempt: 1 }
    }

    fn report() -> Report {
        Report {
            sender: sender(),
            controller: "controller-1".parse().unwrap(),
            attempt: attempt(),
            stage: Stage::Accepted,
        }
    }

    fn start() -> Start {
        Start {
            controller: "controller-1".parse().unwrap(),
            journal: "journal-1".parse().unwrap(),
            attempt: attempt(),
            issued_at: Timestamp::from_second(1_800_000_000).unwrap(),
            window_seconds: 60,
            requires: vec![],
            image: "registry.lab/add@sha256:1".to_owned(),
            component: Digest::from_sha256([7; 32]),
            work: Work::Call(Call {
                function: "add".into(),
                args: serde_json::json!([20, 22]),
            }),
            grants: None,
            limits: Limits::default(),
        }
    }

    fn incoming() -> Incoming {
        Incoming {
            base: Base::new("default", "main").unwrap(),
            client_id: "test".into(),
            events: mpsc::channel(1).0,
            metrics: Metrics::default(),
            health: Health::default(),
            broken: Arc::default(),
            complaints: HashSet::new(),
        }
    }

    #[test]
    fn a_message_is_what_its_topic_says() {
        let mut incoming = incoming();
        let alive = encode(&alive()).unwrap().into();
        let heard = incoming.message("m/default/c/main/control/proplet/alive/edge-1", &alive, true);
        let Some(Bus::Alive { proplet, retained, .. }) = heard else {
            panic!("{heard:?}")
        };
        assert_eq!((proplet.as_str(), retained), ("edge-1", true));
        let report = encode(&report()).unwrap().into();
        let heard = incoming.message("m/default/c/main/control/proplet/results/edge-1", &report, false);
        assert!(matches!(heard, Some(Bus::Report { .. })), "{heard:?}");
    }

    #[test]
    fn what_cannot_be_decoded_is_counted_and_told_once() {
        let mut incoming = incoming();
        let channels = ["alive", "results", "logs", "metrics"].map(|name| format!("control/proplet/{name}"));
        let channels = channels.into_iter().chain(["registry/proplet".to_owned()]);
        for channel in channels {
            for payload in ["", "{", "{\"v\":1}", "{\"v\":2}", "[]"] {
                let topic = format!("m/default/c/main/{channel}/edge-1");
                assert!(
                    incoming.message(&topic, &payload.into(), false).is_none(),
                    "{topic} {payload}"
                );
            }
            let figure = format!("propeller_undecodable_messages_total{{channel=\"{channel}\"}} 5");
            assert!(incoming.metrics.text().contains(&figure), "{}", incoming.metrics.text());
        }
        assert_eq!(incoming.complaints.len(), 5);
        for topic in [
            "m/default/c/main/control/proplet/alive/Edge+1",
            "elsewhere",
            "m/default/c/main/control/manager/stop/edge-1",
        ] {
            assert!(incoming.message(topic, &"{}".into(), false).is_none());
        }
        assert_eq!(incoming.complaints.len(), 8);
    }

    #[test]
    fn the_brain_is_told_which_start_the_broker_refuses() {
        let incoming = incoming();
        let refused = |channel: &str, payload: Vec<u8>| {
            let what = Refused::Publication(Publication {
                topic: format!("m/default/c/main/control/manager/{channel}/edge-1"),
                payload: payload.into(),
                qos: Qos::AtLeastOnce,
                retain: false,
                expiry: None,
            });
            incoming.refused(&what, "QuotaExceeded".to_owned(), "a quota")
        };
        let Some(Bus::StartRefused { attempt, reason }) = refused("start", encode(&start()).unwrap()) else {
            panic!("nothing is told")
        };
        assert_eq!((attempt, reason.as_str()), (self::attempt(), "QuotaExceeded"));
        assert!(refused("start", b"{".to_vec()).is_none());
        assert!(refused("stop", encode(&start()).unwrap()).is_none());
    }

    #[test]
    fn a_start_expires_with_its_window() {
        let base = Base::new("default", "main").unwrap();
        let check = |age: i64, expected: Option<u64>| {
            let start = start();
            let now = start.issued_at + SignedDuration::from_secs(age);
            let message = Outgoing::Start("edge-1".parse().unwrap(), Box::new(start));
            let publication = publication(&base, message, now);
            let expiry = publication.map(|publication| publication.expiry.unwrap().as_secs());
            assert_eq!(expiry, expected, "{age}");
        };
        check(-5, Some(60));
        check(0, Some(60));
        check(20, Some(40));
        check(59, Some(1));
        check(60, None);
        check(600, None);
    }
}
