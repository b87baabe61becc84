//! What the verbs ask of a control plane: the API of Kubernetes for two kinds, which the standalone control plane has too.
//!
//! Objects are kept as the JSON that came, so that `--output json` is the API's, whichever version answers.

use std::io;

use futures::AsyncBufRead;
use kube::{
    Client,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions},
    core::{Request, request},
};
use propeller_api::{GROUP, LOGS_GROUP, VERSION};
use serde_json::{Value, json};

use super::{
    ControlError,
    error::Place,
    kind::{Kind, text},
    place,
};
use crate::{args::ServerArgs, failure::Failure, settings::Environment};

/// Objects in one answer. More come in further ones.
const PAGE: u32 = 500;

/// A control plane, and the namespace that is meant.
pub struct Server {
    client: Client,
    place: Place,
    /// The namespace of everything that doesn't say another.
    pub namespace: String,
    /// Whether a person said the namespace.
    pub namespace_is_given: bool,
}

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub labels: Option<String>,
    pub fields: Option<String>,
    pub all_namespaces: bool,
}

impl Query {
    /// The one of that name.
    pub fn one(name: &str) -> Self {
        Self {
            fields: Some(format!("metadata.name={name}")),
            ..Self::default()
        }
    }

    fn page(&self, continue_token: Option<String>) -> ListParams {
        ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(PAGE),
            continue_token,
            ..ListParams::default()
        }
    }
}

impl Server {
    /// The one that flags, environment or `propeller up` name. Nothing is asked of it yet.
    pub async fn find(args: &ServerArgs, environment: &Environment) -> Result<Self, Failure> {
        let (place, config) = place::find(args, environment).await?;
        let namespace = args.namespace.clone();
        let default = config.default_namespace.clone();
        let client = propeller_crd::client(config).map_err(|error| ControlError::of("speak to it", &place, error))?;
        Ok(Self {
            client,
            place,
            namespace_is_given: namespace.is_some(),
            namespace: namespace.unwrap_or(default),
        })
    }

    /// The object of that name in the namespace that is meant.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Value, ControlError> {
        let found = self.look(kind, &self.namespace, name).await?;
        found.ok_or_else(|| self.missing(kind, name))
    }

    /// What is said of an object that isn't there.
    pub fn missing(&self, kind: Kind, name: &str) -> ControlError {
        ControlError::NotFound {
            kind,
            name: name.to_owned(),
            namespace: self.namespace.clone(),
        }
    }

    /// The object of that name, if it is there.
    pub async fn look(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, ControlError> {
        let request = path(kind, Some(namespace)).get(name, &Default::default());
        match self.ask(format!("get {kind} {name}"), request).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A list of the API's, with the items of all its pages.
    pub async fn list(&self, kind: Kind, query: &Query) -> Result<Value, ControlError> {
        let path = self.scope(kind, query);
        let doing = format!("list {}", kind.plural());
        let mut list = self.ask(doing.clone(), path.list(&query.page(None))).await?;
        loop {
            let token = text(&list, "/metadata/continue").to_owned();
            if token.is_empty() {
                return Ok(list);
            }
            let mut next = self.ask(doing.clone(), path.list(&query.page(Some(token)))).await?;
            if let (Some(items), Some(more)) = (list["items"].as_array_mut(), next["items"].as_array_mut()) {
                items.append(more);
            }
            list["metadata"] = next["metadata"].take();
        }
    }

    /// What was noticed of an object, as `core/v1` of Kubernetes has it.
    pub async fn events(&self, kind: Kind, object: &Value) -> Result<Vec<Value>, ControlError> {
        let (name, uid) = (text(object, "/metadata/name"), text(object, "/metadata/uid"));
        let about = Query {
            fields: Some(format!("involvedObject.name={name},involvedObject.uid={uid}")),
            ..Query::default()
        };
        let namespace = text(object, "/metadata/namespace");
        let path = Request::new(format!("/api/v1/namespaces/{namespace}/events"));
        let doing = format!("list the events of {kind} {name}");
        let mut list = self.ask(doing, path.list(&about.page(None))).await?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Makes an object, in its own namespace.
    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Value, ControlError> {
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let request = path(kind, Some(namespace)).create(&PostParams::default(), object.to_string().into_bytes());
        self.ask(format!("create {kind} {name}"), request).await
    }

    /// Puts an object in the place of the version that it names.
    pub async fn replace(&self, kind: Kind, object: &Value) -> Result<Value, ControlError> {
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let request =
            path(kind, Some(namespace)).replace(name, &PostParams::default(), object.to_string().into_bytes());
        self.ask(format!("change {kind} {name}"), request).await
    }

    /// Changes fields of an object's spec; null removes one.
    pub async fn change_spec(&self, kind: Kind, name: &str, spec: Value) -> Result<Value, ControlError> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let request = path(kind, Some(&self.namespace)).patch(name, &PatchParams::default(), &patch);
        let changed = self.ask(format!("change {kind} {name}"), request).await;
        changed.map_err(|error| match error.code() {
            Some(404) => self.missing(kind, name),
            _ => error,
        })
    }

    /// Deletes an object; with a uid, only the one that has it. Returns whether it was there.
    pub async fn delete(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<Option<Value>, ControlError> {
        let params = DeleteParams {
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request = path(kind, Some(namespace)).delete(name, &params);
        match self.ask(format!("delete {kind} {name}"), request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code() == Some(404) || (uid.is_some() && error.code() == Some(409)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a task wrote, one JSON document a line; with `follow`, as it is written, until the task has ended.
    pub async fn lines(
        &self,
        name: &str,
        follow: bool,
        tail: Option<usize>,
    ) -> Result<impl AsyncBufRead + use<>, ControlError> {
        let doing = || format!("read the lines of task/{name}");
        let params = LogParams {
            follow,
            tail_lines: tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
            ..LogParams::default()
        };
        // On a cluster it is the operator's own API, which the API server passes requests on to.
        let tasks = match &self.place {
            Place::Standalone(_) => path(Kind::Task, Some(&self.namespace)),
            Place::Cluster(_) => below(LOGS_GROUP, Kind::Task, Some(&self.namespace)),
        };
        let request = tasks.logs(name, &params);
        let request = request.map_err(|error| self.error(doing(), kube::Error::BuildRequest(error)))?;
        let lines = self.client.request_stream(request).await;
        lines.map_err(|error| match ControlError::of_lines(doing(), &self.place, error) {
            error if error.code() == Some(404) => self.missing(Kind::Task, name),
            error => error,
        })
    }

    /// Lets a device into the control plane's own broker. Returns what the device needs.
    pub async fn join(&self, name: &str, wish: &Value) -> Result<Value, ControlError> {
        let path = format!("{}/{name}/join", path(Kind::Proplet, Some(&self.namespace)).url_path);
        self.ask(format!("let {name} in"), Ok(post("POST", &path, wish))).await
    }

    /// What is said of an answer that broke off.
    pub fn broken(&self, doing: String, source: io::Error) -> ControlError {
        self.error(doing, kube::Error::ReadEvents(source))
    }

    /// Where objects that a query is about are.
    pub(super) fn scope(&self, kind: Kind, query: &Query) -> Request {
        path(kind, (!query.all_namespaces).then_some(self.namespace.as_str()))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn error(&self, doing: impl Into<String>, error: kube::Error) -> ControlError {
        ControlError::of(doing, &self.place, error)
    }

    pub(super) async fn ask(
        &self,
        doing: String,
        request: Result<http::Request<Vec<u8>>, request::Error>,
    ) -> Result<Value, ControlError> {
        let answer = match request.map_err(kube::Error::BuildRequest) {
            Ok(request) => self.client.request(request).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| self.error(doing, error))
    }
}

pub(super) fn post(method: &str, path: &str, body: &Value) -> http::Request<Vec<u8>> {
    let mut request = http::Request::new(body.to_string().into_bytes());
    // What can't be a method or a path is answered by the server.
    *request.method_mut() = method.parse().unwrap_or_default();
    *request.uri_mut() = path.parse().unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    request.headers_mut().insert(http::header::CONTENT_TYPE, json);
    request
}

fn path(kind: Kind, namespace: Option<&str>) -> Request {
    below(GROUP, kind, namespace)
}

fn below(group: &str, kind: Kind, namespace: Option<&str>) -> Request {
    let plural = kind.plural();
    Request::new(match namespace {
        Some(namespace) => format!("/apis/{group}/{VERSION}/namespaces/{namespace}/{plural}"),
        None => format!("/apis/{group}/{VERSION}/{plural}"),
    })
}

/// Several objects in one document, as kubectl puts them together.
pub fn together(mut objects: Vec<Value>) -> Value {
    match objects.pop() {
        Some(only) if objects.is_empty() => only,
        last => {
            objects.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "items": objects})
        }
    }
}
