//! What tasks wrote, for who may read it: an aggregated API of Kubernetes'.
//!
//! ```text
//!  propeller logs --kube ──► API server ── front-proxy certificate, X-Remote-User ──► tls ──► api ──► the leader's lines
//!                              ▲   who is it?                                          ▲      │
//!                              │                                                     door     └──► access: may this user?
//!                              └────────── ConfigMap, SubjectAccessReview, EndpointSlice ─────────────────┘
//! ```
//!
//! [`door`] learns from the cluster whose certificate opens, and which headers name a user. [`tls`] lets nobody else in. [`api`] answers, once
//! [`access`] has asked whether the user may; only the leader hears lines, so a standby says who leads. [`route`] leads the Service to the leader.
//!
//! Never here: a user who is believed without the certificate, and an answer of no lines where there may be some elsewhere.

mod access;
mod api;
mod door;
mod route;
mod tls;

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::serve;
use kube::Client;
use propeller_control::logs::Logs;
use tokio::{net::TcpListener, sync::watch};

use crate::settings;
use api::Api;
use door::Identity;
use tls::TlsListener;

pub(crate) use route::publish;

/// What lines are served with.
pub(crate) struct Config {
    pub(crate) client: Client,
    pub(crate) settings: settings::Logs,
    /// The one namespace that the operator works in; `None` is all.
    pub(crate) watch_namespace: Option<String>,
    /// The Lease that says who leads: namespace and name.
    pub(crate) lease: (String, String),
    /// The lines, while this replica leads.
    pub(crate) kept: watch::Receiver<Option<Logs>>,
}

/// Serves them, by a leader and by a standby, for ever.
///
/// # Errors
///
/// When the certificate can't be used, or the listener fails.
pub(crate) async fn serve_lines(listener: TcpListener, config: Config) -> Result<()> {
    let Config {
        client,
        settings,
        watch_namespace,
        lease,
        kept,
    } = config;
    let identity = Identity::new(settings.identity, &lease.0)?;
    let (opened, door) = watch::channel(None);
    let listener = TlsListener::new(listener, door.clone())?;
    let api = Arc::new(Api::new(client.clone(), watch_namespace, lease, kept, door));
    tokio::select! {
        ended = async { serve(listener, api::router(api)).await } => ended.context("lines of tasks can't be served"),
        () = door::watch(client, identity, opened) => Ok(()),
    }
}
