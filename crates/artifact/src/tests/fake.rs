//! A registry in this process that serves what it is told to, and misbehaves on demand.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use propeller_api::Digest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Reference, digest_of};

/// How a request is answered instead of properly.
#[derive(Clone)]
pub(super) enum Answer {
    Status(u16),
    Bytes(&'static [u8]),
    /// The connection ends after these bytes, of which one more is announced.
    Cut(&'static [u8]),
    Redirect(String),
    /// This status, and zeros without an end.
    Endless(u16),
    Never,
}

/// Stopped when dropped.
pub(super) struct Fake {
    pub(super) host: String,
    inside: Arc<Inside>,
    server: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Inside {
    content: Mutex<HashMap<String, Vec<u8>>>,
    answers: Mutex<Vec<(&'static str, usize, Answer)>>,
    seen: Mutex<Vec<Seen>>,
    token: Mutex<Option<String>>,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let inside = Arc::<Inside>::default();
        let app = Router::new().fallback(serve).with_state(inside.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { host, inside, server }
    }

    pub(super) fn reference(&self, tag: &str) -> Reference {
        super::reference(format!("{}/app:{tag}", self.host))
    }

    /// Serves an artifact with these layers (type and bytes) under a tag, and returns its manifest's digest.
    pub(super) fn publish(&self, tag: &str, layers: &[(&str, &[u8])]) -> Digest {
        let layers: Vec<_> = layers
            .iter()
            .map(|(media_type, bytes)| self.blob(media_type, bytes))
            .collect();
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}");
        self.manifest(tag, &json!({"schemaVersion": 2, "config": config, "layers": layers}))
    }

    /// Serves a blob, and returns the descriptor for it.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes);
        self.serve(format!("/v2/app/blobs/{digest}"), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Serves a manifest by tag and by digest.
    pub(super) fn manifest(&self, tag: &str, manifest: &Value) -> Digest {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = digest_of(&bytes);
        self.serve(format!("/v2/app/manifests/{digest}"), &bytes);
        self.serve(format!("/v2/app/manifests/{tag}"), &bytes);
        digest
    }

    pub(super) fn serve(&self, path: String, bytes: &[u8]) {
        self.inside.content.lock().unwrap().insert(path, bytes.to_vec());
    }

    /// Answers the next `times` requests whose path contains `part` like this.
    pub(super) fn answer(&self, part: &'static str, times: usize, answer: Answer) {
        self.inside.answers.lock().unwrap().push((part, times, answer));
    }

    /// From now on wants a bearer token, which it gives to everyone who asks.
    pub(super) fn require_token(&self) {
        *self.inside.token.lock().unwrap() =
            Some(format!(r#"Bearer realm="http://{}/token",service="fake""#, self.host));
    }

    /// The requests whose path contains `part`.
    pub(super) fn seen(&self, part: &str) -> Vec<Seen> {
        self.inside
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|seen| seen.path.contains(part))
            .cloned()
            .collect()
    }

    pub(super) fn count(&self, part: &str) -> usize {
        self.seen(part).len()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap().to_owned());
    inside.seen.lock().unwrap().push(Seen {
        path: path.clone(),
        authorization: authorization.clone(),
    });
    if let Some(answer) = inside.next_answer(&path) {
        return misbehave(answer).await;
    }
    if path == "/token" {
        return r#"{"token": "for-everyone"}"#.into_response();
    }
    let challenge = inside.token.lock().unwrap().clone();
    match challenge {
        Some(challenge) if authorization.as_deref() != Some("Bearer for-everyone") => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        }
        _ => inside.proper(request.method(), &path),
    }
}

impl Inside {
    fn proper(&self, method: &Method, path: &str) -> Response {
        let content = self.content.lock().unwrap();
        match (content.get(path), path) {
            (Some(bytes), _) if method == Method::GET => bytes.clone().into_response(),
            (_, "/v2/") => StatusCode::OK.into_response(),
            _ => (StatusCode::NOT_FOUND, r#"{"errors": [{"code": "MANIFEST_UNKNOWN"}]}"#).into_response(),
        }
    }

    fn next_answer(&self, path: &str) -> Option<Answer> {
        let mut answers = self.answers.lock().unwrap();
        let (_, times, answer) = answers
            .iter_mut()
            .find(|(part, times, _)| *times > 0 && path.contains(part))?;
        *times -= 1;
        Some(answer.clone())
    }
}

async fn misbehave(answer: Answer) -> Response {
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Bytes(bytes) => bytes.into_response(),
        Answer::Cut(bytes) => {
            let parts = [Ok(Bytes::from_static(bytes)), Err(io::Error::other("cut"))];
            let length = [(header::CONTENT_LENGTH, (bytes.len() + 1).to_string())];
            (length, Body::from_stream(futures::stream::iter(parts))).into_response()
        }
        Answer::Redirect(location) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response(),
        Answer::Endless(status) => {
            let zeros = futures::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 1 << 16])));
            (StatusCode::from_u16(status).unwrap(), Body::from_stream(zeros)).into_response()
        }
        Answer::Never => std::future::pending().await,
    }
}
