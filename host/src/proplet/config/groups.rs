//! The flags by group, as in the file's tables.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use clap::Args;
use propeller_api::Memory;
use propeller_bus::BrokerUrl;

/// The session with the broker.
#[derive(Debug, Default, Args)]
pub struct MqttFlags {
    /// Broker, as mqtt://host[:1883], or mqtts://host[:8883] for TLS. Required
    #[arg(
        id = "mqtt-broker",
        long,
        value_name = "URL",
        env = "PROPLET_MQTT_BROKER",
        hide_env_values = true
    )]
    pub broker: Option<BrokerUrl>,
    /// User name [default: the id]
    #[arg(
        id = "mqtt-username",
        long,
        value_name = "NAME",
        env = "PROPLET_MQTT_USERNAME",
        hide_env_values = true
    )]
    pub username: Option<String>,
    /// File that holds the password, and nothing else but a line break
    #[arg(
        id = "mqtt-password-file",
        long,
        value_name = "FILE",
        env = "PROPLET_MQTT_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub password_file: Option<PathBuf>,
    /// PEM file of the certificate authorities to trust for mqtts [default: the system's]
    #[arg(
        id = "mqtt-ca",
        long,
        value_name = "FILE",
        env = "PROPLET_MQTT_CA",
        hide_env_values = true
    )]
    pub ca: Option<PathBuf>,
    /// First variable level of every topic: m/DOMAIN/c/CHANNEL/… [default: default]
    #[arg(
        id = "mqtt-domain",
        long,
        value_name = "DOMAIN",
        env = "PROPLET_MQTT_DOMAIN",
        hide_env_values = true
    )]
    pub domain: Option<String>,
    /// Second variable level of every topic [default: main]
    #[arg(
        id = "mqtt-channel",
        long,
        value_name = "CHANNEL",
        env = "PROPLET_MQTT_CHANNEL",
        hide_env_values = true
    )]
    pub channel: Option<String>,
}

/// How much the proplet takes.
#[derive(Debug, Default, Args)]
pub struct CapacityFlags {
    /// Tasks that run at once [default: four per processor]
    #[arg(
        id = "capacity-tasks",
        long,
        value_name = "COUNT",
        env = "PROPLET_CAPACITY_TASKS",
        hide_env_values = true
    )]
    pub tasks: Option<NonZeroU32>,
    /// Memory for all tasks together, such as 512Mi [default: half of the machine's]
    #[arg(
        id = "capacity-memory",
        long,
        value_name = "MEMORY",
        env = "PROPLET_CAPACITY_MEMORY",
        hide_env_values = true
    )]
    pub memory: Option<Memory>,
    /// Accepted tasks that wait for room at most; more are refused [default: capacity.tasks]
    #[arg(
        id = "capacity-queue",
        long,
        value_name = "COUNT",
        env = "PROPLET_CAPACITY_QUEUE",
        hide_env_values = true
    )]
    pub queue: Option<u32>,
}

/// What one task gets.
#[derive(Debug, Default, Args)]
pub struct TaskFlags {
    /// Memory of a task that doesn't say how much it needs [default: 128Mi]
    #[arg(
        id = "task-memory",
        long,
        value_name = "MEMORY",
        env = "PROPLET_TASK_MEMORY",
        hide_env_values = true
    )]
    pub memory: Option<Memory>,
    /// Most memory of any task [default: capacity.memory]
    #[arg(
        id = "task-max-memory",
        long,
        value_name = "MEMORY",
        env = "PROPLET_TASK_MAX_MEMORY",
        hide_env_values = true
    )]
    pub max_memory: Option<Memory>,
    /// Deadline of a task that has none [default: 3600, an hour]
    #[arg(
        id = "task-deadline-seconds",
        long,
        value_name = "SECONDS",
        env = "PROPLET_TASK_DEADLINE_SECONDS",
        hide_env_values = true
    )]
    pub deadline_seconds: Option<NonZeroU32>,
    /// Longest deadline of any task [default: 31536000, a year]
    #[arg(
        id = "task-max-deadline-seconds",
        long,
        value_name = "SECONDS",
        env = "PROPLET_TASK_MAX_DEADLINE_SECONDS",
        hide_env_values = true
    )]
    pub max_deadline_seconds: Option<NonZeroU32>,
    /// Largest result, as JSON text [default: 64Ki]
    #[arg(
        id = "task-max-result",
        long,
        value_name = "SIZE",
        env = "PROPLET_TASK_MAX_RESULT",
        hide_env_values = true
    )]
    pub max_result: Option<Memory>,
    /// What is told of a task's output at most, in all [default: 16Mi]
    #[arg(
        id = "task-log-bytes",
        long,
        value_name = "SIZE",
        env = "PROPLET_TASK_LOG_BYTES",
        hide_env_values = true
    )]
    pub log_bytes: Option<Memory>,
    /// What is told of a task's output each second in the long run [default: 64Ki]
    #[arg(
        id = "task-log-bytes-per-second",
        long,
        value_name = "SIZE",
        env = "PROPLET_TASK_LOG_BYTES_PER_SECOND",
        hide_env_values = true
    )]
    pub log_bytes_per_second: Option<Memory>,
}

/// What is fetched.
#[derive(Debug, Default, Args)]
pub struct ArtifactFlags {
    /// Largest component that is fetched [default: 256Mi]
    #[arg(
        id = "artifacts-max-size",
        long,
        value_name = "SIZE",
        env = "PROPLET_ARTIFACTS_MAX_SIZE",
        hide_env_values = true
    )]
    pub max_size: Option<Memory>,
    /// Components that are kept on disk, together [default: 4Gi]
    #[arg(
        id = "artifacts-cache-size",
        long,
        value_name = "SIZE",
        env = "PROPLET_ARTIFACTS_CACHE_SIZE",
        hide_env_values = true
    )]
    pub cache_size: Option<Memory>,
    /// Docker's config.json, for credentials of registries whose table has none [default: none is read]
    #[arg(
        id = "artifacts-docker-config",
        long,
        value_name = "FILE",
        env = "PROPLET_ARTIFACTS_DOCKER_CONFIG",
        hide_env_values = true
    )]
    pub docker_config: Option<PathBuf>,
}

/// Where services listen.
#[derive(Debug, Default, Args)]
pub struct ServiceFlags {
    /// Address of this machine on which services listen [default: 127.0.0.1]
    #[arg(
        id = "service-address",
        long,
        value_name = "ADDRESS",
        env = "PROPLET_SERVICE_ADDRESS",
        hide_env_values = true
    )]
    pub address: Option<IpAddr>,
    /// Name or address by which others reach services, for the address that is told [default: service.address]
    #[arg(
        id = "service-host",
        long,
        value_name = "HOST",
        env = "PROPLET_SERVICE_HOST",
        hide_env_values = true
    )]
    pub host: Option<String>,
}

/// How guests run.
#[derive(Debug, Default, Args)]
pub struct EngineFlags {
    /// Guests that run at the same moment; others wait milliseconds for their turn [default: one per processor]
    #[arg(
        id = "engine-guest-threads",
        long,
        value_name = "COUNT",
        env = "PROPLET_ENGINE_GUEST_THREADS",
        hide_env_values = true
    )]
    pub guest_threads: Option<NonZeroUsize>,
    /// Compiled code that is kept on disk at most [default: 1Gi]
    #[arg(
        id = "engine-cache-size",
        long,
        value_name = "SIZE",
        env = "PROPLET_ENGINE_CACHE_SIZE",
        hide_env_values = true
    )]
    pub cache_size: Option<Memory>,
    /// Longest time for compiling one component [default: 300]
    #[arg(
        id = "engine-compile-seconds",
        long,
        value_name = "SECONDS",
        env = "PROPLET_ENGINE_COMPILE_SECONDS",
        hide_env_values = true
    )]
    pub compile_seconds: Option<NonZeroU32>,
    /// Most memory for compiling one component [default: 2Gi]
    #[arg(
        id = "engine-compile-memory",
        long,
        value_name = "MEMORY",
        env = "PROPLET_ENGINE_COMPILE_MEMORY",
        hide_env_values = true
    )]
    pub compile_memory: Option<Memory>,
}

/// Health and metrics.
#[derive(Debug, Default, Args)]
pub struct HttpFlags {
    /// Address for /healthz, /readyz and /metrics, such as 127.0.0.1:9464 [default: none]
    #[arg(
        id = "http-address",
        long,
        value_name = "ADDRESS:PORT",
        env = "PROPLET_HTTP_ADDRESS",
        hide_env_values = true
    )]
    pub address: Option<SocketAddr>,
}

/// Traces.
#[derive(Debug, Default, Args)]
pub struct TelemetryFlags {
    /// Where traces are sent, with OTLP over HTTP, such as http://localhost:4318 [default: OTEL_EXPORTER_OTLP_ENDPOINT, else none are made]
    #[arg(
        id = "telemetry-otlp-endpoint",
        long,
        value_name = "URL",
        env = "PROPLET_TELEMETRY_OTLP_ENDPOINT",
        hide_env_values = true
    )]
    pub otlp_endpoint: Option<String>,
}
