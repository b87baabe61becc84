//! One resource: get, create, replace, patch, delete.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use propeller_api::{GROUP, NamespacedName, is_dns_label};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Status, join, select::Extract};
use crate::store::{Kind, Operation, Refusal, Resource};

/// The largest body, as of Kubernetes' objects.
const MOST: usize = 1 << 20;

/// How often a patch is applied anew because the resource was changed meanwhile.
const TRIES: usize = 16;

/// Letters behind a `generateName`, as Kubernetes has it: none that make words.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Options {
    dry_run: Option<String>,
}

impl Options {
    /// What is to be changed. What isn't dry where somebody wants it so is worse than a refusal.
    fn changes(&self, path: Named) -> Result<(Kind, NamespacedName), Status> {
        match self.dry_run {
            Some(_) => Err(Status::bad_request("dryRun is for creations")),
            None => named(path),
        }
    }
}

/// The preconditions of a deletion.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    preconditions: Preconditions,
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

type Named = Path<(String, String, String)>;

/// The kind and the key that a path names.
pub(super) fn named(Path((namespace, plural, name)): Named) -> Result<(Kind, NamespacedName), Status> {
    Ok((kind(&plural)?, NamespacedName { namespace, name }))
}

pub(super) fn kind(plural: &str) -> Result<Kind, Status> {
    Kind::of_plural(plural).ok_or_else(|| Status::no_path(plural))
}

pub(super) async fn get(State(api): State<Api>, path: Named) -> Result<Response, Status> {
    let (kind, key) = named(path)?;
    let found = api
        .store
        .get(kind, &key)
        .ok_or_else(|| Status::missing(kind, &key.name))?;
    Ok(Json(&*found).into_response())
}

pub(super) async fn create(
    State(api): State<Api>,
    Path((namespace, plural)): Path<(String, String)>,
    Extract(options): Extract<Options>,
    request: Request,
) -> Result<Response, Status> {
    let kind = kind(&plural)?;
    if !is_dns_label(&namespace) {
        return Err(Status::bad_request(format!("namespace `{namespace}` can't be one")));
    }
    let mut object = body(request).await?;
    generate_name(&mut object);
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let key = NamespacedName { namespace, name };
    let resource = resource(kind, &key, object)?;
    if options.dry_run.is_some() {
        resource
            .validate()
            .map_err(|invalid| Status::invalid(kind, &key.name, invalid))?;
        return match api.store.get(kind, &key) {
            Some(_) => Err(Status::refused(kind, &key.name, &Refusal::Exists)),
            None => Ok((StatusCode::CREATED, Json(resource)).into_response()),
        };
    }
    let made = api.write(kind, &key, Operation::Create(resource)).await?;
    Ok((StatusCode::CREATED, made).into_response())
}

pub(super) async fn replace(
    State(api): State<Api>,
    path: Named,
    Extract(options): Extract<Options>,
    request: Request,
) -> Result<Response, Status> {
    let (kind, key) = options.changes(path)?;
    let resource = resource(kind, &key, body(request).await?)?;
    let version = resource.metadata().resource_version.as_deref();
    if version.is_none_or(str::is_empty) {
        let problem = "metadata.resourceVersion: must be specified for an update";
        return Err(Status::invalid(kind, &key.name, problem));
    }
    api.write(kind, &key, Operation::Edit(resource)).await
}

/// A [JSON merge patch](https://www.rfc-editor.org/rfc/rfc7396). Without a resource version in it, it's applied to what is there, whatever that
/// has become meanwhile.
pub(super) async fn patch(
    State(api): State<Api>,
    path: Named,
    headers: HeaderMap,
    Extract(options): Extract<Options>,
    request: Request,
) -> Result<Response, Status> {
    let (kind, key) = options.changes(path)?;
    let type_ = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if type_.and_then(|type_| type_.split(';').next()) != Some("application/merge-patch+json") {
        return Err(Status::unsupported(
            "a patch is a JSON merge patch: `Content-Type: application/merge-patch+json`",
        ));
    }
    let patch = body(request).await?;
    for _ in 0..TRIES {
        let found = api
            .store
            .get(kind, &key)
            .ok_or_else(|| Status::missing(kind, &key.name))?;
        let mut object = json!(&*found);
        json_patch::merge(&mut object, &patch);
        let edit = Operation::Edit(resource(kind, &key, object)?);
        match api.store.write(edit).await {
            Ok(changed) => return Ok(Json(&*changed).into_response()),
            Err(Refusal::Conflict) if patch.pointer("/metadata/resourceVersion").is_none() => {}
            Err(refusal) => return Err(Status::refused(kind, &key.name, &refusal)),
        }
    }
    Err(Status::refused(kind, &key.name, &Refusal::Conflict))
}

pub(super) async fn delete(
    State(api): State<Api>,
    path: Named,
    Extract(options): Extract<Options>,
    request: Request,
) -> Result<Response, Status> {
    let (kind, key) = options.changes(path)?;
    let options: DeleteOptions = match body(request).await? {
        Value::Null => DeleteOptions::default(),
        options => serde_json::from_value(options).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    if !options.dry_run.is_empty() {
        return match api.store.get(kind, &key) {
            Some(found) => Ok(Json(&*found).into_response()),
            None => Err(Status::missing(kind, &key.name)),
        };
    }
    let had_credentials = match kind {
        Kind::Proplet => join::leave(&api, &key).await?,
        Kind::Task => false,
    };
    let operation = Operation::Delete {
        kind,
        key: key.clone(),
        uid: options.preconditions.uid,
        version: options.preconditions.resource_version,
    };
    let uid = match api.store.write(operation).await {
        Ok(deleted) => deleted.metadata().uid.clone(),
        Err(Refusal::Missing) if had_credentials => String::new(),
        Err(refusal) => return Err(Status::refused(kind, &key.name, &refusal)),
    };
    Ok(Json(json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": key.name, "group": GROUP, "kind": kind.plural(), "uid": uid},
    }))
    .into_response())
}

impl Api {
    async fn write(&self, kind: Kind, key: &NamespacedName, operation: Operation) -> Result<Response, Status> {
        let written = self.store.write(operation).await;
        let written = written.map_err(|refusal| Status::refused(kind, &key.name, &refusal))?;
        Ok(Json(&*written).into_response())
    }
}

/// The body as JSON; null if there is none.
pub(super) async fn body(request: Request<Body>) -> Result<Value, Status> {
    let bytes = to_bytes(request.into_body(), MOST)
        .await
        .map_err(|_| Status::too_large(MOST))?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| Status::bad_request(format!("the body isn't JSON: {error}")))
}

fn generate_name(object: &mut Value) {
    let metadata = &object["metadata"];
    let is_unnamed = metadata["name"].as_str().is_none_or(str::is_empty);
    if let (true, Some(prefix)) = (is_unnamed, metadata["generateName"].as_str()) {
        let random = Uuid::new_v4().into_bytes();
        let letter = |byte: &u8| char::from(SUFFIX[usize::from(*byte) % SUFFIX.len()]);
        let suffix: String = random.iter().take(5).map(letter).collect();
        // A name has 253 characters at most, and what can't be one is refused with the rest.
        let prefix: String = prefix.chars().take(248).collect();
        object["metadata"]["name"] = format!("{prefix}{suffix}").into();
    }
}

/// The resource that the body is, where the path says that it is.
fn resource(kind: Kind, key: &NamespacedName, mut object: Value) -> Result<Resource, Status> {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err(Status::bad_request("the body is no resource: it has no metadata"));
    };
    // Clients in Go send `creationTimestamp: null`.
    metadata.retain(|_, value| !value.is_null());
    for (field, expected) in [("namespace", &key.namespace), ("name", &key.name)] {
        let said = metadata.entry(field).or_insert_with(|| expected.as_str().into());
        if said != expected.as_str() {
            let problem = format!("metadata.{field} is {said}, and the path says {expected}");
            return Err(Status::bad_request(problem));
        }
    }
    let resource = Resource::read(kind, &object);
    resource.map_err(|unreadable| Status::invalid(kind, &key.name, unreadable))
}
