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
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
    serve::ListenerExt,
};
use propeller_api::{API_VERSION, GROUP, VERSION};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::{net::TcpListener, sync::Mutex};
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

/// Why a component can't be inspected, and what people are told.
#[derive(Debug)]
pub enum Uninspected {
    /// The reference itself is wrong.
    Invalid(String),
    /// The registry has no such repository or tag.
    Missing(String),
    /// The registry doesn't give it, or what it gives can't be read.
    Unavailable(String),
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
    /// Held by who lets a device in, or takes it away, from what it sees in the store to what it writes there.
    pub door: Arc<Mutex<()>>,
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
    let guarded = routed(guarded()).layer(middleware::from_fn_with_state(api.clone(), guard));
    Router::new()
        .merge(routed(open()))
        .merge(guarded)
        .merge(page::router())
        .fallback(async |uri: Uri| Status::no_path(uri.path()))
        .method_not_allowed_fallback(async || Status::no_method())
        .with_state(api)
}

/// Paths, and who answers there. Each is described in [`openapi`].
type Routes = Vec<(String, MethodRouter<Api>)>;

/// What everybody is answered.
fn open() -> Routes {
    vec![
        ("/healthz".to_owned(), get(async || "ok\n")),
        ("/readyz".to_owned(), get(readyz)),
        (
            "/version".to_owned(),
            get(async || Json(json!({"version": env!("CARGO_PKG_VERSION")}))),
        ),
    ]
}

/// What those are answered who know the token.
fn guarded() -> Routes {
    let base = format!("/apis/{GROUP}/{VERSION}");
    let inside = format!("{base}/namespaces/{{namespace}}");
    let one = get(objects::get)
        .put(objects::replace)
        .patch(objects::patch)
        .delete(objects::delete);
    vec![
        (base.clone(), get(kinds)),
        (format!("{base}/components"), get(component)),
        (format!("{base}/{{plural}}"), get(list_all)),
        (format!("{inside}/{{plural}}"), get(list_some).post(objects::create)),
        (format!("{inside}/{{plural}}/{{name}}"), one),
        (format!("{inside}/proplets/{{name}}/join"), post(join::join)),
        (format!("{inside}/tasks/{{name}}/log"), get(log::log)),
        ("/api/v1/namespaces/{namespace}/events".to_owned(), get(event::events)),
        ("/openapi.json".to_owned(), get(async || Json(openapi::document()))),
        ("/metrics".to_owned(), get(metrics)),
    ]
}

fn routed(routes: Routes) -> Router<Api> {
    let add = |router: Router<Api>, (path, methods): (String, MethodRouter<Api>)| router.route(&path, methods);
    routes.into_iter().fold(Router::new(), add)
}

/// Lets those through who know the token.
async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let said = bearer(request.headers());
    // How long the comparison takes tells nothing of the token.
    let is_known = said.is_some_and(|said| bool::from(said.ct_eq(api.token.expose_secret().as_bytes())));
    if is_known {
        next.run(request).await
    } else {
        Status::unauthorized(said.is_some()).into_response()
    }
}

/// The token that a request has. How the scheme is spelt means nothing
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-11.1)).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let said = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, rest) = said.split_at_checked("Bearer".len())?;
    let token = rest.strip_prefix(b" ")?.trim_ascii_start();
    (scheme.eq_ignore_ascii_case(b"Bearer") && !token.is_empty()).then_some(token)
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
        Err(Uninspected::Invalid(message)) => Err(Status::bad_request(message)),
        Err(Uninspected::Missing(message)) => Err(Status::absent(message)),
        Err(Uninspected::Unavailable(message)) => Err(Status::failed("ComponentUnavailable", message)),
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
