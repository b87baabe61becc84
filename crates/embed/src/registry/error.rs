//! Why a registry doesn't start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::Cause;

/// The registry doesn't start, or didn't stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no place for artifacts.
    #[error("cannot keep artifacts in {}: it must be a directory that this user may write", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Two would undo each other's writes.
    #[error("the artifacts in {} are in use by another process: stop that, or choose another directory", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// Tags and manifests can't be read. Nothing was changed.
    #[error(
        "{} is damaged: put back a copy of it, or remove it and push again; the blobs beside it are not concerned",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// Nobody can connect.
    #[error("the registry cannot listen on {address}: stop what uses it, or choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no thread for it.
    #[error("the registry cannot run")]
    Run(#[source] io::Error),
    /// It ended before it was told to. What it acknowledged is on disk.
    #[error("the registry did not stop in order")]
    Stop(#[source] Cause),
}
