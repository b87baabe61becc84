//! From a host that was granted to a connection with it, over an address that was looked at.
//!
//! A name is resolved once, here, and the connection goes to one of the very addresses that were checked. Whoever owns the name can't
//! answer the check with one address and the connection with another.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use crate::engine::grants::{Means, address};

/// The name that means this machine.
const LOCALHOST: &str = "localhost";

/// What bytes go through, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Whether a name that was granted may lead to the address.
pub(super) fn is_reachable(name: &str, address: IpAddr) -> bool {
    !address::is_special(address) || (name == LOCALHOST && address::is_loopback(address))
}

/// Connects to a host that was granted: a name in lower case, or an address, which stands for itself.
pub(super) async fn connect(
    means: &Means,
    host: &str,
    port: u16,
    tls: bool,
    patience: Duration,
) -> Result<Box<dyn Stream>, Error> {
    let deadline = Instant::now() + patience;
    let addresses = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => timeout_at(deadline, resolve(means, host))
            .await
            .map_err(|_| Error::DnsTimeout)??,
    };
    let stream = connect_to_one(&addresses, port, deadline).await?;
    if !tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
    timeout_at(deadline, shake_hands(means, name, stream))
        .await
        .map_err(|_| Error::ConnectionTimeout)?
}

async fn resolve(means: &Means, name: &str) -> Result<Vec<IpAddr>, Error> {
    let unresolved = |_| Error::DnsError {
        rcode: None,
        info_code: None,
    };
    let mut addresses = means.resolver.resolve(name).await.map_err(unresolved)?;
    if addresses.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    addresses.retain(|address| is_reachable(name, *address));
    match addresses.is_empty() {
        true => Err(Error::DestinationIpProhibited),
        false => Ok(addresses),
    }
}

/// Tries one after the other. One that doesn't answer leaves the others their share of the time.
async fn connect_to_one(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Error> {
    let mut failure = Error::DestinationNotFound;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let connecting = TcpStream::connect(SocketAddr::new(*address, port));
        failure = match timeout_at(Instant::now() + share, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => unconnected(&error),
            Err(_) => Error::ConnectionTimeout,
        };
    }
    Err(failure)
}

fn unconnected(error: &io::Error) -> Error {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        ConnectionRefused => Error::ConnectionRefused,
        HostUnreachable | NetworkUnreachable => Error::DestinationIpUnroutable,
        TimedOut => Error::ConnectionTimeout,
        _ => Error::DestinationUnavailable,
    }
}

async fn shake_hands(means: &Means, name: ServerName<'static>, stream: TcpStream) -> Result<Box<dyn Stream>, Error> {
    let config = means.trust.config().await.map_err(|_| Error::ConfigurationError)?;
    let connector = TlsConnector::from(Arc::clone(&config));
    let stream = connector.connect(name, stream).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
            _ => Error::TlsProtocolError,
        }
    })?;
    Ok(Box::new(stream))
}
