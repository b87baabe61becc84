//! One function per table: what is said in either place, and the default of what isn't.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path, time::Duration};

use propeller_api::{Capacity, MAX_SECONDS, Memory, PropletId};
use propeller_artifact::{Registries, Registry};
use propeller_bus::Ca;
use propeller_protocol::Base;
use secrecy::{ExposeSecret, SecretString};

use super::{
    EngineSettings, Join, JoinMqtt, Mqtt, ServiceSettings, SettingsError, TaskSettings,
    file::{ArtifactsTable, CapacityTable, EngineTable, MqttTable, ServiceTable, TaskTable},
    groups::{ArtifactFlags, CapacityFlags, EngineFlags, MqttFlags, ServiceFlags, TaskFlags},
};
use crate::engine::{CompileBounds, LineLimits, Policy};

const TASKS_PER_CPU: u32 = 4;
const TASK_MEMORY: Memory = Memory::from_bytes(128 << 20);
const TASK_DEADLINE_SECONDS: u32 = 3600;
const ARTIFACT_SIZE: Memory = Memory::from_bytes(256 << 20);
const ARTIFACT_CACHE: Memory = Memory::from_bytes(4 << 30);
const CODE_CACHE: Memory = Memory::from_bytes(1 << 30);
const RESULT: Memory = Memory::from_bytes(64 << 10);
/// A message may have 1 MiB, and so may a Kubernetes object with all that is in it.
const MAX_RESULT: Memory = Memory::from_bytes(512 << 10);

/// The first label of the host's name, in lower case.
pub(super) fn id_of_host(name: Option<&str>) -> Result<PropletId, SettingsError> {
    let name = name.unwrap_or_default().to_lowercase();
    let label = name.split('.').next().unwrap_or_default();
    label.parse().map_err(SettingsError::HostName)
}

pub(super) fn missing_state_dir() -> SettingsError {
    SettingsError::Missing {
        key: "state-dir",
        variable: "PROPLET_STATE_DIR",
        flag: "--state-dir",
    }
}

pub(super) fn mqtt(
    flags: MqttFlags,
    file: MqttTable,
    join: Option<&Join>,
    id: &PropletId,
    password: Option<SecretString>,
) -> Result<Mqtt, SettingsError> {
    let join = join.map(|join| &join.mqtt);
    let joined = |text: fn(&JoinMqtt) -> &String| join.map(text).cloned();
    let broker = flags.broker.or(file.broker).or(join.map(|join| join.broker.clone()));
    let broker = broker.ok_or(SettingsError::Missing {
        key: "mqtt.broker",
        variable: "PROPLET_MQTT_BROKER",
        flag: "--mqtt-broker",
    })?;
    let domain = flags.domain.or(file.domain).or(joined(|join| &join.domain));
    let channel = flags.channel.or(file.channel).or(joined(|join| &join.channel));
    let domain = domain.unwrap_or_else(|| "default".to_owned());
    let channel = channel.unwrap_or_else(|| "main".to_owned());
    // The variable is the environment's, which beats the file but not the flag or variable that names a file.
    let password = match (flags.password_file, password, file.password_file) {
        (Some(path), _, _) | (None, None, Some(path)) => Some(read_password(&path)?),
        (None, password, _) => password.or(join.map(|join| join.password.clone())),
    };
    let ca = flags.ca.or(file.ca).map(Ca::File);
    Ok(Mqtt {
        broker,
        username: flags.username.or(file.username).unwrap_or_else(|| id.to_string()),
        password,
        ca: ca.or(join.and_then(|join| join.ca.clone()).map(Ca::Pem)),
        base: Base::new(&domain, &channel).map_err(SettingsError::Base)?,
    })
}

/// Those of the file, and of the other those that the file has no table for.
pub(super) fn registries(file: Registries, join: Option<Join>) -> Result<Registries, SettingsError> {
    let joined = join.map(|join| join.registries).unwrap_or_default();
    let mut tables = BTreeMap::from(file);
    for (host, registry) in joined {
        let mirrors: Result<_, _> = registry.mirrors.iter().map(|mirror| mirror.parse()).collect();
        tables.entry(host).or_insert(Registry {
            mirrors: mirrors.map_err(SettingsError::Registry)?,
            plain_http: registry.plain_http,
            ..Registry::default()
        });
    }
    Registries::try_from(tables).map_err(SettingsError::Registry)
}

fn read_password(path: &Path) -> Result<SecretString, SettingsError> {
    let failed = |source| SettingsError::Password {
        path: path.to_owned(),
        source,
    };
    let text = SecretString::from(fs::read_to_string(path).map_err(failed)?);
    Ok(text.expose_secret().trim_end_matches(['\r', '\n']).into())
}

pub(super) fn capacity(
    flags: &CapacityFlags,
    file: &CapacityTable,
    cpus: u32,
    memory: Option<Memory>,
) -> Result<Capacity, SettingsError> {
    let tasks = flags.tasks.or(file.tasks).map(u32::from);
    let half = memory.map(|memory| Memory::from_bytes(memory.bytes() / 2));
    let memory = flags.memory.or(file.memory).or(half);
    Ok(Capacity {
        tasks: tasks.unwrap_or_else(|| cpus.saturating_mul(TASKS_PER_CPU).max(1)),
        memory: memory.ok_or(SettingsError::Missing {
            key: "capacity.memory",
            variable: "PROPLET_CAPACITY_MEMORY",
            flag: "--capacity-memory",
        })?,
        task_memory: None,
        max_task_memory: None,
    })
}

pub(super) fn task(flags: TaskFlags, file: TaskTable, capacity: Capacity) -> Result<TaskSettings, SettingsError> {
    let max_memory = flags.max_memory.or(file.max_memory).unwrap_or(capacity.memory);
    let max_deadline = flags.max_deadline_seconds.or(file.max_deadline_seconds);
    let max_deadline = seconds(max_deadline.map_or(MAX_SECONDS, u32::from));
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
    let max_result = flags.max_result.or(file.max_result).unwrap_or(RESULT);
    if max_result > MAX_RESULT {
        let problem =
            format!("is {max_result}, more than the {MAX_RESULT} that a message carries with all else that it says");
        return Err(SettingsError::Invalid {
            key: "task.max-result",
            problem,
        });
    }
    let logs = LineLimits::default();
    let rate = flags.log_bytes_per_second.or(file.log_bytes_per_second);
    Ok(TaskSettings {
        memory: memory.unwrap_or(TASK_MEMORY.min(max_memory)),
        max_memory,
        deadline: deadline.unwrap_or(seconds(TASK_DEADLINE_SECONDS).min(max_deadline)),
        max_deadline,
        max_result: usize::try_from(max_result.bytes()).unwrap_or(usize::MAX),
        log_bytes: flags.log_bytes.or(file.log_bytes).map_or(logs.total, Memory::bytes),
        log_bytes_per_second: rate.map_or(logs.rate, Memory::bytes),
    })
}

/// One that listens on every address of the machine is told by the machine's name: nobody can reach `0.0.0.0`.
pub(super) fn service(flags: ServiceFlags, file: ServiceTable, host_name: Option<String>) -> ServiceSettings {
    let address = flags.address.or(file.address).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let own = host_name.filter(|_| address.is_unspecified());
    let host = flags.host.or(file.host).or(own);
    ServiceSettings {
        address,
        host: host.unwrap_or_else(|| address.to_string()),
    }
}

/// Two components are compiled at a time, so half of a small machine is left for everything else.
pub(super) fn engine(flags: &EngineFlags, file: &EngineTable, machine: Option<Memory>) -> EngineSettings {
    let default = CompileBounds::default();
    let quarter = machine.map_or(u64::MAX, |memory| memory.bytes() / 4);
    let (wall, memory) = (
        flags.compile_seconds.or(file.compile_seconds),
        flags.compile_memory.or(file.compile_memory),
    );
    EngineSettings {
        guest_threads: flags.guest_threads.or(file.guest_threads),
        cache_size: flags.cache_size.or(file.cache_size).unwrap_or(CODE_CACHE).bytes(),
        compile: CompileBounds {
            wall: wall.map_or(default.wall, |wall| seconds(wall.into())),
            memory: memory.map_or(default.memory.min(quarter), Memory::bytes),
            ..default
        },
    }
}

/// A root that isn't absolute would depend on where the proplet was started.
pub(super) fn policy(policy: Policy) -> Result<Policy, SettingsError> {
    let relative = policy.directories.iter().find(|root| !root.path.is_absolute());
    match relative {
        Some(root) => Err(SettingsError::Invalid {
            key: "policy.directories",
            problem: format!("has the path {}, which is not absolute", root.path.display()),
        }),
        None => Ok(policy),
    }
}

pub(super) fn max_artifact(flags: &ArtifactFlags, file: &ArtifactsTable) -> u64 {
    flags.max_size.or(file.max_size).unwrap_or(ARTIFACT_SIZE).bytes()
}

pub(super) fn artifact_cache(flags: &ArtifactFlags, file: &ArtifactsTable) -> u64 {
    flags.cache_size.or(file.cache_size).unwrap_or(ARTIFACT_CACHE).bytes()
}

pub(super) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

pub(super) fn at_most(key: &'static str, value: Duration, max: Duration) -> Result<(), SettingsError> {
    if value > max {
        let problem = format!("is {}, more than {}", value.as_secs(), max.as_secs());
        return Err(SettingsError::Invalid { key, problem });
    }
    Ok(())
}
