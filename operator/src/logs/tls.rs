//! TLS, which only the API server's front proxy gets through: with a certificate of the authorities and with one of the names that the cluster says.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::serve::Listener;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::door::{Door, Front, Identity};

/// Connections that haven't shown a certificate yet. More wait in the system's queue.
const HANDSHAKES: usize = 64;
/// How long one may take for that.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// After the system refused a connection: of too many files, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Lets the front proxy in, as whom we say that we are.
pub(super) fn config(front: &Front, identity: &Identity) -> Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    for authority in &front.authorities {
        roots
            .add(authority.clone())
            .context("the cluster names an authority that can't be one")?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .context("the cluster's authorities can't be used")?;
    let verifier = Arc::new(OfNames {
        verifier,
        names: front.names.clone(),
    });
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let mut config = config
        .with_single_cert(identity.chain(), identity.key())
        .context("logs.certificate and logs.key can't be used together")?;
    // Who comes back shows the certificate again, since it may not count any more.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Beside the authority, the name counts.
#[derive(Debug)]
struct OfNames {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Empty is all.
    names: Vec<String>,
}

impl ClientCertVerifier for OfNames {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(certificate, between, now)?;
        let name = common_name(certificate);
        let is_one = |name: &str| self.names.iter().any(|wanted| wanted == name);
        if self.names.is_empty() || name.as_deref().is_some_and(is_one) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// `CN` of a certificate's subject.
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    name_in(certificate.subject())
}

/// Of the sequence of sets of pairs that a subject is in DER. Of several, the last one, as Go has it.
fn name_in(mut subject: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const OID: u8 = 0x06;
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    let mut name = None;
    while !subject.is_empty() {
        let (_, mut set) = element(&mut subject)?;
        while !set.is_empty() {
            let (_, mut pair) = element(&mut set)?;
            let (kind, value) = (element(&mut pair)?, element(&mut pair)?);
            if kind == (OID, COMMON_NAME) && matches!(value.0, UTF8 | PRINTABLE) {
                name = Some(String::from_utf8(value.1.to_vec()).ok()?);
            }
        }
    }
    name
}

/// The next element's tag and contents.
fn element<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ ..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((*tag, contents))
}

/// Connections that got through.
pub(super) struct TlsListener {
    through: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    accepting: AbortHandle,
}

impl TlsListener {
    /// Whoever comes before there is a door is sent away.
    pub(super) fn new(listener: TcpListener, door: watch::Receiver<Option<Arc<Door>>>) -> Result<Self> {
        let address = listener.local_addr()?;
        let (sender, through) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, door, sender)).abort_handle();
        Ok(Self {
            through,
            address,
            accepting,
        })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.through.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Each handshake in a task of its own, so that one that is slow holds up nobody.
async fn accept(
    listener: TcpListener,
    door: watch::Receiver<Option<Arc<Door>>>,
    through: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection for lines of tasks can't be accepted");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Some(door) = door.borrow().clone() else { continue };
        let through = through.clone();
        tokio::spawn(async move {
            match timeout(HANDSHAKE, TlsAcceptor::from(Arc::clone(&door.tls)).accept(stream)).await {
                Ok(Ok(stream)) => drop(through.send((stream, address)).await),
                Ok(Err(error)) => {
                    tracing::debug!(%error, %address, "somebody else than the API server asked for lines")
                }
                Err(_) => tracing::debug!(%address, "somebody asked for lines and said nothing"),
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_of_whom_it_names() {
        let check = |names: &[(DnType, &str)], expected: Option<&str>| {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, name) in names {
                params.distinguished_name.push(kind.clone(), *name);
            }
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(common_name(certificate.der()).as_deref(), expected, "{names:?}");
        };
        let long = "x".repeat(300);
        check(
            &[(DnType::CommonName, "front-proxy-client")],
            Some("front-proxy-client"),
        );
        check(&[(DnType::OrganizationName, "front-proxy-client")], None);
        check(
            &[(DnType::OrganizationName, &long), (DnType::CommonName, "aggregator")],
            Some("aggregator"),
        );
        check(&[(DnType::CommonName, &long)], Some(&long));
        check(&[], None);
    }

    #[test]
    fn what_is_no_name_is_none() {
        for bytes in [
            &[0x31][..],
            &[0x31, 0x05, 0x30],
            &[0x31, 0x84, 1, 1, 1, 1],
            &[0x31, 0x02, 0x30, 0x00],
        ] {
            assert_eq!(name_in(bytes), None, "{bytes:?}");
        }
    }
}
