//! What grants are made of on this machine: how names are resolved, whom TLS trusts, and where values are kept.

use std::{fmt, io, net::IpAddr, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tokio::sync::OnceCell;

use crate::engine::KeyValue;

/// How a guest's names are resolved.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of a name, the preferred one first. Called only for names that were granted.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// What grants need beside the policy. Clones share it.
#[derive(Clone)]
pub struct Means {
    /// Where names are looked up.
    pub resolver: Arc<dyn Resolver>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Where buckets are kept, if they are.
    pub keyvalue: Option<KeyValue>,
}

/// The certificate authorities that outgoing HTTPS trusts. They are read when the first request needs them.
#[derive(Clone)]
pub struct Trust(Arc<Authorities>);

struct Authorities {
    /// Instead of the system's.
    only: Option<Vec<CertificateDer<'static>>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Means {
    /// The operating system's resolver and certificate authorities, and no place for buckets.
    pub fn system() -> Self {
        Self {
            resolver: Arc::new(System),
            trust: Trust::system(),
            keyvalue: None,
        }
    }
}

impl Default for Means {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means").finish_non_exhaustive()
    }
}

impl Trust {
    /// Those that the operating system trusts.
    pub fn system() -> Self {
        Self::new(None)
    }

    /// These and no others.
    pub fn only(certificates: Vec<CertificateDer<'static>>) -> Self {
        Self::new(Some(certificates))
    }

    fn new(only: Option<Vec<CertificateDer<'static>>>) -> Self {
        Self(Arc::new(Authorities {
            only,
            config: OnceCell::new(),
        }))
    }

    /// Reads the certificates, once. Files are read, so not on the thread of a guest.
    pub(in crate::engine) async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let read = async || {
            let trust = self.clone();
            tokio::task::spawn_blocking(move || trust.0.read()).await?
        };
        self.0.config.get_or_try_init(read).await.cloned()
    }
}

impl Authorities {
    /// A certificate that can't be read is left out: systems have some that are old and strange, and what they would vouch for then fails.
    fn read(&self) -> io::Result<Arc<ClientConfig>> {
        let certificates = match &self.only {
            Some(certificates) => certificates.clone(),
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// `getaddrinfo`, on a thread that may wait.
struct System;

impl Resolver for System {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}
