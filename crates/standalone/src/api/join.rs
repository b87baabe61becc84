//! A device joins: it gets an identity at the broker, and a Proplet.

use axum::{
    Json,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use propeller_api::{ConnectionConfig, Labels, Metadata, Proplet, PropletId, PropletSpec};
use serde::Deserialize;
use serde_json::Value;

use super::{Api, Status, objects::body};
use crate::store::{Kind, Operation, Refusal};

/// Gives devices identities at the broker, and takes them away.
pub trait Joiner: Send + Sync {
    /// What the device needs, with a secret that nobody is told again. Takes as long as hashing it does.
    ///
    /// # Errors
    ///
    /// [`NotJoined`]
    fn join(&self, id: &PropletId, replaces: bool) -> Result<Value, NotJoined>;

    /// The device with that identity gets in no more.
    fn leave(&self, id: &PropletId);
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
    request: Request,
) -> Result<Response, Status> {
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
    let proplet = proplet(namespace, &id, wish.labels);
    match api.store.write(Operation::Create(proplet.into())).await {
        Ok(_) | Err(Refusal::Exists) => {}
        Err(refusal) => return Err(Status::refused(Kind::Proplet, &name, &refusal)),
    }
    let joined = tokio::task::spawn_blocking(move || joiner.join(&id, wish.replace)).await;
    match joined.map_err(|error| Status::failed("InternalError", error.to_string()))? {
        Ok(join) => Ok((StatusCode::CREATED, Json(join)).into_response()),
        Err(NotJoined::Exists) => Err(Status::exists(
            Kind::Proplet,
            &name,
            "has credentials already: replace them, and the device needs the new ones",
        )),
        Err(NotJoined::NoWay(problem)) => Err(Status::bad_request(problem)),
        Err(NotJoined::Failed(problem)) => Err(Status::failed("InternalError", problem)),
    }
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
