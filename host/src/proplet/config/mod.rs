//! What a proplet is told: by a file, by the environment and by flags, each stronger than the one before.
//!
//! One name per setting. `mqtt.broker` in the file is `PROPLET_MQTT_BROKER` in the environment and `--mqtt-broker` as a flag. Secrets are
//! neither: a password is in a file of its own, or in the environment.
//!
//! ```toml
//! id = "edge-1"
//! labels = { site = "lab" }
//!
//! [mqtt]
//! broker = "mqtts://mqtt.lab"
//! password-file = "/etc/proplet/password"
//!
//! [registries."localhost:5000"]
//! mirrors = ["registry.lab:5000"]
//!
//! [policy]
//! http = ["*.lab"]
//! directories = [{ path = "/srv/data", read-only = true }]
//! ```

mod error;
mod file;
mod flags;
mod groups;
mod join;
mod merge;
mod settings;
#[cfg(test)]
mod tests;

pub use error::SettingsError;
pub use flags::{Flags, LogFormat};
pub use join::{Join, JoinMqtt, JoinRegistry};
pub use settings::{EngineSettings, Machine, Mqtt, ServiceSettings, Settings, TaskSettings};
