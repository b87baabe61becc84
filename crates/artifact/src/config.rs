//! What a program hands in: where things are, and how patient to be. Nothing is read from the environment unless `main` asks for it.

use std::{env, path::PathBuf, time::Duration};

use crate::settings::Registries;

/// What a [`Client`](crate::Client) needs to know. [`ClientConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Directory of the cache, made if it doesn't exist. Several processes may share it.
    pub cache: PathBuf,
    /// Settings per registry host.
    pub registries: Registries,
    /// Docker's `config.json`, for credentials that the settings don't have. It need not exist.
    pub docker_config: Option<PathBuf>,
    /// The largest component that is fetched, in bytes. It is held in memory as a whole.
    pub max_component: u64,
    /// Bytes that the cache may take. What was used least recently goes first.
    pub cache_size: u64,
    /// How often and how long to try.
    pub patience: Patience,
}

/// Bounds on what one operation (resolve, fetch, push) does to get through.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Tries of each request, mirrors included in one try. At least one is made.
    pub tries: usize,
    /// Wait before the second try. It doubles from try to try, and up to as much again is added by chance.
    pub first_delay: Duration,
    /// No wait doubles beyond this.
    pub longest_delay: Duration,
    /// Time for a connection to come about.
    pub connect: Duration,
    /// Time that a connection may stay silent.
    pub idle: Duration,
    /// Time for the whole operation with all its tries.
    pub whole: Duration,
}

impl ClientConfig {
    /// The defaults: no registry settings, no credentials, components up to 256 MiB, a cache of 4 GiB.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            registries: Registries::default(),
            docker_config: None,
            max_component: 256 * 1024 * 1024,
            cache_size: 4 * 1024 * 1024 * 1024,
            patience: Patience::default(),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 4,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(8),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(15 * 60),
        }
    }
}

/// Where Docker keeps its configuration for this user: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
///
/// For a program's `main` to fill [`ClientConfig::docker_config`]; nothing else here looks at the environment.
pub fn default_docker_config() -> Option<PathBuf> {
    let directory = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| env::home_dir().map(|home| home.join(".docker")))?;
    Some(directory.join("config.json"))
}
