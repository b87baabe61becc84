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

mod access;
mod description;
mod devices;
mod lists;
mod resources;
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
