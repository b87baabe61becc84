//! Whom to trust.

use std::sync::Arc;

use rumqttc::{TlsConfiguration, Transport};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem, pem::PemObject},
};

use crate::{Ca, Options};

/// A TLS connection can't be set up, whatever the broker does.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What is configured can't be read as certificates.
    #[error("cannot read certificate authorities from {origin}")]
    Read {
        /// Where they are.
        origin: String,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There is nobody to trust.
    #[error("there are no usable certificate authorities in {origin}; name a PEM file of them for the broker")]
    Empty {
        /// Where they were looked for.
        origin: String,
    },
    /// The TLS library has no version of the protocol in common with itself.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

pub(crate) fn transport(options: &Options) -> Result<Transport, TlsError> {
    if !options.broker.is_secure() {
        return Ok(Transport::Tcp);
    }
    let roots = match &options.ca {
        Some(ca) => configured(ca)?,
        None => from_system()?,
    };
    // The provider is named, so that nothing depends on what the process installed, or on the order of it.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Transport::Tls(TlsConfiguration::Rustls(Arc::new(config))))
}

fn configured(ca: &Ca) -> Result<RootCertStore, TlsError> {
    let failed = |source| TlsError::Read {
        origin: ca.to_string(),
        source,
    };
    let certificates: Result<Vec<_>, _> = match ca {
        Ca::File(path) => CertificateDer::pem_file_iter(path).map_err(failed)?.collect(),
        Ca::Pem(text) => CertificateDer::pem_slice_iter(text.as_bytes()).collect(),
    };
    store(certificates.map_err(failed)?, || ca.to_string())
}

fn from_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read some of the system's certificate authorities");
    }
    store(found.certs, || "the system's store".to_owned())
}

fn store(
    certificates: Vec<CertificateDer<'static>>,
    origin: impl FnOnce() -> String,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TlsError::Empty { origin: origin() });
    }
    Ok(roots)
}
