//! The broker with real clients: our own session, and the MQTT library's client where something must be seen that the session hides.

mod access;
mod life;
mod peer;
mod sessions;

use std::{fmt, future::Future, net::SocketAddr, time::Duration};

use propeller_bus::{Event, Events, Options, Publication, Publisher, Qos, Subscription, connect};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Accounts, Broker, BrokerConfig, PasswordHash, Role};

/// Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The password of every account, with the user's name behind it.
const SECRET: &str = "open-sesame-";

/// A broker with the accounts `control`, `edge-1` and `edge-2`.
struct Bench {
    broker: Broker,
    accounts: Accounts,
    directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (accounts, directory) = (accounts(), tempfile::tempdir().unwrap());
        let config = BrokerConfig::new(directory.path().join("mqtt"), accounts.clone());
        Self {
            broker: Broker::start(config).await.unwrap(),
            accounts,
            directory,
        }
    }

    /// Stops the broker, and starts another one at the same address with the same state.
    async fn restart(self) -> Self {
        let Self {
            broker,
            accounts,
            directory,
        } = self;
        let config = BrokerConfig {
            bind: broker.address(),
            ..BrokerConfig::new(directory.path().join("mqtt"), accounts.clone())
        };
        in_time(broker.stop()).await.unwrap();
        Self {
            broker: Broker::start(config).await.unwrap(),
            accounts,
            directory,
        }
    }

    fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// A session of that user, whose client id is its name.
    fn session(&self, user: &str, hears: &[&str]) -> (Publisher, Events) {
        start(options(self.address(), user, hears))
    }
}

fn accounts() -> Accounts {
    let accounts = Accounts::new();
    for (name, role) in [
        ("control", Role::Control),
        ("edge-1", Role::Proplet),
        ("edge-2", Role::Proplet),
    ] {
        accounts.add(name, role, hash(&password(name))).unwrap();
    }
    accounts
}

fn password(user: &str) -> String {
    format!("{SECRET}{user}")
}

fn hash(password: &str) -> PasswordHash {
    PasswordHash::of(&password.into()).unwrap()
}

fn options(broker: SocketAddr, user: &str, hears: &[&str]) -> Options {
    let subscription = |filter: &&str| Subscription {
        filter: (*filter).to_owned(),
        qos: Qos::AtLeastOnce,
    };
    Options {
        broker: format!("mqtt://{broker}").parse().unwrap(),
        client_id: user.to_owned(),
        username: Some(user.to_owned()),
        password: Some(password(user).into()),
        ca: None,
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_secs(3600),
        max_packet_bytes: (1 << 20) + 1024,
        will: None,
        subscriptions: hears.iter().map(subscription).collect(),
    }
}

fn start(options: Options) -> (Publisher, Events) {
    connect(options, CancellationToken::new()).unwrap()
}

fn publication(topic: &str, payload: &str) -> Publication {
    Publication {
        topic: topic.to_owned(),
        payload: payload.to_owned().into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expiry: None,
    }
}

/// Publishes, and waits until the broker has taken it.
async fn publish(publisher: &Publisher, publication: Publication) {
    publisher.publish(publication).await.unwrap();
    in_time(publisher.flush()).await.unwrap();
}

/// Waits until the session is up, and says whether the broker had kept it.
async fn connected(events: &mut Events) -> bool {
    loop {
        if let Event::Connected { session_present } = next(events).await {
            return session_present;
        }
    }
}

/// The next message's payload.
async fn heard(events: &mut Events) -> String {
    loop {
        if let Event::Message { payload, .. } = next(events).await {
            return String::from_utf8(payload.to_vec()).unwrap();
        }
    }
}

async fn next(events: &mut Events) -> Event {
    in_time(events.next()).await.expect("the session has ended")
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in vain")
}

/// The error with all its causes, as a person gets to see it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Its error, of what can't be shown.
fn refused<T, E: fmt::Debug>(result: Result<T, E>) -> E {
    result.err().expect("it went well")
}
