//! From settings to a proplet with all its parts.

use std::time::Duration;

use propeller_artifact::{self as artifact, Client, ClientConfig};
use propeller_bus::{self as bus, Options, TlsError};
use propeller_protocol::{Boot, InvalidId, MAX_MESSAGE_BYTES};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Proplet, Settings,
    inbound::Inbound,
    journal::{Journal, JournalError},
    keeper::{self, Keeper},
    machine,
    run::Parts,
    supervisor::Supervisor,
    voice::{Profile, Voice},
};
use crate::engine::{Engine, EngineConfig, EngineError};

/// A broker that is silent for twice as long is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stop or an acknowledgement is of use for as long as the journal holds the attempt; a start carries its own, shorter expiry.
const SESSION_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest message, with room for its topic and headers.
const MAX_PACKET_BYTES: u32 = MAX_MESSAGE_BYTES as u32 + 1024;

/// A proplet can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger can't start.
    #[error(transparent)]
    Keeper(#[from] keeper::StartError),
    /// The engine can't be set up.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Artifacts can't be fetched with these settings.
    #[error(transparent)]
    Artifacts(#[from] artifact::Error),
    /// The connection to the broker can't be set up.
    #[error(transparent)]
    Bus(#[from] TlsError),
    /// The process can't name itself.
    #[error("cannot make a boot id")]
    Boot(#[from] InvalidId),
}

impl Proplet {
    /// Opens the journal, starts the engine and the session with the broker. Nothing of it waits for the network. The program must have
    /// installed a rustls provider.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let (journal, ledger) = Journal::open(&settings.state_dir, settings.capacity.tasks)?;
        let keeper = Keeper::start(journal, ledger)?;
        let artifacts = Client::new(ClientConfig {
            registries: settings.registries.clone(),
            docker_config: settings.docker_config.clone(),
            max_component: settings.max_artifact,
            ..ClientConfig::new(settings.state_dir.join("artifacts"))
        })?;
        let supervisor = Supervisor::new(Engine::new(EngineConfig::default())?, artifacts, settings.task);
        let boot: Boot = Uuid::new_v4().to_string().parse()?;
        tracing::info!(
            id = %settings.id,
            broker = %settings.mqtt.broker,
            base = %settings.mqtt.base,
            state_dir = %settings.state_dir.display(),
            tasks = settings.capacity.tasks,
            memory = %settings.capacity.memory,
            journal = %keeper.journal(),
            %boot,
            version = env!("CARGO_PKG_VERSION"),
            "proplet starts"
        );
        let base = settings.mqtt.base.clone();
        let voice = Voice::new(base.clone(), settings.id.clone(), keeper.journal().clone(), boot);
        let inbound = Inbound::new(base, settings.id.clone());
        let (publisher, events) = bus::connect(options(&settings, &voice, &inbound), CancellationToken::new())?;
        Ok(Self::new(Parts {
            publisher,
            events,
            keeper,
            supervisor,
            inbound,
            voice,
            drain: settings.drain,
            profile: profile(settings),
        }))
    }
}

fn options(settings: &Settings, voice: &Voice, inbound: &Inbound) -> Options {
    let mqtt = &settings.mqtt;
    Options {
        broker: mqtt.broker.clone(),
        client_id: settings.id.to_string(),
        username: Some(mqtt.username.clone()),
        password: mqtt.password.clone(),
        ca: mqtt.ca.clone(),
        keep_alive: KEEP_ALIVE,
        session_expiry: SESSION_EXPIRY,
        max_packet_bytes: MAX_PACKET_BYTES,
        will: Some(voice.will()),
        subscriptions: inbound.subscriptions(),
    }
}

fn profile(settings: Settings) -> Profile {
    Profile {
        heartbeat: settings.heartbeat,
        capacity: settings.capacity,
        host: machine::host_info(),
        labels: settings.labels,
        max_packet_bytes: MAX_PACKET_BYTES,
    }
}
