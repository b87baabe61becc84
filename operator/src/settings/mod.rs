//! What the operator is told: by a file, by the environment and by flags, each stronger than the one before.
//!
//! One name per setting, as for the proplet. `mqtt.broker` in the file is `PROPELLER_OPERATOR_MQTT_BROKER` in the environment and
//! `--mqtt-broker` as a flag. Secrets are neither: a password is in a file of its own, or in the environment.
//!
//! ```toml
//! auto-register = true
//!
//! [mqtt]
//! broker = "mqtts://mqtt.lab"
//! username = "control"
//! password-file = "/etc/propeller/password"
//!
//! [registries."localhost:5000"]
//! mirrors = ["registry.lab:5000"]
//! ```
//!
//! The cluster isn't a setting: it is that of `KUBECONFIG`, or the one that the operator runs in.

mod file;
mod flags;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use propeller_api::Memory;
use propeller_artifact::{ClientConfig, Registries};
use propeller_bus::Ca;
use propeller_control::session::Mqtt;
use propeller_protocol::{Base, InvalidBase};
use secrecy::{ExposeSecret, SecretString};

pub use flags::{Flags, LogFormat};

use file::{ArtifactsTable, File, LogsTable, MqttTable};
use flags::{ArtifactFlags, LogsFlags, MqttFlags};

const HEALTH_PORT: u16 = 8080;
const LOGS_PORT: u16 = 8443;
const LEASE_NAME: &str = "propeller-operator";
const LEASE_SECONDS: u32 = 15;
/// A shorter lease can't be renewed in time.
const MIN_LEASE_SECONDS: u32 = 3;
const ARTIFACT_SIZE: Memory = Memory::from_bytes(256 << 20);

/// Everything that an operator is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The session with the broker.
    pub mqtt: Mqtt,
    /// What replicas compete for.
    pub lease: Lease,
    /// The one namespace to work in; `None` is all.
    pub watch_namespace: Option<String>,
    /// The namespace in which Proplets are made for those that announce themselves without one; `None` makes none.
    pub register_in: Option<String>,
    /// How artifacts are fetched.
    pub artifacts: ClientConfig,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// Where lines of tasks are kept and asked for.
    pub logs: Logs,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// The Lease that replicas compete for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name. Its uid is the identity of the control plane: it is to be kept as long as tasks are.
    pub name: String,
    /// Its namespace; absent, the one that the operator runs in.
    pub namespace: Option<String>,
    /// For how long a leader that doesn't renew it stays leader.
    pub seconds: u32,
}

/// Where lines of tasks are kept and asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// The directory in which they are, of this replica alone.
    pub directory: PathBuf,
    /// Where the API server asks for them.
    pub listen: SocketAddr,
    /// Under which address a Service reaches this replica; absent, the leader doesn't make itself known.
    pub address: Option<IpAddr>,
    /// What the API server is shown; absent, a certificate that is made at each start.
    pub identity: Option<Identity>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and behind it those that it was signed by.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What this machine says, where nobody else does.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Whether this process runs in a pod.
    pub in_pod: bool,
    /// Where programs of this user keep what they can fetch again.
    pub cache_dir: Option<PathBuf>,
    /// Where programs of this user keep what they can't.
    pub state_dir: Option<PathBuf>,
    /// The password, from the environment.
    pub password: Option<SecretString>,
}

/// The settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be used.
    #[error(transparent)]
    File(#[from] propeller_settings::FileError),
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
    /// A certificate without a key, or the other way round.
    #[error("logs.certificate and logs.key belong together: {0} is not set")]
    HalfIdentity(&'static str),
    /// The lease is too short to be renewed in time.
    #[error("lease.seconds is {0}, less than {MIN_LEASE_SECONDS}")]
    ShortLease(u32),
    /// A part of the topics' base isn't one.
    #[error("mqtt.domain and mqtt.channel are levels of every topic")]
    Base(#[source] InvalidBase),
    /// The password's file can't be read.
    #[error("cannot read mqtt.password-file {}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Settings {
    /// Reads the file that the flags name, and merges. Clap has merged environment and flags already.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], before anything is started.
    pub fn load(flags: Flags, machine: Machine) -> Result<Self, SettingsError> {
        let file = match &flags.config {
            Some(path) => propeller_settings::read::<File>(path)?,
            None => File::default(),
        };
        let register_in = flags.auto_register_namespace.or(file.auto_register_namespace);
        let auto_register = flags.auto_register || file.auto_register.unwrap_or_default();
        Ok(Self {
            lease: Lease {
                name: flags.lease.name.or(file.lease.name).unwrap_or(LEASE_NAME.to_owned()),
                namespace: flags.lease.namespace.or(file.lease.namespace),
                seconds: lease_seconds(flags.lease.seconds.or(file.lease.seconds))?,
            },
            watch_namespace: flags.watch_namespace.or(file.watch_namespace),
            register_in: auto_register.then(|| register_in.unwrap_or("default".to_owned())),
            artifacts: artifacts(flags.artifacts, file.artifacts, file.registries, machine.cache_dir)?,
            listen: flags
                .listen
                .or(file.listen)
                .unwrap_or(listen(machine.in_pod, HEALTH_PORT)),
            logs: logs(flags.logs, file.logs, machine.state_dir, machine.in_pod)?,
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            mqtt: mqtt(flags.mqtt, file.mqtt, machine.password)?,
        })
    }
}

impl Machine {
    /// Looks at the environment of this process.
    pub fn read() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let below_home = |name| Some(std::env::home_dir()?.join(name));
        let ours = |name, default| variable(name).map(PathBuf::from).or_else(|| below_home(default));
        let directory = |parent: PathBuf| parent.join("propeller-operator");
        Self {
            in_pod: variable("KUBERNETES_SERVICE_HOST").is_some(),
            cache_dir: ours("XDG_CACHE_HOME", ".cache").map(directory),
            state_dir: ours("XDG_STATE_HOME", ".local/state").map(directory),
            password: std::env::var(flags::PASSWORD_VARIABLE).ok().map(SecretString::from),
        }
    }
}

/// A pod is probed from outside; elsewhere nobody should be able to look in unasked.
fn listen(in_pod: bool, port: u16) -> SocketAddr {
    let address = if in_pod {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    };
    (address, port).into()
}

fn lease_seconds(seconds: Option<u32>) -> Result<u32, SettingsError> {
    match seconds.unwrap_or(LEASE_SECONDS) {
        seconds if seconds < MIN_LEASE_SECONDS => Err(SettingsError::ShortLease(seconds)),
        seconds => Ok(seconds),
    }
}

fn mqtt(flags: MqttFlags, file: MqttTable, password: Option<SecretString>) -> Result<Mqtt, SettingsError> {
    let broker = flags.broker.or(file.broker).ok_or(SettingsError::Missing {
        key: "mqtt.broker",
        variable: "PROPELLER_OPERATOR_MQTT_BROKER",
        flag: "--mqtt-broker",
    })?;
    let domain = flags.domain.or(file.domain).unwrap_or_else(|| "default".to_owned());
    let channel = flags.channel.or(file.channel).unwrap_or_else(|| "main".to_owned());
    // The variable is the environment's, which beats the file but not the flag or variable that names a file.
    let password = match (flags.password_file, password, file.password_file) {
        (Some(path), _, _) | (None, None, Some(path)) => Some(read_password(&path)?),
        (None, password, _) => password,
    };
    Ok(Mqtt {
        broker,
        client_id: flags.client_id.or(file.client_id),
        username: flags.username.or(file.username),
        password,
        ca: flags.ca.or(file.ca).map(Ca::File),
        base: Base::new(&domain, &channel).map_err(SettingsError::Base)?,
    })
}

fn logs(flags: LogsFlags, file: LogsTable, state: Option<PathBuf>, in_pod: bool) -> Result<Logs, SettingsError> {
    let directory = flags.directory.or(file.directory);
    let directory = directory.or_else(|| Some(state?.join("logs")));
    let certificate = flags.certificate.or(file.certificate);
    let identity = match (certificate, flags.key.or(file.key)) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        (None, Some(_)) => return Err(SettingsError::HalfIdentity("logs.certificate")),
        (Some(_), None) => return Err(SettingsError::HalfIdentity("logs.key")),
    };
    Ok(Logs {
        directory: directory.ok_or(SettingsError::Missing {
            key: "logs.directory",
            variable: "PROPELLER_OPERATOR_LOGS_DIRECTORY",
            flag: "--logs-directory",
        })?,
        listen: flags.listen.or(file.listen).unwrap_or(listen(in_pod, LOGS_PORT)),
        address: flags.address.or(file.address),
        identity,
    })
}

fn read_password(path: &Path) -> Result<SecretString, SettingsError> {
    let failed = |source| SettingsError::Password {
        path: path.to_owned(),
        source,
    };
    let text = SecretString::from(fs::read_to_string(path).map_err(failed)?);
    Ok(text.expose_secret().trim_end_matches(['\r', '\n']).into())
}

fn artifacts(
    flags: ArtifactFlags,
    file: ArtifactsTable,
    registries: Registries,
    cache: Option<PathBuf>,
) -> Result<ClientConfig, SettingsError> {
    let cache = flags
        .cache_dir
        .or(file.cache_dir)
        .or(cache)
        .ok_or(SettingsError::Missing {
            key: "artifacts.cache-dir",
            variable: "PROPELLER_OPERATOR_ARTIFACTS_CACHE_DIR",
            flag: "--artifacts-cache-dir",
        })?;
    Ok(ClientConfig {
        registries,
        docker_config: flags.docker_config.or(file.docker_config),
        max_component: flags.max_size.or(file.max_size).unwrap_or(ARTIFACT_SIZE).bytes(),
        ..ClientConfig::new(cache)
    })
}
