//! The embedded MQTT broker.
//!
//! ```text
//!  CONNECT ──► Gate ── password, client id, will ──► session ──► SUBSCRIBE, PUBLISH ──► Gate ── rules ──► queues ──► other clients
//!               ▲                                       ▲
//!            Accounts ── revoked, changed ──────────────┘ ended
//! ```
//!
//! MQTT 5 and 3.1.1 on one TCP listener, and with TLS on another. Sessions, what is queued in them, and retained messages last over a
//! restart. Everybody needs an account, and [`rules`](PROPLET_PUBLISHES) hold a proplet to its own topics.
//!
//! What lasts over what:
//!
//! - [`Broker::stop`] loses nothing.
//! - `kill -9` loses what was queued or acknowledged in the last moments (a quarter of a second, more under load): queues are written
//!   behind. Sessions and retained messages are on disk before they are acknowledged. Delivery counts on no more than that, as with any
//!   broker.
//!
//! A message carries who sent it, in the user properties `x-mqtt-sender` and `x-mqtt-client-id`, which the broker sets and no client can.
//!
//! There are no `$SYS` topics, no bridges, no WebSocket, and nobody is locked out for wrong passwords: what is exposed to a network needs
//! passwords that can't be guessed.

mod accounts;
mod error;
mod gate;
mod limits;
mod password;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use mqtt5::broker::{
    BrokerShutdownHandle, DynamicStorage, MqttBroker, StorageBackend as _,
    config::{AuthConfig, StorageConfig, TlsConfig},
    router::MessageRouter,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::AbortOnDropHandle,
};

use self::gate::Gate;
pub use self::{
    accounts::{Accounts, Role},
    error::{AccountError, BrokerError},
    password::PasswordHash,
    rules::{PROPLET_HEARS, PROPLET_PUBLISHES},
};
use crate::{Cause, folder};

/// Where a broker listens and keeps its state, and who may connect.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where it listens without TLS: passwords and messages travel in the clear. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where it listens with TLS, if at all.
    pub tls: Option<TlsListener>,
    /// Where sessions and messages are kept. Made if it isn't there; one broker at a time can use it.
    pub directory: PathBuf,
    /// Who may connect. Can be changed at any time.
    pub accounts: Accounts,
}

/// A listener for clients elsewhere.
#[derive(Debug, Clone)]
pub struct TlsListener {
    /// Its address. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// PEM file of the certificate, with those between it and the authority that clients trust.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

impl BrokerConfig {
    /// A broker for this machine only, on a free port.
    pub fn new(directory: impl Into<PathBuf>, accounts: Accounts) -> Self {
        Self {
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            directory: directory.into(),
            accounts,
        }
    }
}

/// A running broker. It stops when this is dropped; only [`stop`](Self::stop) waits for what isn't on disk yet.
pub struct Broker {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    signal: Signal,
    running: JoinHandle<mqtt5::Result<()>>,
    ended: CancellationToken,
    eviction: AbortOnDropHandle<()>,
    storage: Arc<DynamicStorage>,
}

impl Broker {
    /// Starts a broker, and returns when it takes connections.
    ///
    /// # Errors
    ///
    /// When it can't listen, or can't use its directory or a file of the TLS listener.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        folder::make(&config.directory).map_err(|source| BrokerError::Directory {
            directory: config.directory.clone(),
            source,
        })?;
        config.tls.as_ref().map_or(Ok(()), check_pem)?;
        let gate = Arc::new(Gate::new(config.accounts.clone()));
        let broker = MqttBroker::with_config(translate(&config, &gate)).await;
        let broker = broker.map_err(|error| explain(&config, error))?;
        let (address, tls_address) = addresses(&config, &broker)?;
        let storage = broker
            .storage()
            .ok_or_else(|| start_error(&config.directory)("it keeps no state".into()))?;
        let eviction = evict(
            config.accounts,
            Arc::clone(&gate),
            broker.router(),
            Arc::clone(&storage),
        );
        let broker = broker.with_auth_provider(gate);
        let signal = Signal(broker.shutdown_handle());
        let ended = CancellationToken::new();
        let running = run(broker, &ended).await.map_err(start_error(&config.directory))?;
        Ok(Self {
            address,
            tls_address,
            signal,
            running,
            ended,
            eviction: AbortOnDropHandle::new(tokio::spawn(eviction)),
            storage,
        })
    }

    /// Where it listens without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens with TLS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Ready when it has ended, for whatever reason. [`stop`](Self::stop) says which.
    pub fn ended(&self) -> WaitForCancellationFutureOwned {
        self.ended.clone().cancelled_owned()
    }

    /// Tells every client that it goes, and returns when everything is on disk. Connections have 5 seconds to end.
    ///
    /// # Errors
    ///
    /// When something was left undone.
    pub async fn stop(self) -> Result<(), BrokerError> {
        drop(self.signal);
        self.eviction.abort();
        // Cancelled is what it should be; and with it goes its hold on the directory.
        drop(self.eviction.await);
        let ended = self.running.await.map_err(|error| BrokerError::Stop(error.into()))?;
        // What the connections that ended left behind came after the broker's own last writing.
        let written = self.storage.shutdown().await;
        ended.and(written).map_err(|error| BrokerError::Stop(error.into()))
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("address", &self.address)
            .field("tls_address", &self.tls_address)
            .finish_non_exhaustive()
    }
}

/// Says stop when dropped.
struct Signal(BrokerShutdownHandle);

impl Drop for Signal {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

fn translate(config: &BrokerConfig, gate: &Arc<Gate>) -> mqtt5::broker::BrokerConfig {
    let storage = StorageConfig::new()
        .with_base_dir(config.directory.clone())
        .with_cleanup_interval(limits::CLEANUP)
        .with_max_queued_messages_per_client(limits::QUEUED_MESSAGES)
        .with_max_queued_bytes_per_client(limits::QUEUED_BYTES);
    let mut translated = mqtt5::broker::BrokerConfig::new()
        .with_bind_address(config.bind)
        .with_auth(nobody())
        .with_storage(storage)
        .with_sys_topics_enabled(false)
        .with_event_handler(Arc::clone(gate) as _)
        .with_max_clients(limits::CLIENTS)
        .with_max_packet_size(limits::PACKET_BYTES)
        .with_max_subscriptions_per_client(limits::SUBSCRIPTIONS)
        .with_client_channel_capacity(limits::WAITING)
        .with_max_outbound_inflight(limits::UNACKNOWLEDGED)
        .with_server_receive_maximum(limits::UNACKNOWLEDGED)
        .with_max_retained_messages(limits::RETAINED)
        .with_max_retained_message_size(limits::PACKET_BYTES)
        .with_session_expiry(limits::SESSION);
    // Not one of our clients uses them, and each alias keeps a topic.
    translated.topic_alias_maximum = 0;
    if let Some(tls) = &config.tls {
        let files = TlsConfig::new(tls.certificate.clone(), tls.key.clone());
        translated = translated.with_tls(files.with_bind_address(tls.bind));
    }
    translated
}

/// What the broker goes by until it has our gate, which is before it takes connections: no accounts, in a file that is always there.
fn nobody() -> AuthConfig {
    let mut nobody = AuthConfig::new()
        .with_allow_anonymous(false)
        .with_password_file("/dev/null".into());
    nobody.rate_limit.enabled = false;
    nobody
}

/// The broker takes what it can read of such files, and says nothing of the rest.
fn check_pem(tls: &TlsListener) -> Result<(), BrokerError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| BrokerError::Pem { what, path, source }
    };
    CertificateDer::from_pem_file(&tls.certificate).map_err(failed("a certificate", &tls.certificate))?;
    PrivateKeyDer::from_pem_file(&tls.key).map_err(failed("a private key", &tls.key))?;
    Ok(())
}

/// The broker goes on without a listener that it couldn't bind, as long as it has another.
fn addresses(config: &BrokerConfig, broker: &MqttBroker) -> Result<(SocketAddr, Option<SocketAddr>), BrokerError> {
    let bound = |wanted: SocketAddr, got: Option<SocketAddr>| {
        got.ok_or_else(|| BrokerError::Listen {
            address: wanted,
            source: why_not(wanted).unwrap_or_else(|| io::Error::other("it was in use a moment ago")),
        })
    };
    let tls = config.tls.as_ref().map(|tls| bound(tls.bind, broker.tls_local_addr()));
    Ok((bound(config.bind, broker.local_addr())?, tls.transpose()?))
}

/// The broker's error is one text for everything, so the usual reason is looked for.
fn explain(config: &BrokerConfig, error: mqtt5::MqttError) -> BrokerError {
    match why_not(config.bind) {
        Some(source) => BrokerError::Listen {
            address: config.bind,
            source,
        },
        None => start_error(&config.directory)(error.into()),
    }
}

fn why_not(address: SocketAddr) -> Option<io::Error> {
    TcpListener::bind(address).err()
}

fn start_error(directory: &Path) -> impl FnOnce(Cause) -> BrokerError {
    let directory = directory.to_owned();
    move |source| BrokerError::Start { directory, source }
}

/// Returns when the broker takes connections.
async fn run(mut broker: MqttBroker, ended: &CancellationToken) -> Result<JoinHandle<mqtt5::Result<()>>, Cause> {
    let mut ready = broker.ready_receiver();
    let ended = ended.clone().drop_guard();
    let mut running = tokio::spawn(async move {
        // Also if it panics.
        let _ended = ended;
        broker.run().await
    });
    tokio::select! {
        Ok(_) = ready.wait_for(|ready| *ready) => Ok(running),
        ended = &mut running => match ended {
            Ok(Ok(())) => Err("it ended at once".into()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        },
    }
}

/// Ends connections whose account was revoked or changed, and forgets the sessions of accounts that were revoked.
async fn evict(accounts: Accounts, gate: Arc<Gate>, router: Arc<MessageRouter>, storage: Arc<DynamicStorage>) {
    loop {
        tokio::select! {
            () = accounts.changed() => {}
            () = gate.stale() => {}
        }
        for client in gate.take_stale() {
            tracing::info!(
                client,
                "the broker ends a connection: its account was revoked or changed"
            );
            router.disconnect_client(&client).await;
        }
        for user in accounts.take_revoked() {
            if let Err(error) = forget(&user, &router, &storage).await {
                tracing::warn!(user, %error, "cannot forget a session of a user that was revoked; it expires");
            }
        }
    }
}

async fn forget(user: &str, router: &MessageRouter, storage: &DynamicStorage) -> mqtt5::Result<()> {
    for client in storage.session_client_ids().await? {
        let slot = router.lock_session(&client).await;
        let session = storage.get_session(&client).await?;
        if session.is_some_and(|session| session.user_id.as_deref() == Some(user)) {
            router.unregister_client(&client).await;
            storage.remove_session(&client).await?;
            storage.remove_queued_messages(&client).await?;
            storage.remove_all_inflight_messages(&client).await?;
        }
        drop(slot);
    }
    Ok(())
}
