//! Why `propeller up` doesn't start, or doesn't go on.

use std::{io, net::SocketAddr, path::PathBuf};

use propeller_embed::{
    broker::{AccountError, BrokerError},
    registry::RegistryError,
};
use propeller_host::proplet::{Broken as PropletBroken, SettingsError, StartError as PropletError};
use propeller_standalone::{
    plane::{Broken, StartError},
    store::OpenError,
};

use super::tls::CertificateError;
use crate::{exit::Exit, failure::Failure};

/// Why `propeller up` doesn't start, or doesn't go on.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Neither a flag nor the environment says where state belongs.
    #[error("nobody says where to keep the state: set HOME, XDG_STATE_HOME or `--state-dir`")]
    NoStateDirectory,
    /// The configuration of registries can't be used.
    #[error("the configuration of registries")]
    Settings(#[source] Box<Failure>),
    /// The directory can't be used.
    #[error("can't use the state directory {}", path.display())]
    Directory {
        /// What of it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that a flag names can't be read.
    #[error("can't read {}, which `{flag}` names", path.display())]
    FlagsFile {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Who may connect isn't known.
    #[error(
        "can't use {}, which has the devices that may connect: {problem}. Put a copy of it back, or move it away; without it, every device \
         needs `propeller proplet add NAME --replace` and the new file",
        path.display()
    )]
    Devices {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Another process has it.
    #[error("{holder} has the state in {}: stop that one, or choose another directory with `--state-dir`", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who, as in `process 12 (http://127.0.0.1:7770)`.
        holder: String,
    },
    /// The address is taken.
    #[error("can't listen on {address} for the API: choose another address with `--listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The embedded broker.
    #[error("the embedded broker: choose another address with `{flag}`, or use a broker that is there with `--mqtt`")]
    BrokerAddress {
        /// What said the address.
        flag: &'static str,
        /// What the system said.
        source: BrokerError,
    },
    /// The embedded broker.
    #[error("the embedded broker")]
    Broker(#[source] BrokerError),
    /// An account of it.
    #[error("an account of the embedded broker")]
    Account(#[from] AccountError),
    /// Its certificates.
    #[error("the certificates of the embedded broker in {}", path.display())]
    Certificate {
        /// Where they are.
        path: PathBuf,
        /// What is wrong.
        source: CertificateError,
    },
    /// The embedded registry.
    #[error(
        "the embedded registry: choose another address with `--registry-listen`, or use one that is there with `--registry`"
    )]
    RegistryAddress(#[source] RegistryError),
    /// The embedded registry.
    #[error("the embedded registry")]
    Registry(#[source] RegistryError),
    /// The control plane doesn't start.
    #[error("the control plane")]
    Plane(#[from] StartError),
    /// The control plane doesn't go on.
    #[error("the control plane ended")]
    Broken(#[from] Broken),
    /// What the local proplet is told.
    #[error("the settings of the local proplet")]
    PropletSettings(#[from] SettingsError),
    /// The local proplet doesn't start.
    #[error("the local proplet")]
    Proplet(#[from] PropletError),
    /// The local proplet doesn't go on.
    #[error("the local proplet ended")]
    PropletBroken(#[from] PropletBroken),
    /// The API isn't served any more.
    #[error("the API can't be served any more")]
    Api(#[source] io::Error),
    /// An embedded server isn't there any more.
    #[error("the embedded {0} ended by itself")]
    Ended(&'static str),
    /// A part panicked.
    #[error("a part of it panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl UpError {
    /// A stable label in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoStateDirectory | Self::PropletSettings(_) | Self::Settings(_) | Self::FlagsFile { .. } => {
                "InvalidSettings"
            }
            Self::InUse { .. } => "StateInUse",
            Self::Directory { .. } => "StateUnusable",
            Self::Store(OpenError::Damaged { .. }) | Self::Devices { .. } => "StateDamaged",
            Self::Certificate {
                source: CertificateError::Damaged(_),
                ..
            } => "StateDamaged",
            Self::Store(OpenError::TooNew { .. }) => "StateTooNew",
            Self::Store(_) => "StateUnusable",
            Self::Listen { .. } | Self::BrokerAddress { .. } | Self::RegistryAddress(_) => "ListenFailed",
            _ => "HostFailure",
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoStateDirectory | Self::PropletSettings(_) | Self::Settings(_) | Self::FlagsFile { .. } => {
                Exit::Usage
            }
            _ => Exit::Failed,
        }
    }
}
