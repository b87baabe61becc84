//! The control plane at work: a brain that is fed from the store, and its session with the broker.

mod feed;
mod shell;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use propeller_artifact::ClientConfig;
use propeller_control::{
    brain::{self, Clock, Config as Whom, Died, Parts},
    health::Health,
    logs::Logs,
    metrics::Metrics,
    registry::RegistryResolver,
    session::{self, Ended, Mqtt, Wires},
};
use propeller_delivery::plan::Pace;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::shell::StandaloneStore;
use crate::{events::Events, store::Store};

/// Events on their way to the brain. Store and broker wait while it is full, which costs them nothing.
const EVENTS: usize = 1_024;
/// Messages on their way to the broker.
const OUTBOX: usize = 4_096;

/// What a control plane is told.
pub struct Config {
    /// The session with the broker.
    pub mqtt: Mqtt,
    /// How components are fetched, to read their types.
    pub artifacts: ClientConfig,
    /// The namespace in which Proplets are made for those that announce themselves without one; `None` makes none.
    pub register_in: Option<String>,
}

/// What a control plane tells, and others show.
#[derive(Clone)]
pub struct Around {
    /// What tasks wrote.
    pub logs: Logs,
    /// What was noticed of resources.
    pub events: Events,
    /// Its figures.
    pub metrics: Metrics,
    /// Whether it works.
    pub health: Health,
}

/// A control plane about to run.
pub struct Plane {
    parts: Parts<StandaloneStore, RegistryResolver>,
    events: mpsc::Receiver<brain::Event>,
    feed: mpsc::Sender<brain::Event>,
    store: Store,
    is_in_sync: watch::Receiver<bool>,
    mqtt: Mqtt,
    client_id: String,
    wires: Wires,
}

/// Why a control plane can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file names an identity that can't be one.
    #[error("the state names an identity that can't be one: {0}")]
    Controller(String),
    /// Components can't be fetched.
    #[error("artifacts can't be fetched into {}", .0.display())]
    Artifacts(PathBuf, #[source] propeller_artifact::Error),
}

/// Why a control plane ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The brain.
    #[error(transparent)]
    Brain(#[from] Died),
    /// The session.
    #[error(transparent)]
    Session(#[from] Ended),
    /// The store.
    #[error("the store ended")]
    Store,
}

impl Plane {
    /// Puts it together. Nothing runs yet.
    ///
    /// # Errors
    ///
    /// When it can't be put together.
    pub fn new(config: Config, store: Store, around: Around) -> Result<Self, StartError> {
        let controller = store
            .controller()
            .parse()
            .map_err(|_| StartError::Controller(store.controller().to_owned()))?;
        let cache = config.artifacts.cache.clone();
        let artifacts =
            propeller_artifact::Client::new(config.artifacts).map_err(|error| StartError::Artifacts(cache, error))?;
        let clock: Clock = Arc::new(Timestamp::now);
        let (feed, events) = mpsc::channel(EVENTS);
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let (in_sync, is_in_sync) = watch::channel(false);
        let client_id = format!("propeller-{}", store.controller());
        around.health.set_leader(true);
        Ok(Self {
            parts: Parts {
                config: Whom {
                    controller,
                    register_in: config.register_in,
                    pace: Pace::default(),
                },
                store: Arc::new(StandaloneStore {
                    store: store.clone(),
                    events: around.events,
                }),
                resolver: Arc::new(RegistryResolver::new(artifacts)),
                outbox,
                in_sync,
                logs: Some(around.logs),
                clock: Arc::clone(&clock),
                metrics: around.metrics.clone(),
            },
            wires: Wires {
                events: feed.clone(),
                outgoing,
                clock,
                metrics: around.metrics,
                health: around.health,
                broken: Arc::default(),
                hears_logs: true,
            },
            client_id: config.mqtt.client_id.clone().unwrap_or(client_id),
            mqtt: config.mqtt,
            events,
            feed,
            store,
            is_in_sync,
        })
    }

    /// Runs until `shutdown`: then the brain finishes its writes and falls silent, and the session sends what follows from them.
    ///
    /// # Errors
    ///
    /// When a part of it ends by itself. What was written stays, and the next one goes on from there.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Broken> {
        let brain = async {
            brain::run(self.parts, self.events, shutdown)
                .await
                .map_err(Broken::from)
        };
        let session = connect(self.mqtt, self.client_id, self.wires, self.is_in_sync);
        let feed = feed::feed(&self.store, self.feed);
        tokio::select! {
            ended = async { tokio::try_join!(brain, session) } => ended.map(drop),
            () = feed => Err(Broken::Store),
        }
    }
}

/// Connects when the brain knows everything: what arrived earlier couldn't be judged.
async fn connect(
    mqtt: Mqtt,
    client_id: String,
    wires: Wires,
    mut in_sync: watch::Receiver<bool>,
) -> Result<(), Broken> {
    if in_sync.wait_for(|in_sync| *in_sync).await.is_err() {
        // The brain ended before.
        return Ok(());
    }
    wires.health.set_in_sync(true);
    Ok(session::run(mqtt, client_id, wires).await?)
}
