//! Outgoing `wasi:http`, 0.2 and 0.3: requests to hosts that were granted.
//!
//! Every request is looked at by itself. Redirects are the guest's affair: each it follows is another request.

use std::sync::Arc;

use http::{Method, Request, Response, Uri, uri::Scheme};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, p2, p3};

use super::exchange::{CONNECTION_BYTES, CONNECTIONS, Exchange, from_hyper};
use crate::engine::{Granted, grants::Capabilities, memory::Account, traffic::Traffic};

/// What a guest may write to a body at once. Two of these may wait in a body of 0.2, one in a body of 0.3.
const CHUNK: usize = 32 << 10;

/// What sends a run's requests.
pub(in crate::engine) struct Outgoing {
    granted: Granted,
    memory: Account,
    traffic: Traffic,
    /// Made with the first request: most runs send none.
    connections: Option<Arc<Semaphore>>,
}

impl Outgoing {
    pub(super) fn new(granted: &Granted, memory: &Account, traffic: &Traffic) -> Self {
        Self {
            granted: granted.clone(),
            memory: memory.clone(),
            traffic: traffic.clone(),
            connections: None,
        }
    }

    /// What is refused is refused here, before anything is sent or resolved.
    fn permit(&mut self, request: &Request<WasiBody>, options: Option<RequestOptions>) -> Result<Exchange, Error> {
        let target = Target::of(request)?;
        let granted = self.granted.capabilities().ok_or(Error::HttpRequestDenied)?;
        if !target.is_granted(granted) {
            return Err(Error::HttpRequestDenied);
        }
        let connections = self
            .connections
            .get_or_insert_with(|| Arc::new(Semaphore::new(CONNECTIONS)));
        let turn = connections.clone().try_acquire_owned();
        Ok(Exchange {
            means: granted.means.clone(),
            target,
            options: options.unwrap_or_default(),
            traffic: self.traffic.clone(),
            turn: turn.map_err(|_| Error::ConnectionLimitReached)?,
            buffers: self
                .memory
                .reserve(CONNECTION_BYTES)
                .ok_or(Error::ConnectionLimitReached)?,
        })
    }
}

/// Whom a request is for.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Target {
    fn of(request: &Request<WasiBody>) -> Result<Self, Error> {
        // Not a request but a tunnel, through which anything could be said to anyone.
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        Self::of_uri(request.uri()).ok_or(Error::HttpRequestUriInvalid)
    }

    /// A user's name before the host is a way to make one look like another, and has no meaning in HTTP.
    fn of_uri(uri: &Uri) -> Option<Self> {
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        // `authority.port()` has no port either where there is one that is none.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" if tls => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        (!host.is_empty()).then_some(Self { host, port, tls })
    }

    fn is_granted(&self, granted: &Capabilities) -> bool {
        granted.http.iter().any(|target| target.matches(&self.host, self.port))
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send> {
        let exchange = self.permit(&request, options);
        Box::new(async move {
            let (response, io) = exchange?.send(request).await?;
            Ok((response, Box::new(io) as Io))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> p2::bindings::http::types::ErrorCode {
        use p2::bindings::http::types::ErrorCode;
        match from_hyper(error) {
            Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
            Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
            _ => ErrorCode::HttpProtocolError,
        }
    }

    fn p3_error_from_hyper(&mut self, error: &hyper::Error) -> p3::bindings::http::types::ErrorCode {
        use p3::bindings::http::types::ErrorCode;
        match from_hyper(error) {
            Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
            Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
            _ => ErrorCode::HttpProtocolError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_request_is_for() {
        let check = |uri: &str, expected: Option<(&str, u16, bool)>| {
            let target = Target::of_uri(&uri.parse().unwrap());
            let found = target
                .as_ref()
                .map(|target| (target.bare_host(), target.port, target.tls));
            assert_eq!(found, expected, "{uri}");
        };
        check("http://Example.com/", Some(("example.com", 80, false)));
        check("https://example.com./", Some(("example.com", 443, true)));
        check("https://example.com:8443/", Some(("example.com", 8443, true)));
        check("http://[::1]:80/", Some(("::1", 80, false)));
        check("http://example.com:99999/", None);
        check("http://good.example@evil.example/", None);
        check("/path", None);
    }
}
