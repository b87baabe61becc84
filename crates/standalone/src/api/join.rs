//! A device joins: it gets an identity at the broker, and a Proplet.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use propeller_api::{
    ConnectionConfig, Labels, Metadata, NamespacedName, Proplet, PropletId, PropletSpec, is_dns_label,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::{
    Api, Status,
    objects::{Options, body},
    select::Extract,
};
use crate::store::{Kind, Operation, Refusal, Resource, Store};

/// Gives devices identities at the broker, and takes them away.
pub trait Joiner: Send + Sync {
    /// What the device needs, with a secret that nobody is told again. Takes as long as hashing it does.
    ///
    /// # Errors
    ///
    /// [`NotJoined`]
    fn join(&self, id: &PropletId, replaces: bool) -> Result<Value, NotJoined>;

    /// The device with that identity gets in no more. Whether it did.
    ///
    /// # Errors
    ///
    /// [`NotJoined::Failed`], and then it still does.
    fn leave(&self, id: &PropletId) -> Result<bool, NotJoined>;
}

/// Why a device doesn't join.
#[derive(Debug, thiserror::Error)]
pub enum NotJoined {
    /// It has an identity, whose secret would have no use any more.
    #[error("has credentials already")]
    Exists,
    /// There is no way in from elsewhere.
    #[error("{0}")]
    NoWay(String),
    /// The identity can't be kept.
    #[error("{0}")]
    Failed(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    /// The secret that it had is no longer one.
    replace: bool,
    /// For its Proplet, if that isn't there yet.
    labels: Labels,
}

pub(super) async fn join(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
    Extract(options): Extract<Options>,
    request: Request,
) -> Result<Response, Status> {
    options.refuse_dry()?;
    let wish: Wish = match body(request).await? {
        Value::Null => Wish::default(),
        wish => serde_json::from_value(wish).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let joiner = api.joiner.clone().ok_or_else(|| {
        Status::bad_request(
            "this control plane has another broker than its own: that one's administrator lets devices in",
        )
    })?;
    let id: PropletId = name
        .parse()
        .map_err(|invalid| Status::invalid(Kind::Proplet, &name, invalid))?;
    if !is_dns_label(&namespace) {
        return Err(Status::bad_request(format!("namespace `{namespace}` can't be one")));
    }
    let proplet = proplet(namespace, &id, wish.labels);
    proplet
        .validate()
        .map_err(|invalid| Status::invalid(Kind::Proplet, &name, invalid))?;
    let key = proplet.key();
    let _alone = api.door.lock().await;
    check(&api.store, &key, &id)?;
    let device = id.clone();
    let joined = spawn_blocking(move || joiner.join(&device, wish.replace)).await;
    let joined = joined
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|why| why.status(&name))?;
    match api.store.write(Operation::Create(proplet.into())).await {
        Ok(_) => {}
        // It may have been made meanwhile.
        Err(Refusal::Exists) => check(&api.store, &key, &id)?,
        Err(refusal) => return Err(Status::refused(Kind::Proplet, &name, &refusal)),
    }
    Ok((StatusCode::CREATED, Json(joined)).into_response())
}

/// Whether that Proplet may be for that device. A Proplet is for one device, and a device is one Proplet's: for a second one, its secret would be
/// replaced.
fn check(store: &Store, key: &NamespacedName, id: &PropletId) -> Result<(), Status> {
    let problem = devices(store)
        .into_iter()
        .find_map(|(other, device)| match (other == *key, device == *id) {
            (true, false) => Some(format!(
                "is for another device, as its clientId `{device}` says: choose another name, or remove that Proplet first"
            )),
            (false, true) => Some(format!(
                "is the clientId of the Proplet {other}: choose another name, or remove that Proplet first"
            )),
            _ => None,
        });
    match problem {
        Some(problem) => Err(Status::exists(Kind::Proplet, &key.name, &problem)),
        None => Ok(()),
    }
}

/// All Proplets, and which device each is for.
fn devices(store: &Store) -> Vec<(NamespacedName, PropletId)> {
    let (_, proplets) = store.list(Kind::Proplet);
    let mut devices = Vec::with_capacity(proplets.len());
    for resource in proplets {
        if let Resource::Proplet(proplet) = &*resource {
            devices.push((proplet.key(), proplet.spec.connection_config.client_id.clone()));
        }
    }
    devices
}

impl NotJoined {
    fn status(self, name: &str) -> Status {
        match self {
            Self::Exists => Status::exists(
                Kind::Proplet,
                name,
                "has credentials already: replace them, and the device needs the new ones",
            ),
            Self::NoWay(problem) => Status::bad_request(problem),
            Self::Failed(problem) => Status::internal(problem),
        }
    }
}

/// Takes the credentials away that go with a Proplet, before the Proplet goes, and also if it has gone already: those of its device, and those that
/// were made for its name. Not if another Proplet is for the same device. Whether there were any.
pub(super) async fn leave(api: &Api, key: &NamespacedName) -> Result<bool, Status> {
    let Some(joiner) = api.joiner.clone() else {
        return Ok(false);
    };
    let (own, others): (Vec<_>, Vec<_>) = devices(&api.store).into_iter().partition(|(other, _)| other == key);
    let mut ids: BTreeSet<PropletId> = own.into_iter().map(|(_, id)| id).collect();
    ids.extend(key.name.parse::<PropletId>());
    ids.retain(|id| others.iter().all(|(_, device)| device != id));
    let leave = move || {
        let mut ids = ids.iter();
        ids.try_fold(false, |any, id| joiner.leave(id).map(|one| one || any))
    };
    let left = spawn_blocking(leave).await;
    left.map_err(|error| Status::internal(error.to_string()))?
        .map_err(|why| why.status(&key.name))
}

fn proplet(namespace: String, id: &PropletId, labels: Labels) -> Proplet {
    let metadata = Metadata {
        name: id.to_string(),
        namespace,
        labels,
        ..Metadata::default()
    };
    let spec = PropletSpec {
        connection_config: ConnectionConfig { client_id: id.clone() },
        unschedulable: false,
    };
    Proplet::new(metadata, spec)
}
