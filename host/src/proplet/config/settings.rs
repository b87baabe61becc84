//! What is true once file, environment and flags are merged, and what isn't said has its default.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use propeller_api::{Capacity, Labels, MAX_ACTIVE_DEADLINE_SECONDS, Memory, PropletId};
use propeller_artifact::Registries;
use propeller_bus::BrokerUrl;
use propeller_protocol::Base;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Flags, LogFormat, SettingsError,
    file::{ArtifactsTable, CapacityTable, File, MqttTable, TaskTable},
    flags::{ArtifactFlags, CapacityFlags, MqttFlags, TaskFlags},
};
use crate::engine::Policy;

/// Where the password may be, besides a file.
pub(super) const PASSWORD_VARIABLE: &str = "PROPLET_MQTT_PASSWORD";

const TASKS_PER_CPU: u32 = 4;
const TASK_MEMORY: Memory = Memory::from_bytes(128 << 20);
const TASK_DEADLINE_SECONDS: u32 = 3600;
const ARTIFACT_SIZE: Memory = Memory::from_bytes(256 << 20);

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
    /// What one task gets.
    pub task: TaskSettings,
    /// Largest component that is fetched, in bytes.
    pub max_artifact: u64,
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
    pub ca: Option<PathBuf>,
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
}

/// What the machine and its environment say, for defaults.
#[derive(Debug)]
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
}

impl Settings {
    /// Reads the file that the flags name, and merges. Clap has merged environment and flags already.
    pub fn load(flags: Flags, machine: Machine) -> Result<Self, SettingsError> {
        let file = match &flags.config {
            Some(path) => propeller_settings::read::<File>(path)?,
            None => File::default(),
        };
        let id = flags
            .id
            .or(file.id)
            .map_or_else(|| id_of_host(machine.host_name.as_deref()), Ok)?;
        let capacity = capacity(flags.capacity, file.capacity, &machine)?;
        let task = task(flags.task, file.task, capacity)?;
        let capacity = Capacity {
            task_memory: Some(task.memory),
            max_task_memory: Some(task.max_memory),
            ..capacity
        };
        let settings = Self {
            mqtt: mqtt(flags.mqtt, file.mqtt, &id, machine.password)?,
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
            task,
            capacity,
            max_artifact: max_artifact(&flags.artifacts, &file.artifacts),
            docker_config: flags.artifacts.docker_config.or(file.artifacts.docker_config),
            registries: file.registries,
            policy: policy(file.policy)?,
        };
        at_most("heartbeat-seconds", settings.heartbeat, seconds(3600))?;
        at_most("drain-seconds", settings.drain, seconds(3600))?;
        Ok(settings)
    }
}

/// The first label of the host's name, in lower case.
fn id_of_host(name: Option<&str>) -> Result<PropletId, SettingsError> {
    let name = name.unwrap_or_default().to_lowercase();
    let label = name.split('.').next().unwrap_or_default();
    label.parse().map_err(SettingsError::HostName)
}

fn missing_state_dir() -> SettingsError {
    SettingsError::Missing {
        key: "state-dir",
        variable: "PROPLET_STATE_DIR",
        flag: "--state-dir",
    }
}

fn mqtt(
    flags: MqttFlags,
    file: MqttTable,
    id: &PropletId,
    password: Option<SecretString>,
) -> Result<Mqtt, SettingsError> {
    let broker = flags.broker.or(file.broker).ok_or(SettingsError::Missing {
        key: "mqtt.broker",
        variable: "PROPLET_MQTT_BROKER",
        flag: "--mqtt-broker",
    })?;
    let domain = flags.domain.or(file.domain).unwrap_or_else(|| "default".to_owned());
    let channel = flags.channel.or(file.channel).unwrap_or_else(|| "main".to_owned());
    // The variable is the environment's, which beats the file but not the flag or variable that names a file.
    let password = match (flags.password_file, password, file.password_file) {
        (Some(path), _, _) | (None, None, Some(path)) => Some(read_password(&path)?),
        (None, password, _) => password,
    };
    Ok(Mqtt {
        broker,
        username: flags.username.or(file.username).unwrap_or_else(|| id.to_string()),
        password,
        ca: flags.ca.or(file.ca),
        base: Base::new(&domain, &channel).map_err(SettingsError::Base)?,
    })
}

fn read_password(path: &Path) -> Result<SecretString, SettingsError> {
    let failed = |source| SettingsError::Password {
        path: path.to_owned(),
        source,
    };
    let text = SecretString::from(fs::read_to_string(path).map_err(failed)?);
    Ok(text.expose_secret().trim_end_matches(['\r', '\n']).into())
}

fn capacity(flags: CapacityFlags, file: CapacityTable, machine: &Machine) -> Result<Capacity, SettingsError> {
    let tasks = flags.tasks.or(file.tasks).map(u32::from);
    let half = machine.memory.map(|memory| Memory::from_bytes(memory.bytes() / 2));
    let memory = flags.memory.or(file.memory).or(half);
    Ok(Capacity {
        tasks: tasks.unwrap_or_else(|| machine.cpus.saturating_mul(TASKS_PER_CPU).max(1)),
        memory: memory.ok_or(SettingsError::Missing {
            key: "capacity.memory",
            variable: "PROPLET_CAPACITY_MEMORY",
            flag: "--capacity-memory",
        })?,
        task_memory: None,
        max_task_memory: None,
    })
}

fn task(flags: TaskFlags, file: TaskTable, capacity: Capacity) -> Result<TaskSettings, SettingsError> {
    let max_memory = flags.max_memory.or(file.max_memory).unwrap_or(capacity.memory);
    let max_deadline = flags.max_deadline_seconds.or(file.max_deadline_seconds);
    let max_deadline = seconds(max_deadline.map_or(MAX_ACTIVE_DEADLINE_SECONDS, u32::from));
    let memory = flags.memory.or(file.memory);
    let deadline = flags
        .deadline_seconds
        .or(file.deadline_seconds)
        .map(|deadline| seconds(deadline.into()));
    if max_memory > capacity.memory {
        let problem = format!("is {max_memory}, more than the {} of capacity.memory", capacity.memory);
        return Err(SettingsError::Invalid {
            key: "task.max-memory",
            problem,
        });
    }
    if let Some(memory) = memory.filter(|memory| *memory > max_memory) {
        let problem = format!("is {memory}, more than the {max_memory} of task.max-memory");
        return Err(SettingsError::Invalid {
            key: "task.memory",
            problem,
        });
    }
    at_most("task.deadline-seconds", deadline.unwrap_or_default(), max_deadline)?;
    Ok(TaskSettings {
        memory: memory.unwrap_or(TASK_MEMORY.min(max_memory)),
        max_memory,
        deadline: deadline.unwrap_or(seconds(TASK_DEADLINE_SECONDS).min(max_deadline)),
        max_deadline,
    })
}

/// A root that isn't absolute would depend on where the proplet was started.
fn policy(policy: Policy) -> Result<Policy, SettingsError> {
    let relative = policy.directories.iter().find(|root| !root.path.is_absolute());
    match relative {
        Some(root) => Err(SettingsError::Invalid {
            key: "policy.directories",
            problem: format!("has the path {}, which is not absolute", root.path.display()),
        }),
        None => Ok(policy),
    }
}

fn max_artifact(flags: &ArtifactFlags, file: &ArtifactsTable) -> u64 {
    flags.max_size.or(file.max_size).unwrap_or(ARTIFACT_SIZE).bytes()
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

fn at_most(key: &'static str, value: Duration, max: Duration) -> Result<(), SettingsError> {
    if value > max {
        let problem = format!("is {}, more than {}", value.as_secs(), max.as_secs());
        return Err(SettingsError::Invalid { key, problem });
    }
    Ok(())
}
