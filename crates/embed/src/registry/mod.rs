//! The embedded OCI registry.
//!
//! ```text
//!  push ──► Guard ── who may write, how much ──► ferro-oci-server ──► Blobs: a file per digest
//!  pull ──────────────────────────────────────►        │      └────► metadata.json: manifests, tags
//! ```
//!
//! It takes artifacts as `propeller push`, `wkg` and `oras` send them, and gives them to everyone who asks, by tag and by digest.
//!
//! - Writing is for this machine, and for who has the login, if there is one ([`Writers`]). Requests that a browser sends for a web page
//!   don't count as this machine's.
//! - What was acknowledged is on disk, also after `kill -9` or a power cut: blobs, manifests and tags are written beside, synced, and
//!   renamed. An upload that breaks off leaves nothing.
//! - No byte that doesn't match its digest gets in or out.
//! - A blob is held in memory while it is sent, fetched or asked for. Uploads in parts are gathered there, at most a thousand at a time, and
//!   forgotten after an hour of silence.
//! - A manifest costs one writing of the file that has them all, which is for thousands of them, not for millions. Nothing is collected:
//!   blobs that no manifest names stay.
//!
//! It runs on a thread of its own. What it hashes, copies and syncs holds up no message.
//!
//! Docker's and Podman's push can't log in here: they look for a challenge before they read, and reading is open. From this machine they
//! need no login.

mod blobs;
mod error;
mod guard;
mod metadata;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{Router, middleware};
use ferro_oci_server::{AppState, InMemoryRegistryMeta};
use secrecy::SecretString;
use tokio::{runtime, task::spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

pub use self::error::RegistryError;
use self::{blobs::Blobs, guard::Guard};
use crate::folder;

/// What requests may take when the registry stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// Where a registry listens and keeps its artifacts, and who may push.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Where it listens, over plain HTTP. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where artifacts are kept. Made if it isn't there; one registry at a time can use it.
    pub directory: PathBuf,
    /// Who may push. Everyone may pull.
    pub writers: Writers,
    /// The largest blob, in bytes. More than 512 MiB are taken in parts only.
    pub max_blob: u64,
}

/// Who may push.
#[derive(Debug, Clone)]
pub struct Writers {
    /// Every process on this machine that says `localhost` or a loopback address, and isn't a browser. What forwards requests of others to
    /// the registry lets these in, too.
    pub this_machine: bool,
    /// Who has this login, from anywhere. It travels in the clear.
    pub login: Option<Login>,
}

/// A user name and its password.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

impl RegistryConfig {
    /// A registry for this machine only, on a free port. Its blobs are as large as those that a client of ours fetches.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            directory: directory.into(),
            writers: Writers {
                this_machine: true,
                login: None,
            },
            max_blob: 256 << 20,
        }
    }
}

/// A running registry. It stops when this is dropped; [`stop`](Self::stop) waits for that.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    signal: DropGuard,
    thread: JoinHandle<io::Result<()>>,
    ended: CancellationToken,
}

impl Registry {
    /// Starts a registry. It takes requests when this returns.
    ///
    /// # Errors
    ///
    /// When it can't listen, or can't use its directory or what is in it.
    pub fn start(config: RegistryConfig) -> Result<Self, RegistryError> {
        let lock = claim(&config.directory)?;
        let app = app(&config)?;
        let (address, listener) = listen(config.bind).map_err(|source| RegistryError::Listen {
            address: config.bind,
            source,
        })?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(RegistryError::Run)?;
        let ended = CancellationToken::new();
        let at_the_end = ended.clone().drop_guard();
        let work = move || {
            // Also if it panics.
            let _at_the_end = at_the_end;
            let served = runtime.block_on(serve(listener, app, stopped));
            // It waits for what is being written.
            drop(runtime);
            drop(lock);
            served
        };
        let thread = thread::Builder::new().name("registry".into()).spawn(work);
        Ok(Self {
            address,
            signal: stop.drop_guard(),
            thread: thread.map_err(RegistryError::Run)?,
            ended,
        })
    }

    /// Where it listens; what references to its artifacts begin with.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ready when it has ended, for whatever reason. [`stop`](Self::stop) says which.
    pub fn ended(&self) -> WaitForCancellationFutureOwned {
        self.ended.clone().cancelled_owned()
    }

    /// Takes no more requests, and returns when those under way have ended. They have 5 seconds for it.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub async fn stop(self) -> Result<(), RegistryError> {
        drop(self.signal);
        let thread = self.thread;
        let joined = spawn_blocking(|| thread.join()).await;
        let ended = joined.map_err(|error| RegistryError::Stop(error.into()))?;
        let served = ended.map_err(|_| RegistryError::Stop("it panicked".into()))?;
        served.map_err(|error| RegistryError::Stop(error.into()))
    }
}

/// The lock lasts as long as the file is open.
fn claim(directory: &Path) -> Result<fs::File, RegistryError> {
    let unusable = |source| RegistryError::Directory {
        directory: directory.to_owned(),
        source,
    };
    folder::make(directory).map_err(unusable)?;
    let lock = fs::File::create(directory.join(".lock")).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(RegistryError::InUse {
            directory: directory.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn app(config: &RegistryConfig) -> Result<Router, RegistryError> {
    let directory = &config.directory;
    let unusable = |source| RegistryError::Directory {
        directory: directory.clone(),
        source,
    };
    metadata::check(directory)?;
    metadata::tidy(directory).map_err(unusable)?;
    let blobs = Blobs::open(&directory.join("blobs")).map_err(unusable)?;
    let metadata = InMemoryRegistryMeta::with_persistence(directory);
    let state = AppState::with_max_upload_session_bytes(Arc::new(blobs), Arc::new(metadata), config.max_blob);
    let guard = Arc::new(Guard {
        writers: config.writers.clone(),
        max_blob: config.max_blob,
    });
    Ok(ferro_oci_server::router(state).layer(middleware::from_fn_with_state(guard, guard::guard)))
}

fn listen(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok((listener.local_addr()?, listener))
}

async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        served = serving => served,
        () = too_long => Ok(()),
    }
}
