//! The HTTP API: the one of Kubernetes, for two kinds.
//!
//! Paths, bodies, watches and errors are those of
//! [custom resources](https://kubernetes.io/docs/reference/using-api/api-concepts/), so that a client of one shell is a client of the other. Beyond
//! them: Events, as of Kubernetes' core; `…/tasks/{name}/log`, `/apis/propeller.dev/v1alpha1/components?image=`, `/openapi.json`, and the web page. Everything but health, version
//! and the page's files needs the token.

mod event;
mod join;
mod list;
mod log;
mod objects;
mod openapi;
mod page;
mod select;
mod status;
#[cfg(test)]
mod tests;
mod watch;

use std::{future::Future, io, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use propeller_api::{API_VERSION, GROUP, VERSION};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::select::{Extract, Query, Selection};
pub use self::{
    join::{Joiner, NotJoined},
    status::Status,
};
use crate::{plane::Around, store::Store};

/// What is known of a component, by its reference.
pub type Inspector =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Value, Uninspected>> + Send>> + Send + Sync>;

/// Why a component can't be inspected.
#[derive(Debug)]
pub struct Uninspected {
    /// Whether the reference itself is wrong.
    pub is_invalid: bool,
    /// What people are told.
    pub message: String,
}

/// What the API serves.
#[derive(Clone)]
pub struct Api {
    /// The resources.
    pub store: Store,
    /// What the control plane tells beside them.
    pub around: Around,
    /// Who knows it may do everything.
    pub token: Arc<SecretString>,
    /// Looks at components.
    pub inspector: Inspector,
    /// Lets devices in, where there is a broker to let them into.
    pub joiner: Option<Arc<dyn Joiner>>,
    /// Ends watches, which last long.
    pub stop: CancellationToken,
}

/// Serves until `api.stop`.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(listener: TcpListener, api: Api) -> io::Result<()> {
    let stop = api.stop.clone();
    // Events of a watch are small, and the next mustn't wait for the last to be acknowledged, which clients take 40 ms for.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection can't be told not to wait");
        }
    });
    axum::serve(listener, router(api))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn router(api: Api) -> Router {
    let base = format!("/apis/{GROUP}/{VERSION}");
    let resources = Router::new()
        .route("/", get(kinds))
        .route("/components", get(component))
        .route("/{plural}", get(list_all))
        .route("/namespaces/{namespace}/{plural}", get(list_some).post(objects::create))
        .route("/namespaces/{namespace}/proplets/{name}/join", post(join::join))
        .route("/namespaces/{namespace}/tasks/{name}/log", get(log::log))
        .route(
            "/namespaces/{namespace}/{plural}/{name}",
            get(objects::get)
                .put(objects::replace)
                .patch(objects::patch)
                .delete(objects::delete),
        );
    let guarded = Router::new()
        .nest(&base, resources)
        .route("/api/v1/namespaces/{namespace}/events", get(event::events))
        .route("/openapi.json", get(async || Json(openapi::document())))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(api.clone(), guard));
    let open = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route(
            "/version",
            get(async || Json(json!({"version": env!("CARGO_PKG_VERSION")}))),
        );
    Router::new()
        .merge(open)
        .merge(guarded)
        .merge(page::router())
        .fallback(async |uri: Uri| Status::no_path(uri.path()))
        .method_not_allowed_fallback(async || Status::no_method())
        .with_state(api)
}

/// Lets those through who know the token.
async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::AUTHORIZATION);
    let said = header.and_then(|header| header.as_bytes().strip_prefix(b"Bearer "));
    // How long the comparison takes tells nothing of the token.
    let is_known = said.is_some_and(|said| bool::from(said.ct_eq(api.token.expose_secret().as_bytes())));
    if is_known {
        next.run(request).await
    } else {
        Status::unauthorized().into_response()
    }
}

async fn kinds() -> Json<Value> {
    let kind = |kind: crate::store::Kind| {
        json!({
            "name": kind.plural(),
            "singularName": kind.name().to_lowercase(),
            "namespaced": true,
            "kind": kind.name(),
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        })
    };
    Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": API_VERSION,
        "resources": crate::store::Kind::ALL.map(kind),
    }))
}

async fn list_all(
    State(api): State<Api>,
    Path(plural): Path<String>,
    Extract(query): Extract<Query>,
) -> Result<Response, Status> {
    list_or_watch(api, &plural, None, &query)
}

async fn list_some(
    State(api): State<Api>,
    Path((namespace, plural)): Path<(String, String)>,
    Extract(query): Extract<Query>,
) -> Result<Response, Status> {
    list_or_watch(api, &plural, Some(namespace), &query)
}

fn list_or_watch(api: Api, plural: &str, namespace: Option<String>, query: &Query) -> Result<Response, Status> {
    let selection = Selection::new(objects::kind(plural)?, namespace, query)?;
    if query.watch.0 {
        watch::watch(api.store, selection, query, api.stop)
    } else {
        Ok(Json(list::list(&api.store, &selection, query)?).into_response())
    }
}

#[derive(Debug, Deserialize)]
struct Which {
    image: Option<String>,
}

async fn component(State(api): State<Api>, Extract(which): Extract<Which>) -> Result<Json<Value>, Status> {
    let image = which.image.filter(|image| !image.is_empty());
    let image = image.ok_or_else(|| Status::bad_request("say which component: ?image=REFERENCE"))?;
    match (api.inspector)(image).await {
        Ok(component) => Ok(Json(component)),
        Err(Uninspected {
            is_invalid: true,
            message,
        }) => Err(Status::bad_request(message)),
        Err(Uninspected { message, .. }) => Err(Status::failed("ComponentUnavailable", message)),
    }
}

async fn readyz(State(api): State<Api>) -> (StatusCode, String) {
    match api.around.health.readiness() {
        Ok(_) => (StatusCode::OK, "ok\n".to_owned()),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], api.around.metrics.text()).into_response()
}
