//! The configuration file. Its keys are those of [`Settings`](super::Settings); one that isn't known is an error, since it is most likely
//! misspelt, and would otherwise be a setting that has no effect.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use propeller_api::{Labels, Memory, PropletId};
use propeller_artifact::Registries;
use propeller_bus::BrokerUrl;
use serde::Deserialize;

use super::LogFormat;
use crate::engine::Policy;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) id: Option<PropletId>,
    pub(super) labels: Labels,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) heartbeat_seconds: Option<NonZeroU32>,
    pub(super) drain_seconds: Option<u32>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) mqtt: MqttTable,
    pub(super) capacity: CapacityTable,
    pub(super) task: TaskTable,
    pub(super) service: ServiceTable,
    pub(super) artifacts: ArtifactsTable,
    pub(super) engine: EngineTable,
    pub(super) http: HttpTable,
    pub(super) telemetry: TelemetryTable,
    pub(super) registries: Registries,
    pub(super) policy: Policy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct MqttTable {
    pub(super) broker: Option<BrokerUrl>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) domain: Option<String>,
    pub(super) channel: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct CapacityTable {
    pub(super) tasks: Option<NonZeroU32>,
    pub(super) memory: Option<Memory>,
    pub(super) queue: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct TaskTable {
    pub(super) memory: Option<Memory>,
    pub(super) max_memory: Option<Memory>,
    pub(super) deadline_seconds: Option<NonZeroU32>,
    pub(super) max_deadline_seconds: Option<NonZeroU32>,
    pub(super) max_result: Option<Memory>,
    pub(super) log_bytes: Option<Memory>,
    pub(super) log_bytes_per_second: Option<Memory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct ServiceTable {
    pub(super) address: Option<IpAddr>,
    pub(super) host: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct ArtifactsTable {
    pub(super) max_size: Option<Memory>,
    pub(super) cache_size: Option<Memory>,
    pub(super) docker_config: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct EngineTable {
    pub(super) guest_threads: Option<NonZeroUsize>,
    pub(super) cache_size: Option<Memory>,
    pub(super) compile_seconds: Option<NonZeroU32>,
    pub(super) compile_memory: Option<Memory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct HttpTable {
    pub(super) address: Option<SocketAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct TelemetryTable {
    pub(super) otlp_endpoint: Option<String>,
}
