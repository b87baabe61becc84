//! Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`. And what else is served has in common.

use std::{future::Future, io};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{health::Health, metrics::Metrics};

/// What an API of Kubernetes' says when it doesn't do what was asked: a
/// [Status](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/). `details` may be null.
pub fn failure(code: StatusCode, reason: &str, message: &str, details: &Value) -> Value {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    if !details.is_null() {
        status["details"] = details.clone();
    }
    status
}

/// A flag in a query: `true` and `1` are.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(from = "String")]
pub struct Flag(pub bool);

impl From<String> for Flag {
    fn from(text: String) -> Self {
        Self(matches!(text.as_str(), "true" | "1"))
    }
}

/// Serves until `shutdown` is ready.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(text))
        .with_state((health, metrics));
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn readyz(State((health, _)): State<(Health, Metrics)>) -> impl IntoResponse {
    match health.readiness() {
        Ok(role) => (StatusCode::OK, format!("{role}\n")),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
    }
}

async fn text(State((_, metrics)): State<(Health, Metrics)>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics.text())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn it_tells_the_truth() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::default();
        tokio::spawn(serve(
            listener,
            health.clone(),
            Metrics::default(),
            std::future::pending(),
        ));
        let get = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let check = async |path: &str, status: &str, text: &str| {
            let answer = get(path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(text),
                "{path}: {answer}"
            );
        };
        check("/healthz", "200", "ok").await;
        check("/readyz", "200", "standby").await;
        health.set_leader(true);
        check("/readyz", "503", "caches").await;
        health.set_in_sync(true);
        check("/readyz", "503", "broker").await;
        health.set_connected(true);
        check("/readyz", "200", "leader").await;
        check("/metrics", "200", "# TYPE propeller_plans counter").await;
        check("/", "404", "").await;
    }
}
