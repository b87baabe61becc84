//! What a device needs to join a fleet, in one file: who it is, where the broker is, whom to trust, and its secret.
//!
//! `propeller proplet add` writes it, and `proplet --join FILE` reads it. What the configuration file, the environment and flags say is stronger.
//!
//! ```toml
//! id = "edge-1"
//!
//! [mqtt]
//! broker = "mqtts://propeller.lab:8883"
//! password = "…"
//! ca = """
//! -----BEGIN CERTIFICATE-----
//! …"""
//! domain = "default"
//! channel = "main"
//!
//! [registries."localhost:5000"]
//! mirrors = ["propeller.lab:5000"]
//! ```

use std::collections::BTreeMap;

use propeller_api::PropletId;
use propeller_bus::BrokerUrl;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// The file. It has a secret in it, and is for one device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Join {
    /// Who the device is.
    pub id: PropletId,
    /// The way to its control plane.
    pub mqtt: JoinMqtt,
    /// How registries are reached from there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registries: BTreeMap<String, JoinRegistry>,
}

/// The way to a control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JoinMqtt {
    /// The broker. The user name is the device's id.
    pub broker: BrokerUrl,
    /// The password.
    #[serde(serialize_with = "expose")]
    pub password: SecretString,
    /// PEM text of the certificate authorities to trust; the system's if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// First variable level of every topic.
    pub domain: String,
    /// Second variable level of every topic.
    pub channel: String,
}

/// How a registry is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JoinRegistry {
    /// Hosts to ask in its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// Whether it speaks HTTP without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_http: Option<bool>,
}

/// The file is the one place that the secret is written to.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}
