use std::{collections::BTreeSet, future, sync::Mutex, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use propeller_api::{NamespacedName, PropletId};
use propeller_control::{
    brain::{About, Notice, Severity},
    health::Health,
    logs::Logs,
    metrics::Metrics,
};
use propeller_protocol::{AttemptRef, Logs as Lines, Sender, Stream, TaskRef};
use reqwest::{Method, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    events::Events,
    store::{Kind, Operation, Resource},
};

mod description;
mod devices;
mod streams;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and somebody who knows its token.
struct World {
    api: Api,
    url: String,
    client: reqwest::Client,
    _folder: TempDir,
}

/// Lets devices in, by their names alone.
#[derive(Default)]
struct Door(Mutex<BTreeSet<String>>);

impl Door {
    fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap().contains(id)
    }

    fn add(&self, id: &str) -> bool {
        self.0.lock().unwrap().insert(id.to_owned())
    }
}

impl Joiner for Door {
    fn join(&self, id: &PropletId, replaces: bool) -> Result<Value, NotJoined> {
        match self.add(id.as_str()) || replaces {
            true => Ok(json!({"id": id})),
            false => Err(NotJoined::Exists),
        }
    }

    fn leave(&self, id: &PropletId) -> Result<bool, NotJoined> {
        Ok(self.0.lock().unwrap().remove(id.as_str()))
    }
}

impl World {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(joiner: Option<Arc<dyn Joiner>>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let inspector: Inspector = Arc::new(|image| {
            Box::pin(future::ready(match image.as_str() {
                "lab/add:1" => Ok(json!({"component": "sha256:1"})),
                "a b" => Err(Uninspected::Invalid("no reference".into())),
                "lab/none:1" => Err(Uninspected::Missing("no such tag".into())),
                _ => Err(Uninspected::Unavailable("nobody there".into())),
            }))
        });
        let api = Api {
            store: Store::open(&folder.path().join("state.db")).unwrap(),
            around: Around {
                logs: Logs::open(&folder.path().join("logs"), Default::default()).unwrap(),
                events: Events::default(),
                metrics: Metrics::default(),
                health: Health::default(),
            },
            token: Arc::new("let-me-in".into()),
            inspector,
            joiner,
            door: Arc::default(),
            stop: CancellationToken::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, api.clone()));
        Self {
            api,
            url,
            client: reqwest::Client::new(),
            _folder: folder,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.address(path)).bearer_auth("let-me-in")
    }

    /// Paths that don't begin with a slash are below the API group.
    fn address(&self, path: &str) -> String {
        let base = if path.starts_with('/') {
            ""
        } else {
            "/apis/propeller.dev/v1alpha1/"
        };
        format!("{}{base}{path}", self.url)
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(method.clone(), path);
        let request = match (method, body) {
            (_, Value::Null) => request,
            (Method::PATCH, body) => request
                .header("content-type", "application/merge-patch+json")
                .body(body.to_string()),
            (_, body) => request.json(&body),
        };
        answer(request.send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, Value::Null).await
    }

    async fn create(&self, name: &str, labels: Value) -> Value {
        let mut task = task(name);
        task["metadata"]["labels"] = labels;
        let (code, made) = self.ask(Method::POST, "namespaces/lab/tasks", task).await;
        assert_eq!(code, 201, "{made}");
        made
    }

    /// The lines of a stream, until `enough` of them are there.
    async fn lines(&self, path: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let mut stream = response.bytes_stream();
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        let read = async {
            while !enough(&lines) {
                let Some(chunk) = stream.next().await else { return };
                text.extend_from_slice(&chunk.unwrap());
                let whole = text
                    .split_inclusive(|byte| *byte == b'\n')
                    .filter(|line| line.ends_with(b"\n"));
                lines = whole.map(|line| serde_json::from_slice(line).unwrap()).collect();
            }
        };
        timeout(PATIENCE, read)
            .await
            .unwrap_or_else(|_| panic!("{path}: {lines:?}"));
        lines
    }

    /// The control plane says that the task has ended.
    async fn finish(&self, name: &str) {
        let key = propeller_api::NamespacedName {
            namespace: "lab".into(),
            name: name.into(),
        };
        let found = self.api.store.get(Kind::Task, &key).unwrap();
        let mut json = serde_json::to_value(&*found).unwrap();
        let finished = json!({
            "type": "Finished", "status": "True", "reason": "Completed", "message": "it returned",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json["status"] = json!({"phase": "Completed", "results": 42, "conditions": [finished]});
        let task = Resource::read(Kind::Task, &json).unwrap();
        self.api.store.write(Operation::Status(task)).await.unwrap();
    }

    fn write(&self, task: &Value, line: &str) {
        let uid = task["metadata"]["uid"].as_str().unwrap().to_owned();
        let name = task["metadata"]["name"].as_str().unwrap().to_owned();
        let lines = Lines {
            sender: Sender {
                journal: "journal".parse().unwrap(),
                boot: "boot".parse().unwrap(),
                sequence: 1,
            },
            attempt: AttemptRef {
                task: TaskRef {
                    namespace: "lab".into(),
                    name,
                    uid,
                },
                attempt: 1,
            },
            stream: Stream::Stdout,
            lines: vec![line.to_owned()],
        };
        assert!(self.api.around.logs.keep(lines));
    }
}

async fn answer(response: Response) -> (u16, Value) {
    let code = response.status().as_u16();
    let text = response.text().await.unwrap();
    (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn task(name: &str) -> Value {
    json!({
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "annotations": {"note": "kept"}},
        "spec": {"image": "localhost:5000/add:1", "call": {"function": "add", "args": [20, 22]}},
    })
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let world = World::new().await;
    for path in ["/apis/propeller.dev/v1alpha1/tasks", "/openapi.json", "/metrics"] {
        for token in [None, Some("let-me-i"), Some("let-me-inn"), Some("")] {
            let request = world.client.get(format!("{}{path}", world.url));
            let request = token
                .into_iter()
                .fold(request, |request, token| request.bearer_auth(token));
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{path}");
            let (code, status) = answer(response).await;
            assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")), "{path}");
        }
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
    for (header, code, words) in [
        ("bearer let-me-in", 200, ""),
        ("BEARER  let-me-in", 200, ""),
        ("Bearerlet-me-in", 401, "Authorization: Bearer"),
        ("Basic let-me-in", 401, "Authorization: Bearer"),
        ("Bearer", 401, "Authorization: Bearer"),
        ("Bearer Let-me-in", 401, "isn't this control plane's token"),
    ] {
        let request = world.client.get(world.address("tasks")).header("authorization", header);
        let (found, status) = answer(request.send().await.unwrap()).await;
        assert_eq!(found, code, "{header}: {status}");
        assert!(
            code == 200 || status["message"].as_str().unwrap().contains(words),
            "{header}: {status}"
        );
    }
    for path in ["/healthz", "/readyz", "/version"] {
        let response = world.client.get(format!("{}{path}", world.url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    world.api.around.health.set_leader(true);
    assert_eq!(world.get("/readyz").await.0, 503);
}

#[tokio::test]
async fn a_resource_is_made_read_changed_and_deleted() {
    let world = World::new().await;
    let made = world.create("a", json!({"site": "lab"})).await;
    let metadata = &made["metadata"];
    assert_eq!(
        (&metadata["namespace"], &metadata["generation"]),
        (&json!("lab"), &json!(1))
    );
    assert_eq!(metadata["annotations"]["note"], "kept");
    assert_eq!(world.get("namespaces/lab/tasks/a").await, (200, made.clone()));

    let mut other = made.clone();
    other["spec"]["priority"] = json!(7);
    let (code, replaced) = world.ask(Method::PUT, "namespaces/lab/tasks/a", other.clone()).await;
    assert_eq!((code, &replaced["metadata"]["generation"]), (200, &json!(2)));
    let (code, status) = world.ask(Method::PUT, "namespaces/lab/tasks/a", other).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));

    other_without_version(&world, &made).await;

    let patch = json!({"spec": {"priority": null, "suspend": true}, "metadata": {"labels": {"site": null, "x": "y"}}});
    let (code, patched) = world.ask(Method::PATCH, "namespaces/lab/tasks/a", patch).await;
    assert_eq!((code, &patched["spec"]["suspend"]), (200, &json!(true)));
    assert_eq!(patched["metadata"]["labels"], json!({"x": "y"}));
    assert_eq!(patched["spec"].get("priority"), None);
    let text = world.request(Method::PATCH, "namespaces/lab/tasks/a").body("{}");
    assert_eq!(answer(text.send().await.unwrap()).await.0, 415);

    let wrong = json!({"preconditions": {"uid": "another"}});
    let (code, status) = world.ask(Method::DELETE, "namespaces/lab/tasks/a", wrong).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let right = json!({"preconditions": {"uid": metadata["uid"]}});
    let (code, status) = world.ask(Method::DELETE, "namespaces/lab/tasks/a", right).await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    for method in [Method::GET, Method::DELETE] {
        let (code, status) = world.ask(method, "namespaces/lab/tasks/a", Value::Null).await;
        assert_eq!((code, &status["details"]["name"]), (404, &json!("a")));
    }
}

/// It would undo what others changed meanwhile.
async fn other_without_version(world: &World, made: &Value) {
    for version in [Value::Null, json!("")] {
        let mut other = made.clone();
        other["metadata"]["resourceVersion"] = version;
        let (code, status) = world.ask(Method::PUT, "namespaces/lab/tasks/a", other).await;
        assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{status}");
    }
    // What isn't done dry isn't done.
    for method in [Method::PUT, Method::PATCH] {
        let path = "namespaces/lab/tasks/a?dryRun=All";
        let (code, status) = world.ask(method.clone(), path, made.clone()).await;
        assert_eq!(code, 400, "{method}: {status}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let world = World::new().await;
    world.create("a", Value::Null).await;
    let check = async |body: Value, code: u16, reason: &str, words: &str| {
        let (found, status) = world.ask(Method::POST, "namespaces/lab/tasks", body).await;
        assert_eq!((found, status["reason"].as_str()), (code, Some(reason)), "{status}");
        assert!(status["message"].as_str().unwrap().contains(words), "{status}");
    };
    let with = |pointer: &str, value: Value| {
        let mut task = task("b");
        *task.pointer_mut(pointer).unwrap() = value;
        task
    };
    check(task("a"), 409, "AlreadyExists", "\"a\" already exists").await;
    check(
        with("/spec/image", json!("")),
        422,
        "Invalid",
        "spec.image: has 0 characters",
    )
    .await;
    check(
        with("/spec/call", json!({"function": 7})),
        422,
        "Invalid",
        "spec.call.function: invalid type",
    )
    .await;
    check(
        with("/spec", json!({"imag": "x"})),
        422,
        "Invalid",
        "unknown field `imag`",
    )
    .await;
    check(with("/metadata/name", json!("B")), 422, "Invalid", "metadata.name").await;
    check(with("/kind", json!("Proplet")), 422, "Invalid", "kind is `Proplet`").await;
    check(
        with("/metadata", json!({"name": "b", "namespace": "roof"})),
        400,
        "BadRequest",
        "the path says lab",
    )
    .await;
    check(json!({"a": 1}), 400, "BadRequest", "no metadata").await;
    check(
        json!({"a": "x".repeat(1 << 20)}),
        413,
        "RequestEntityTooLarge",
        "1048576 bytes",
    )
    .await;
    let text = world.request(Method::POST, "namespaces/lab/tasks").body("{");
    let (code, status) = answer(text.send().await.unwrap()).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));

    for (path, code, reason) in [
        ("pods", 404, "NoSuchPath"),
        ("/elsewhere", 404, "NoSuchPath"),
        ("namespaces/lab/tasks/a/status", 404, "NoSuchPath"),
        ("namespaces/lab/tasks/b", 404, "NotFound"),
        ("namespaces/lab/tasks?limit=x", 400, "BadRequest"),
        ("tasks?labelSelector=a%20b", 400, "BadRequest"),
        ("tasks?fieldSelector=status.phase=Completed", 400, "BadRequest"),
        ("tasks?continue=x", 400, "BadRequest"),
        ("tasks?watch=true&resourceVersion=x", 400, "BadRequest"),
        ("components", 400, "BadRequest"),
        ("components?image=a%20b", 400, "BadRequest"),
        ("components?image=lab/none:1", 404, "NotFound"),
        ("components?image=lab/sub:1", 502, "ComponentUnavailable"),
    ] {
        let (found, status) = world.get(path).await;
        let told = (found, status["kind"].as_str(), status["reason"].as_str());
        assert_eq!(told, (code, Some("Status"), Some(reason)), "{path}: {status}");
    }
    assert_eq!(
        world.ask(Method::POST, "namespaces/lab/tasks/a", task("a")).await.0,
        405
    );
    assert_eq!(
        world.get("components?image=lab/add:1").await,
        (200, json!({"component": "sha256:1"}))
    );
}

#[tokio::test]
async fn a_name_is_found_for_what_has_a_beginning_of_one() {
    let world = World::new().await;
    let mut task = task("");
    task["metadata"] = json!({"generateName": "add-"});
    let mut made = Vec::new();
    for _ in 0..2 {
        let (code, task) = world.ask(Method::POST, "namespaces/lab/tasks", task.clone()).await;
        assert_eq!(code, 201, "{task}");
        made.push(task["metadata"]["name"].as_str().unwrap().to_owned());
    }
    assert!(
        made.iter().all(|name| name.starts_with("add-") && name.len() == 9) && made[0] != made[1],
        "{made:?}"
    );
    let (code, _) = world
        .ask(Method::POST, "namespaces/lab/tasks?dryRun=All", self::task("dry"))
        .await;
    assert_eq!((code, world.get("namespaces/lab/tasks/dry").await.0), (201, 404));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let world = World::new().await;
    let made = world.create("a", Value::Null).await;
    let path = "namespaces/lab/tasks/a";
    let all = json!({"dryRun": ["All"]});
    for (query, body) in [
        ("?dryRun=All", Value::Null),
        ("", all.clone()),
        ("?dryRun=All", all.clone()),
    ] {
        let (code, status) = world.ask(Method::DELETE, &format!("{path}{query}"), body).await;
        assert_eq!((code, &status["status"]), (200, &json!("Success")), "{status}");
        assert_eq!(status["details"]["uid"], made["metadata"]["uid"]);
    }
    let other = json!({"dryRun": ["All"], "preconditions": {"uid": "another"}});
    assert_eq!(world.ask(Method::DELETE, path, other).await.0, 409);
    let missing = world.ask(Method::DELETE, "namespaces/lab/tasks/b", all).await;
    assert_eq!(missing.0, 404);
    for (method, path, body) in [
        (Method::POST, "namespaces/lab/tasks?dryRun=Some", task("b")),
        (Method::POST, "namespaces/lab/tasks?dryRun=", task("b")),
        (Method::DELETE, "namespaces/lab/tasks/a?dryRun=Some", Value::Null),
        (Method::DELETE, path, json!({"dryRun": ["All", "Some"]})),
        (Method::POST, "namespaces/lab/proplets/b/join?dryRun=All", Value::Null),
    ] {
        let (code, status) = world.ask(method.clone(), path, body).await;
        assert_eq!(code, 400, "{method} {path}: {status}");
        assert!(status["message"].as_str().unwrap().contains("dryRun"), "{status}");
    }
    let (_, list) = world.get("namespaces/lab/tasks").await;
    assert_eq!(names(&list), ["a"]);
}

#[tokio::test]
async fn lists_have_selections_and_pages() {
    let world = World::new().await;
    for (name, site) in [("a", "lab"), ("b", "roof"), ("c", "lab"), ("d", "lab")] {
        world.create(name, json!({"site": site})).await;
    }
    let check = async |path: &str, expected: &[&str]| {
        let (code, list) = world.get(path).await;
        assert_eq!((code, names(&list).as_slice()), (200, expected), "{path}");
        assert_eq!(list["metadata"]["resourceVersion"], "4");
        list
    };
    check("tasks", &["a", "b", "c", "d"]).await;
    check("namespaces/lab/tasks?labelSelector=site%3Dlab", &["a", "c", "d"]).await;
    check("namespaces/lab/tasks?labelSelector=site%20notin%20(lab)", &["b"]).await;
    check("tasks?fieldSelector=metadata.name%3Dc", &["c"]).await;
    check("namespaces/roof/tasks", &[]).await;
    check("proplets", &[]).await;
    let first = check("tasks?limit=2&labelSelector=site%3Dlab", &["a", "c"]).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    // Between the pages something happens, which a watch from there tells.
    world.create("e", json!({"site": "lab"})).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let last = check(
        &format!("tasks?limit=2&labelSelector=site%3Dlab&continue={token}"),
        &["d", "e"],
    )
    .await;
    assert_eq!(last["metadata"].get("continue"), None);
}

#[tokio::test]
async fn what_was_noticed_is_listed() {
    let world = World::new().await;
    let notice = |uid: &str, reason: &str, message: &str| Notice {
        about: About {
            kind: "Task",
            key: NamespacedName {
                namespace: "lab".into(),
                name: "a".into(),
            },
            uid: uid.into(),
        },
        severity: Severity::Warning,
        action: "Finish",
        reason: reason.into(),
        message: message.into(),
    };
    let events = &world.api.around.events;
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    events.take(notice("uid-1", "Trap", &"ö".repeat(1_000)), at(1));
    for (uid, second) in [("uid-2", 2), ("uid-1", 3), ("uid-2", 4)] {
        events.take(notice(uid, "Lost", "away"), at(second));
    }
    let path = "/api/v1/namespaces/lab/events?fieldSelector=involvedObject.name%3Da%2CinvolvedObject.uid%3D";
    let (code, list) = world.get(&format!("{path}uid-2")).await;
    assert_eq!((code, list["kind"].as_str()), (200, Some("EventList")));
    let items = list["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]["count"], &items[0]["lastTimestamp"]),
        (1, &json!(2), &json!(at(4)))
    );
    assert_eq!(items[0]["involvedObject"]["uid"], "uid-2");
    let (_, list) = world.get(&format!("{path}uid-1")).await;
    let reasons: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["reason"])
        .collect();
    assert_eq!(reasons, ["Trap", "Lost"]);
    assert_eq!(list["items"][0]["message"].as_str().unwrap().len(), 1_024);
    assert_eq!(world.get("/api/v1/namespaces/field/events").await.1["items"], json!([]));
    let (code, refused) = world
        .get("/api/v1/namespaces/lab/events?fieldSelector=type%3DNormal")
        .await;
    assert_eq!(code, 400, "{refused}");
}
