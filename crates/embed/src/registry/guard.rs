//! What stands before the registry: who may write, and how much.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ferro_oci_server::{OciError, OciErrorCode};
use futures::StreamExt as _;
use http_body_util::Limited;
use secrecy::ExposeSecret;

use super::{Login, Writers};

/// What the distribution spec asks registries to take of a manifest.
const MANIFEST_BYTES: u64 = 4 << 20;

/// A request holds its body in memory, so it must end one day. As long as an artifact's client gives a whole push.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// How long a body is read that nobody wants.
const LINGER: Duration = Duration::from_secs(10);

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"propeller\"");

pub(super) struct Guard {
    pub(super) writers: Writers,
    pub(super) max_blob: u64,
}

/// Reading is open to everyone.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !guard.lets_write(peer.ip(), request.headers()) {
        tracing::warn!(%peer, method = %request.method(), path = request.uri().path(), "the registry refuses a write");
        return guard.refusal();
    }
    let limit = guard.limit(&request);
    if announced(request.headers()).is_some_and(|bytes| bytes > limit) {
        return too_large(request, limit).await;
    }
    let is_greeting = request.uri().path() == "/v2/";
    let bounded = request.map(|body| Body::new(Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX))));
    let Ok(mut response) = tokio::time::timeout(LONGEST, next.run(bounded)).await else {
        return error(
            StatusCode::REQUEST_TIMEOUT,
            OciErrorCode::BlobUploadInvalid,
            "the request takes too long",
        );
    };
    if is_greeting && guard.writers.login.is_some() {
        // Clients take from this that there are credentials to send, although nobody needs any here.
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    response
}

impl Guard {
    fn lets_write(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let by_login = self.writers.login.as_ref().is_some_and(|login| login.is_in(headers));
        by_login || (self.writers.this_machine && peer.to_canonical().is_loopback() && meant_for_this_machine(headers))
    }

    fn refusal(&self) -> Response {
        if self.writers.login.is_some() {
            let message = "to push to this registry, log in with the user name and password that it was started with";
            let mut response = error(StatusCode::UNAUTHORIZED, OciErrorCode::Unauthorized, message);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
            return response;
        }
        let message =
            "this registry takes pushes from its own machine only, under the name localhost or a loopback address";
        error(StatusCode::FORBIDDEN, OciErrorCode::Denied, message)
    }

    fn limit(&self, request: &Request) -> u64 {
        let of_manifest = request.uri().path().rsplit('/').nth(1) == Some("manifests");
        if of_manifest { MANIFEST_BYTES } else { self.max_blob }
    }
}

impl Login {
    /// Digests are compared, so that the time that it takes tells nothing of what is right.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let digest = ferro_blob_store::Digest::sha256_of;
        let wanted = format!("{}:{}", self.user, self.password.expose_secret());
        basic(headers).is_some_and(|said| digest(&said) == digest(wanted.as_bytes()))
    }
}

fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then_some(decoded)
}

/// A browser on this machine sends what any web page tells it to. It names the page in `Origin`, and the host as the page calls it, which
/// may be a name that leads here only now.
fn meant_for_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    !headers.contains_key(header::ORIGIN) && host.is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A client that is still sending wouldn't hear the answer, so it is let go on for a while.
async fn too_large(request: Request, limit: u64) -> Response {
    let mut body = request.into_body().into_data_stream();
    let all = async { while let Some(Ok(_)) = body.next().await {} };
    // If it takes longer, the client hears that the connection broke.
    drop(tokio::time::timeout(LINGER, all).await);
    let message = format!("larger than the {limit} bytes that this registry takes");
    error(StatusCode::PAYLOAD_TOO_LARGE, OciErrorCode::SizeInvalid, &message)
}

fn error(status: StatusCode, code: OciErrorCode, message: &str) -> Response {
    OciError::new(code, message).with_status(status).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_is_not_of_this_machine_whatever_it_says() {
        let guard = |this_machine| Guard {
            writers: Writers {
                this_machine,
                login: None,
            },
            max_blob: 0,
        };
        let headers: HeaderMap = [(header::HOST, HeaderValue::from_static("localhost:5000"))]
            .into_iter()
            .collect();
        for (peer, expected) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("fe80::1", false),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(guard(true).lets_write(peer, &headers), expected, "{peer}");
            assert!(!guard(false).lets_write(peer, &headers), "{peer}");
            assert!(!guard(true).lets_write(peer, &HeaderMap::new()), "{peer}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "localhost:5000",
            "LOCALHOST:1",
            "127.0.0.1:5000",
            "127.8.9.1",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org:5000",
            "localhost.example.org",
            "10.0.0.1:5000",
            "[fe80::1]:5000",
            "0.0.0.0:5000",
            "[",
            "::1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
