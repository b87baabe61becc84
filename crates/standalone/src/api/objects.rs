//! One resource: get, create, replace, patch, delete.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use propeller_api::{GROUP, Metadata, NamespacedName, is_dns_label};
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
    /// For what can't be tried. What isn't dry where somebody wants it so is worse than a refusal.
    pub(super) fn refuse_dry(&self) -> Result<(), Status> {
        match self.dry_run {
            Some(_) => Err(Status::bad_request("dryRun is for creations and deletions")),
            None => Ok(()),
        }
    }
}

/// Whether it's a dry run. `All` is the only one that there is.
fn is_dry<'a>(stages: impl IntoIterator<Item = &'a String>) -> Result<bool, Status> {
    let mut is_dry = false;
    for stage in stages {
        if stage != "All" {
            return Err(Status::bad_request(format!(
                "dryRun is `{stage}`, and can only be `All`"
            )));
        }
        is_dry = true;
    }
    Ok(is_dry)
}

/// The body of a deletion.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    preconditions: Preconditions,
    dry_run: Vec<String>,
}

/// Which resource is meant, and in which version.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Preconditions {
    fn are_there(&self) -> bool {
        self.uid.is_some() || self.resource_version.is_some()
    }

    fn hold_for(&self, found: &Metadata) -> bool {
        let Self { uid, resource_version } = self;
        let is_version = resource_version.is_none() || *resource_version == found.resource_version;
        uid.as_ref().is_none_or(|uid| *uid == found.uid) && is_version
    }
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
    if is_dry(&options.dry_run)? {
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
    options.refuse_dry()?;
    let (kind, key) = named(path)?;
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
    options.refuse_dry()?;
    let (kind, key) = named(path)?;
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
    let (kind, key) = named(path)?;
    let DeleteOptions { preconditions, dry_run } = match body(request).await? {
        Value::Null => DeleteOptions::default(),
        wish => serde_json::from_value(wish).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let is_dry = is_dry(options.dry_run.iter().chain(&dry_run))?;
    let _alone = match kind {
        Kind::Proplet => Some(api.door.lock().await),
        Kind::Task => None,
    };
    // A deletion that is refused leaves the credentials as they are.
    match api.store.get(kind, &key) {
        Some(found) if !preconditions.hold_for(found.metadata()) => {
            return Err(Status::refused(kind, &key.name, &Refusal::Conflict));
        }
        Some(found) if is_dry => return Ok(deleted(kind, &key, &found.metadata().uid)),
        None if is_dry || preconditions.are_there() => return Err(Status::missing(kind, &key.name)),
        _ => {}
    }
    // Before the Proplet: if this process ends between the two, the device is out, and another try takes the Proplet away. The other way round, the
    // device could still announce itself, and without the Proplet nobody knows which credentials were its device's.
    let had_credentials = match kind {
        Kind::Proplet => join::leave(&api, &key).await?,
        Kind::Task => false,
    };
    let operation = Operation::Delete {
        kind,
        key: key.clone(),
        uid: preconditions.uid,
        // That the device is out makes another version.
        version: preconditions.resource_version.filter(|_| !had_credentials),
    };
    match api.store.write(operation).await {
        Ok(gone) => Ok(deleted(kind, &key, &gone.metadata().uid)),
        Err(Refusal::Missing) if had_credentials => Ok(deleted(kind, &key, "")),
        Err(refusal) => Err(Status::refused(kind, &key.name, &refusal)),
    }
}

fn deleted(kind: Kind, key: &NamespacedName, uid: &str) -> Response {
    Json(json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": key.name, "group": GROUP, "kind": kind.plural(), "uid": uid},
    }))
    .into_response()
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
