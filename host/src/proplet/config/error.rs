//! What can be wrong with settings, said so that a person knows what to change.

use std::{io, path::PathBuf};

use propeller_api::{Invalid, InvalidPropletId};
use propeller_artifact::InvalidSetting;
use propeller_protocol::InvalidBase;

use propeller_settings::FileError;

/// A setting is missing, or can't be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The configuration file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no default for it.
    #[error("{key} is not set: set it in the configuration file, as {variable}, or with {flag}")]
    Missing {
        /// Its key in the file.
        key: &'static str,
        /// Its environment variable.
        variable: &'static str,
        /// Its flag.
        flag: &'static str,
    },
    /// The host's name was to be the id.
    #[error("the host name can't be the proplet's id, so set id, PROPLET_ID or --id")]
    HostName(#[source] InvalidPropletId),
    /// Two settings contradict each other, or a value makes no sense.
    #[error("{key} {problem}")]
    Invalid {
        /// Its key in the file.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A label isn't one.
    #[error(transparent)]
    Labels(#[from] Invalid),
    /// A part of the topics' base isn't one.
    #[error("mqtt.domain and mqtt.channel are levels of every topic")]
    Base(#[source] InvalidBase),
    /// A table of a registry makes no sense.
    #[error("a table of `registries`")]
    Registry(#[source] InvalidSetting),
    /// The password's file can't be read.
    #[error("cannot read mqtt.password-file {}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
