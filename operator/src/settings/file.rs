//! The configuration file. A key that isn't known is an error, since it is most likely misspelt, and would otherwise be a setting that has no
//! effect.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use propeller_api::Memory;
use propeller_artifact::Registries;
use propeller_bus::BrokerUrl;
use serde::Deserialize;

use super::LogFormat;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) watch_namespace: Option<String>,
    pub(super) auto_register: Option<bool>,
    pub(super) auto_register_namespace: Option<String>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) mqtt: MqttTable,
    pub(super) lease: LeaseTable,
    pub(super) artifacts: ArtifactsTable,
    pub(super) logs: LogsTable,
    pub(super) registries: Registries,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct MqttTable {
    pub(super) broker: Option<BrokerUrl>,
    pub(super) client_id: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) domain: Option<String>,
    pub(super) channel: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct LeaseTable {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct ArtifactsTable {
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) max_size: Option<Memory>,
    pub(super) docker_config: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct LogsTable {
    pub(super) directory: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) address: Option<IpAddr>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}
