//! What is served: lines, and the documents by which the API server knows what there is.

use std::{pin::pin, sync::Arc};

use axum::{
    Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api as Objects, Client,
    api::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use propeller_api::{API_VERSION, GROUP, LOGS_GROUP, NamespacedName, VERSION, is_dns_label, is_dns_subdomain, types};
use propeller_control::{
    http::failure,
    logs::{
        Logs,
        answer::{self, Options},
    },
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    access::{self, Denied},
    door::Door,
};

/// Who follows at the same time. Each holds a connection, and a watch of the task.
const FOLLOWERS: usize = 256;

/// What answers need.
pub(super) struct Api {
    client: Client,
    watch_namespace: Option<String>,
    lease: (String, String),
    kept: watch::Receiver<Option<Logs>>,
    door: watch::Receiver<Option<Arc<Door>>>,
    followers: Arc<Semaphore>,
}

/// Why lines aren't shown, as Kubernetes says such things.
struct Failure {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Api {
    pub(super) fn new(
        client: Client,
        watch_namespace: Option<String>,
        lease: (String, String),
        kept: watch::Receiver<Option<Logs>>,
        door: watch::Receiver<Option<Arc<Door>>>,
    ) -> Self {
        Self {
            client,
            watch_namespace,
            lease,
            kept,
            door,
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        }
    }

    /// The lines, if this replica leads and has those of that namespace.
    async fn kept(&self, namespace: &str) -> Result<Logs, Failure> {
        if let Some(ours) = &self.watch_namespace
            && ours != namespace
        {
            let message = format!("the operator that serves what tasks wrote works in namespace {ours} only");
            return Err(Failure::unavailable(message));
        }
        let kept = self.kept.borrow().clone();
        match kept {
            Some(kept) => Ok(kept),
            None => Err(Failure::unavailable(self.who_leads().await)),
        }
    }

    async fn who_leads(&self) -> String {
        let (namespace, name) = &self.lease;
        let lease = Objects::<Lease>::namespaced(self.client.clone(), namespace)
            .get(name)
            .await;
        let holder = lease.ok().and_then(|lease| lease.spec?.holder_identity);
        let leader = holder.unwrap_or_else(|| "nobody".to_owned());
        format!(
            "this replica of the operator stands by, and what tasks wrote is where the leader is: {leader} leads. Try again; if it lasts, see whether \
             the leader has `--logs-address`"
        )
    }

    fn tasks(&self, namespace: &str) -> Objects<DynamicObject> {
        let kind = ApiResource::erase::<propeller_crd::Task>(&());
        Objects::namespaced_with(self.client.clone(), namespace, &kind)
    }

    async fn check(&self, headers: &HeaderMap, key: &NamespacedName) -> Result<(), Failure> {
        let door = self.door.borrow().clone();
        let user = door.and_then(|door| door.front.user(headers));
        let user =
            user.ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", "no header names a user"))?;
        let name = user.name.clone();
        access::check(self.client.clone(), user, key)
            .await
            .map_err(|denied| match denied {
                Denied::Forbidden => Failure::forbidden(&name, key),
                Denied::Unknown(why) => {
                    tracing::warn!(
                        why,
                        "whether a user may read lines can't be said: see that operator/rbac.yaml is applied"
                    );
                    Failure::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "InternalError",
                        "whether this user may can't be said: the log of the operator says why",
                    )
                }
            })
    }
}

pub(super) fn router(api: Arc<Api>) -> Router {
    let base = format!("/apis/{LOGS_GROUP}");
    Router::new()
        .route("/apis", get(async || json(StatusCode::OK, &groups())))
        .route(&base, get(async || json(StatusCode::OK, &group())))
        .route(
            &format!("{base}/{VERSION}"),
            get(async || json(StatusCode::OK, &resources())),
        )
        .route(
            &format!("{base}/{VERSION}/namespaces/{{namespace}}/tasks/{{name}}/log"),
            get(log),
        )
        .fallback(async |uri: Uri| {
            let message = format!("there is nothing at {}", uri.path());
            Failure::new(StatusCode::NOT_FOUND, "NotFound", message)
        })
        .with_state(api)
}

async fn log(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    options: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let key = NamespacedName { namespace, name };
    // Both become a part of a path.
    if !is_dns_label(&key.namespace) || !is_dns_subdomain(&key.name) {
        return Err(Failure::missing(&key.name));
    }
    api.check(&headers, &key).await?;
    let Query(options) =
        options.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, "BadRequest", error.body_text()))?;
    let logs = api.kept(&key.namespace).await?;
    let tasks = api.tasks(&key.namespace);
    let task = tasks.get_opt(&key.name).await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, task = %key, "a task can't be read");
        Failure::unavailable("the task can't be read: the log of the operator says why")
    })?;
    let uid = task
        .and_then(|task| task.metadata.uid)
        .ok_or_else(|| Failure::missing(&key.name))?;
    let place = match options.follow.0 {
        false => None,
        true => Some(Arc::clone(&api.followers).try_acquire_owned().map_err(|_| {
            let message = format!("{FOLLOWERS} follow what tasks write: try again later, or without following");
            Failure::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
        })?),
    };
    let ended = ended(tasks, key.name.clone(), uid.clone());
    let ended = async move {
        let _place = place;
        ended.await;
    };
    // An operator that stops breaks such answers off, so that nobody takes that for the end of the task.
    answer::answer(&logs, &uid, options, ended, CancellationToken::new())
        .await
        .map_err(|error| {
            tracing::warn!(%error, task = %key, "its lines can't be read");
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "the lines can't be read: the log of the operator says why",
            )
        })
}

/// Ready when that task has ended or is gone.
async fn ended(tasks: Objects<DynamicObject>, name: String, uid: String) {
    let mut changes = pin!(watch_object(tasks, &name).default_backoff());
    while let Some(change) = changes.next().await {
        // A watch that broke off begins anew.
        if change.is_ok_and(|task| has_ended(task.as_ref(), &uid)) {
            return;
        }
    }
}

/// As JSON, so that a task of a newer version has an end too.
fn has_ended(task: Option<&DynamicObject>, uid: &str) -> bool {
    let Some(task) = task.filter(|task| task.metadata.uid.as_deref() == Some(uid)) else {
        return true;
    };
    let conditions = task.data.pointer("/status/conditions").and_then(Value::as_array);
    let is_end = |condition: &Value| condition["type"] == types::FINISHED && condition["status"] == "True";
    conditions.is_some_and(|conditions| conditions.iter().any(is_end))
}

fn groups() -> Value {
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]})
}

fn group() -> Value {
    let version = json!({"groupVersion": format!("{LOGS_GROUP}/{VERSION}"), "version": VERSION});
    json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": LOGS_GROUP,
        "versions": [version],
        "preferredVersion": version,
    })
}

fn resources() -> Value {
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{LOGS_GROUP}/{VERSION}"),
        "resources": [{
            "name": "tasks/log",
            "singularName": "",
            "namespaced": true,
            "group": GROUP,
            "version": API_VERSION.rsplit('/').next(),
            "kind": "Task",
            "verbs": ["get"],
        }],
    })
}

fn json(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

impl Failure {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    fn missing(name: &str) -> Self {
        let message = format!("tasks.{GROUP} \"{name}\" not found");
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(GROUP, name)
    }

    fn forbidden(user: &str, key: &NamespacedName) -> Self {
        let NamespacedName { namespace, name } = key;
        let message = format!(
            "tasks.{LOGS_GROUP} \"{name}\" is forbidden: User \"{user}\" cannot get resource \"tasks/log\" in API group \"{LOGS_GROUP}\" in the \
             namespace \"{namespace}\""
        );
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(LOGS_GROUP, name)
    }

    fn about(mut self, group: &str, name: &str) -> Self {
        self.details = json!({"name": name, "group": group, "kind": "tasks"});
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        json(
            self.code,
            &failure(self.code, self.reason, &self.message, &self.details),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_ended_when_it_says_so_or_is_another() {
        let task = |uid: &str, status: Value| -> DynamicObject {
            let task = json!({"metadata": {"uid": uid}, "status": status});
            serde_json::from_value(task).unwrap()
        };
        let finished = |status: &str| json!({"conditions": [{"type": "Finished", "status": status}]});
        let check = |task: Option<DynamicObject>, expected: bool| {
            assert_eq!(has_ended(task.as_ref(), "uid-a"), expected, "{task:?}");
        };
        check(None, true);
        check(Some(task("uid-b", Value::Null)), true);
        check(Some(task("uid-a", Value::Null)), false);
        check(Some(task("uid-a", json!({"conditions": "of another kind"}))), false);
        check(Some(task("uid-a", finished("False"))), false);
        check(Some(task("uid-a", finished("True"))), true);
    }
}
