//! From settings to a proplet with all its parts.

use std::{io, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use propeller_artifact::{self as artifact, Client, ClientConfig};
use propeller_bus::{self as bus, Options, TlsError};
use propeller_protocol::{Boot, InvalidId, MAX_MESSAGE_BYTES};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Proplet, Settings,
    gate::{Gate, Rules},
    http::{self, Told},
    inbound::Inbound,
    journal::{self, Journal, JournalError},
    keeper::{self, Keeper},
    logs, machine,
    metrics::Metrics,
    run::Parts,
    supervisor::{Room, Supervisor, Workshop},
    vitals::Doctor,
    voice::{Profile, Voice},
};
use crate::engine::{CacheConfig, Compiler, Engine, EngineConfig, EngineError, KeyValue, Means};

/// Below the state directory.
const KEYVALUE: &str = "keyvalue.redb";
/// A broker that is silent for twice as long is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stop or an acknowledgement is of use for as long as the journal holds the attempt; a start carries its own, shorter expiry.
const SESSION_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest message, with room for its topic and headers.
const MAX_PACKET_BYTES: u32 = MAX_MESSAGE_BYTES as u32 + 1024;

/// Behind the threads that serve MQTT, and behind compilations.
const GUEST_NICENESS: u8 = 15;

/// Of one task: twice as many memories, and four times as many tables, are what one component may have at most, or more.
const INSTANCES_EACH: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// Each takes up to ten of the 65,530 mappings that Linux gives a process.
const MOST_INSTANCES: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// Questions that wait for the loop. More than a few at once is somebody's mistake, and waits.
const QUESTIONS: usize = 16;

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
    /// Health and metrics can't be served there.
    #[error("cannot serve health and metrics on {address} (http.address)")]
    Http {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The process can't name itself.
    #[error("cannot make a boot id")]
    Boot(#[from] InvalidId),
}

impl Proplet {
    /// Opens the journal, starts the engine and the session with the broker. Nothing of it waits for the network. The program must have
    /// installed a rustls provider.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let (journal, ledger) = Journal::open(&settings.state_dir, settings.terms())?;
        let keeper = Keeper::start(journal, ledger)?;
        let artifacts = Client::new(ClientConfig {
            registries: settings.registries.clone(),
            docker_config: settings.docker_config.clone(),
            max_component: settings.max_artifact,
            cache_size: settings.artifact_cache,
            ..ClientConfig::new(settings.state_dir.join("artifacts"))
        })?;
        let engine = Engine::new(engine_config(&settings))?;
        let metrics = Metrics::default();
        let rules = Arc::new(Rules {
            policy: settings.policy.clone(),
            means: Means {
                keyvalue: Some(KeyValue::at(settings.state_dir.join(KEYVALUE))),
                ..Means::system()
            },
        });
        let (logs, lines) = mpsc::channel(logs::QUEUE);
        let supervisor = Supervisor::new(Workshop {
            engine: engine.clone(),
            artifacts,
            room: Room::new(settings.max_artifact),
            settings: settings.task,
            service: settings.service.clone(),
            rules: Arc::clone(&rules),
            logs,
            metrics: metrics.clone(),
        });
        let (asked, questions) = mpsc::channel(QUESTIONS);
        if let Some(address) = settings.http {
            let told = Told {
                doctor: Doctor::new(asked, engine),
                metrics: metrics.clone(),
                journal: settings.state_dir.join(journal::FILE),
            };
            listen(address, told)?;
        }
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
            gate: Gate::new(rules),
            inbound,
            voice,
            drain: settings.drain,
            metrics,
            lines,
            questions,
            profile: profile(settings),
        }))
    }
}

fn engine_config(settings: &Settings) -> EngineConfig {
    let default = EngineConfig::default();
    let (instances, shares) = room(settings.capacity.tasks, default.instances);
    EngineConfig {
        guest_threads: settings.engine.guest_threads.unwrap_or(default.guest_threads),
        cache: Some(CacheConfig {
            directory: settings.state_dir.join("compiled"),
            max_bytes: settings.engine.cache_size,
        }),
        compiler: Compiler::this_program(settings.engine.compile),
        guest_niceness: GUEST_NICENESS,
        instances,
        shares,
        ..default
    }
}

/// Instances, and shares of them: one for each task, and one for the canary. Each has room for as many requests as a service serves at a time, and
/// for the largest component. Where there may be more tasks than that takes slots for, they share them.
fn room(tasks: u32, least: NonZeroU32) -> (NonZeroU32, NonZeroU32) {
    let shares = NonZeroU32::MIN.saturating_add(tasks);
    let instances = shares.saturating_mul(INSTANCES_EACH);
    (instances.min(MOST_INSTANCES).max(shares).max(least), shares)
}

/// Serves until the process ends.
fn listen(address: SocketAddr, told: Told) -> Result<(), StartError> {
    let failed = |source| StartError::Http { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!("health and metrics are served at http://{address}");
    tokio::spawn(async move {
        if let Err(error) = http::serve(listener, told).await {
            tracing::error!(%error, "health and metrics are not served any more");
        }
    });
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_room_for_what_one_may_take() {
        let check = |tasks: u32, instances: u32| {
            let (found, shares) = room(tasks, EngineConfig::default().instances);
            assert_eq!((found.get(), shares.get()), (instances, tasks + 1), "{tasks} tasks");
        };
        check(1, 1024);
        check(8, 1024);
        check(32, 33 * 64);
        check(1000, 4096);
        check(9000, 9001);
    }
}
