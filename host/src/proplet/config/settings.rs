//! What is true once file, environment and flags are merged, and what isn't said has its default.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use propeller_api::{Capacity, Labels, Memory, PropletId};
use propeller_artifact::Registries;
use propeller_bus::{BrokerUrl, Ca};
use propeller_delivery::ledger::Terms;
use propeller_protocol::Base;
use secrecy::SecretString;

use super::{
    Flags, Join, LogFormat, SettingsError,
    file::File,
    merge::{
        artifact_cache, at_most, capacity, engine, id_of_host, max_artifact, missing_state_dir, mqtt, policy,
        registries, seconds, service, task,
    },
};
use crate::engine::{CompileBounds, Policy};

/// Where the password may be, besides a file.
pub(super) const PASSWORD_VARIABLE: &str = "PROPLET_MQTT_PASSWORD";

/// Everything that a proplet is told.
#[derive(Debug)]
pub struct Settings {
    /// Identity on the message bus.
    pub id: PropletId,
    /// For the Proplet resource that may be made for it.
    pub labels: Labels,
    /// Journal and artifact cache are here, of no other proplet.
    pub state_dir: PathBuf,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// What running tasks have to finish in.
    pub drain: Duration,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The session with the broker.
    pub mqtt: Mqtt,
    /// What is announced.
    pub capacity: Capacity,
    /// Accepted tasks that wait for room at most.
    pub queue: u32,
    /// What one task gets.
    pub task: TaskSettings,
    /// Where services listen.
    pub service: ServiceSettings,
    /// How guests run, and are compiled.
    pub engine: EngineSettings,
    /// Where health and metrics are served, if they are.
    pub http: Option<SocketAddr>,
    /// Where traces are sent, if any are made.
    pub otlp_endpoint: Option<String>,
    /// Largest component that is fetched, in bytes.
    pub max_artifact: u64,
    /// Bytes of components that are kept on disk.
    pub artifact_cache: u64,
    /// For credentials that the registries' tables don't have.
    pub docker_config: Option<PathBuf>,
    /// How registries are reached.
    pub registries: Registries,
    /// What tasks may be granted.
    pub policy: Policy,
}

/// The session with the broker.
#[derive(Debug)]
pub struct Mqtt {
    /// The broker.
    pub broker: BrokerUrl,
    /// Who we are there.
    pub username: String,
    /// How we prove it.
    pub password: Option<SecretString>,
    /// Whom to trust, instead of the system's certificate authorities.
    pub ca: Option<Ca>,
    /// Above all of our topics.
    pub base: Base,
}

/// What one task gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskSettings {
    /// If it doesn't say.
    pub memory: Memory,
    /// Whatever it says.
    pub max_memory: Memory,
    /// If it doesn't say.
    pub deadline: Duration,
    /// Whatever it says.
    pub max_deadline: Duration,
    /// Bytes of a result's JSON text.
    pub max_result: usize,
    /// Bytes of its output that are told, in all.
    pub log_bytes: u64,
    /// Bytes of its output that are told each second in the long run.
    pub log_bytes_per_second: u64,
}

/// Where services listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The address of this machine.
    pub address: IpAddr,
    /// How others reach it: the host of the URL that is told.
    pub host: String,
}

/// How guests run, and are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// Guests that run at the same moment. One per processor if it isn't said.
    pub guest_threads: Option<NonZeroUsize>,
    /// Bytes of compiled code that are kept on disk.
    pub cache_size: u64,
    /// What compiling one component may take.
    pub compile: CompileBounds,
}

/// What the machine and its environment say, for defaults.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Processors that the process may use.
    pub cpus: u32,
    /// Memory of the machine, or of the container, if it can be known.
    pub memory: Option<Memory>,
    /// As the machine calls itself.
    pub host_name: Option<String>,
    /// Where programs of this user keep their state.
    pub state_dir: Option<PathBuf>,
    /// The value of `PROPLET_MQTT_PASSWORD`.
    pub password: Option<SecretString>,
    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`, by which all programs are told where traces go.
    pub otlp_endpoint: Option<String>,
}

impl Settings {
    /// Reads the file that the flags name, and merges. Clap has merged environment and flags already.
    pub fn load(flags: Flags, machine: Machine) -> Result<Self, SettingsError> {
        let file = match &flags.config {
            Some(path) => propeller_settings::read::<File>(path)?,
            None => File::default(),
        };
        let join = flags
            .join
            .as_deref()
            .map(propeller_settings::read::<Join>)
            .transpose()?;
        let id = flags
            .id
            .or(file.id)
            .or(join.as_ref().map(|join| join.id.clone()))
            .map_or_else(|| id_of_host(machine.host_name.as_deref()), Ok)?;
        let capacity = capacity(&flags.capacity, &file.capacity, machine.cpus, machine.memory)?;
        let task = task(flags.task, file.task, capacity)?;
        let capacity = Capacity {
            task_memory: Some(task.memory),
            max_task_memory: Some(task.max_memory),
            ..capacity
        };
        let settings = Self {
            mqtt: mqtt(flags.mqtt, file.mqtt, join.as_ref(), &id, machine.password)?,
            id,
            labels: file.labels.into_iter().chain(flags.labels).collect(),
            state_dir: flags
                .state_dir
                .or(file.state_dir)
                .or(machine.state_dir)
                .ok_or(missing_state_dir())?,
            heartbeat: seconds(flags.heartbeat_seconds.or(file.heartbeat_seconds).map_or(10, u32::from)),
            drain: seconds(flags.drain_seconds.or(file.drain_seconds).unwrap_or(30)),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            queue: flags.capacity.queue.or(file.capacity.queue).unwrap_or(capacity.tasks),
            task,
            capacity,
            service: service(flags.service, file.service, machine.host_name),
            engine: engine(&flags.engine, &file.engine, machine.memory),
            http: flags.http.address.or(file.http.address),
            otlp_endpoint: flags
                .telemetry
                .otlp_endpoint
                .or(machine.otlp_endpoint)
                .or(file.telemetry.otlp_endpoint),
            max_artifact: max_artifact(&flags.artifacts, &file.artifacts),
            artifact_cache: artifact_cache(&flags.artifacts, &file.artifacts),
            docker_config: flags.artifacts.docker_config.or(file.artifacts.docker_config),
            registries: registries(file.registries, join)?,
            policy: policy(file.policy)?,
        };
        propeller_api::validate_labels("labels", &settings.labels)?;
        at_most("heartbeat-seconds", settings.heartbeat, seconds(3600))?;
        at_most("drain-seconds", settings.drain, seconds(3600))?;
        Ok(settings)
    }

    /// How much is taken.
    pub fn terms(&self) -> Terms {
        Terms {
            capacity: self.capacity,
            queue: self.queue,
            memory: self.task.memory,
            max_memory: self.task.max_memory,
        }
    }
}
