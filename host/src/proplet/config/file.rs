//! The configuration file. Its keys are those of [`Settings`](super::Settings); one that isn't known is an error, since it is most likely
//! misspelt, and would otherwise be a setting that has no effect.

use std::{
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use propeller_api::{Labels, Memory, PropletId};
use propeller_artifact::Registries;
use propeller_bus::BrokerUrl;
use serde::Deserialize;

use super::LogFormat;

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
    pub(super) artifacts: ArtifactsTable,
    pub(super) registries: Registries,
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct TaskTable {
    pub(super) memory: Option<Memory>,
    pub(super) max_memory: Option<Memory>,
    pub(super) deadline_seconds: Option<NonZeroU32>,
    pub(super) max_deadline_seconds: Option<NonZeroU32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct ArtifactsTable {
    pub(super) max_size: Option<Memory>,
    pub(super) docker_config: Option<PathBuf>,
}

/// The configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It isn't TOML, or has keys or values that mean nothing. The text itself isn't repeated: somebody may have put a secret there.
    #[error("{}:{line}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error: toml::de::Error| FileError::Parse {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(&text, span.start)),
            problem: error.message().to_owned(),
        })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
