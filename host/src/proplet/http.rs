//! Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use super::{metrics::Metrics, vitals::Doctor};

/// What is told.
#[derive(Clone)]
pub struct Told {
    /// Asks the parts.
    pub doctor: Doctor,
    /// Counts.
    pub metrics: Metrics,
    /// The journal's file.
    pub journal: PathBuf,
}

/// Serves until it is dropped.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(listener: TcpListener, told: Told) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(told);
    axum::serve(listener, router).await
}

async fn healthz(State(told): State<Told>) -> impl IntoResponse {
    match told.doctor.pulse().await {
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the event loop does not answer\n"),
    }
}

async fn readyz(State(told): State<Told>) -> impl IntoResponse {
    let readiness = told.doctor.readiness().await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // Strings and booleans always have a JSON form.
    let body = serde_json::to_string(&readiness).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body + "\n")
}

async fn metrics(State(told): State<Told>) -> impl IntoResponse {
    if let Ok(file) = tokio::fs::metadata(&told.journal).await {
        told.metrics.journal(file.len());
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], told.metrics.text())
}
