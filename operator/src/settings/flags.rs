//! Flags, and the environment variables that stand for them.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use propeller_api::Memory;
use propeller_bus::BrokerUrl;
use serde::Deserialize;

/// Where the password may be, besides a file.
pub(super) const PASSWORD_VARIABLE: &str = "PROPELLER_OPERATOR_MQTT_PASSWORD";

/// Settings as flags. No variable is refused for being unknown: Kubernetes gives pods such as `PROPELLER_OPERATOR_SERVICE_HOST` when there is
/// a service of that name.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// TOML file with settings
    #[arg(long, value_name = "FILE", env = "PROPELLER_OPERATOR_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// The one namespace to work in [default: all]
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "PROPELLER_OPERATOR_WATCH_NAMESPACE",
        hide_env_values = true
    )]
    pub(super) watch_namespace: Option<String>,
    /// Make a Proplet for every proplet that announces itself without one
    #[arg(long, env = "PROPELLER_OPERATOR_AUTO_REGISTER", hide_env_values = true)]
    pub(super) auto_register: bool,
    /// Where those are made [default: default]
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "PROPELLER_OPERATOR_AUTO_REGISTER_NAMESPACE",
        hide_env_values = true
    )]
    pub(super) auto_register_namespace: Option<String>,
    /// Where health and metrics are served; port 0 is any free one [default: 127.0.0.1:8080, in a pod 0.0.0.0:8080]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "PROPELLER_OPERATOR_LISTEN",
        hide_env_values = true
    )]
    pub(super) listen: Option<SocketAddr>,
    /// How log lines look [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "PROPELLER_OPERATOR_LOG_FORMAT",
        hide_env_values = true
    )]
    pub(super) log_format: Option<LogFormat>,
    #[command(flatten, next_help_heading = "Message bus")]
    pub(super) mqtt: MqttFlags,
    #[command(flatten, next_help_heading = "Leader election")]
    pub(super) lease: LeaseFlags,
    #[command(flatten, next_help_heading = "Artifacts")]
    pub(super) artifacts: ArtifactFlags,
    #[command(flatten, next_help_heading = "What tasks write")]
    pub(super) logs: LogsFlags,
}

/// The session with the broker.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct MqttFlags {
    /// Broker, as mqtt://host[:1883], or mqtts://host[:8883] for TLS. Required
    #[arg(
        id = "mqtt-broker",
        long,
        value_name = "URL",
        env = "PROPELLER_OPERATOR_MQTT_BROKER",
        hide_env_values = true
    )]
    pub(super) broker: Option<BrokerUrl>,
    /// MQTT client id, the same for all replicas and for no other operator [default: derived from the lease]
    #[arg(
        id = "mqtt-client-id",
        long,
        value_name = "ID",
        env = "PROPELLER_OPERATOR_MQTT_CLIENT_ID",
        hide_env_values = true
    )]
    pub(super) client_id: Option<String>,
    /// User name [default: none]
    #[arg(
        id = "mqtt-username",
        long,
        value_name = "NAME",
        env = "PROPELLER_OPERATOR_MQTT_USERNAME",
        hide_env_values = true
    )]
    pub(super) username: Option<String>,
    /// File that holds the password, and nothing else but a line break
    #[arg(
        id = "mqtt-password-file",
        long,
        value_name = "FILE",
        env = "PROPELLER_OPERATOR_MQTT_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub(super) password_file: Option<PathBuf>,
    /// PEM file of the certificate authorities to trust for mqtts [default: the system's]
    #[arg(
        id = "mqtt-ca",
        long,
        value_name = "FILE",
        env = "PROPELLER_OPERATOR_MQTT_CA",
        hide_env_values = true
    )]
    pub(super) ca: Option<PathBuf>,
    /// First variable level of every topic: m/DOMAIN/c/CHANNEL/… [default: default]
    #[arg(
        id = "mqtt-domain",
        long,
        value_name = "DOMAIN",
        env = "PROPELLER_OPERATOR_MQTT_DOMAIN",
        hide_env_values = true
    )]
    pub(super) domain: Option<String>,
    /// Second variable level of every topic [default: main]
    #[arg(
        id = "mqtt-channel",
        long,
        value_name = "CHANNEL",
        env = "PROPELLER_OPERATOR_MQTT_CHANNEL",
        hide_env_values = true
    )]
    pub(super) channel: Option<String>,
}

/// What replicas compete for.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LeaseFlags {
    /// Name of the Lease, whose uid identifies the control plane [default: propeller-operator]
    #[arg(
        id = "lease-name",
        long,
        value_name = "NAME",
        env = "PROPELLER_OPERATOR_LEASE_NAME",
        hide_env_values = true
    )]
    pub(super) name: Option<String>,
    /// Namespace of the Lease [default: the one that the operator runs in]
    #[arg(
        id = "lease-namespace",
        long,
        value_name = "NAMESPACE",
        env = "PROPELLER_OPERATOR_LEASE_NAMESPACE",
        hide_env_values = true
    )]
    pub(super) namespace: Option<String>,
    /// Seconds for which a leader that is gone stays leader, at least 3 [default: 15]
    #[arg(
        id = "lease-seconds",
        long,
        value_name = "SECONDS",
        env = "PROPELLER_OPERATOR_LEASE_SECONDS",
        hide_env_values = true
    )]
    pub(super) seconds: Option<u32>,
}

/// How types are read.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ArtifactFlags {
    /// Directory in which components are kept while their types are read [default: below $XDG_CACHE_HOME or ~/.cache]
    #[arg(
        id = "artifacts-cache-dir",
        long,
        value_name = "DIRECTORY",
        env = "PROPELLER_OPERATOR_ARTIFACTS_CACHE_DIR",
        hide_env_values = true
    )]
    pub(super) cache_dir: Option<PathBuf>,
    /// Largest component that is fetched [default: 256Mi]
    #[arg(
        id = "artifacts-max-size",
        long,
        value_name = "SIZE",
        env = "PROPELLER_OPERATOR_ARTIFACTS_MAX_SIZE",
        hide_env_values = true
    )]
    pub(super) max_size: Option<Memory>,
    /// Docker's config.json, for credentials of registries whose table has none [default: none is read]
    #[arg(
        id = "artifacts-docker-config",
        long,
        value_name = "FILE",
        env = "PROPELLER_OPERATOR_ARTIFACTS_DOCKER_CONFIG",
        hide_env_values = true
    )]
    pub(super) docker_config: Option<PathBuf>,
}

/// Where lines of tasks are kept and asked for.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LogsFlags {
    /// Directory in which lines of tasks are kept, of this replica alone [default: below $XDG_STATE_HOME or ~/.local/state]
    #[arg(
        id = "logs-directory",
        long,
        value_name = "DIRECTORY",
        env = "PROPELLER_OPERATOR_LOGS_DIRECTORY",
        hide_env_values = true
    )]
    pub(super) directory: Option<PathBuf>,
    /// Where the API server asks for them, over TLS; port 0 is any free one [default: 127.0.0.1:8443, in a pod 0.0.0.0:8443]
    #[arg(
        id = "logs-listen",
        long,
        value_name = "ADDRESS",
        env = "PROPELLER_OPERATOR_LOGS_LISTEN",
        hide_env_values = true
    )]
    pub(super) listen: Option<SocketAddr>,
    /// Address of this pod, under which the leader makes itself known to the Service `propeller-logs` [default: it does not]
    #[arg(
        id = "logs-address",
        long,
        value_name = "IP",
        env = "PROPELLER_OPERATOR_LOGS_ADDRESS",
        hide_env_values = true
    )]
    pub(super) address: Option<IpAddr>,
    /// PEM file of the certificate that the API server is shown [default: one that is made at each start]
    #[arg(
        id = "logs-certificate",
        long,
        value_name = "FILE",
        env = "PROPELLER_OPERATOR_LOGS_CERTIFICATE",
        hide_env_values = true
    )]
    pub(super) certificate: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(
        id = "logs-key",
        long,
        value_name = "FILE",
        env = "PROPELLER_OPERATOR_LOGS_KEY",
        hide_env_values = true
    )]
    pub(super) key: Option<PathBuf>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For log collectors: an object per line.
    Json,
}
