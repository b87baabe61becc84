//! The Secret of Kubernetes' that holds what a proplet in a pod needs to join.

use kube::core::request;
use propeller_api::PropletId;
use propeller_host::proplet::Join;
use serde_json::{Value, json};

use super::{
    ControlError,
    server::{Server, post},
};
use crate::{failure::Failure, output::Output};

/// The [recommended label](https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/) that says whose an object is.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Ours.
const PROPELLER: &str = "propeller";

/// Keeps what a proplet needs. Returns the Secret's name. Another one of that name isn't touched.
pub async fn keep(join: &Join, replace: bool, server: &Server) -> Result<String, Failure> {
    let name = name_of(&join.id);
    let text = toml::to_string(join).map_err(|error| ControlError::NoJoin(error.to_string()))?;
    let mut secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": server.namespace, "labels": {MANAGED_BY: PROPELLER}},
        "stringData": {"join.toml": text},
    });
    let doing = || format!("keep the secret {name}");
    match server.ask(doing(), Ok(post("POST", &all(server), &secret))).await {
        Err(error) if error.code() == Some(409) && replace => {
            let found = get(doing(), &name, server).await?.unwrap_or_default();
            if !is_ours(&found) {
                return Err(ControlError::OthersSecret(name).into());
            }
            // Nobody has replaced it meanwhile.
            secret["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
            server
                .ask(doing(), Ok(post("PUT", &one(&name, server), &secret)))
                .await?
        }
        done => done?,
    };
    Ok(name)
}

/// Deletes what [`keep`] has kept, if it's there, and says whether it was. Who may remove proplets needn't be allowed to see Secrets.
pub async fn forget(id: &PropletId, server: &Server, output: &Output) -> Result<bool, ControlError> {
    let name = name_of(id);
    match delete(&name, server, output).await {
        Err(error) if error.code() == Some(403) => {
            output.note(&format!("whether there is a Secret {name} can't be seen: {error}"));
            Ok(false)
        }
        done => done,
    }
}

async fn delete(name: &str, server: &Server, output: &Output) -> Result<bool, ControlError> {
    let doing = || format!("delete the secret {name}");
    let Some(secret) = get(doing(), name, server).await? else {
        return Ok(false);
    };
    if !is_ours(&secret) {
        output.note(&format!("the Secret {name} isn't one of Propeller's, and stays"));
        return Ok(false);
    }
    let same = json!({"preconditions": {"uid": secret["metadata"]["uid"]}});
    match server.ask(doing(), Ok(post("DELETE", &one(name, server), &same))).await {
        Err(error) if error.code() == Some(404) => Ok(false),
        answer => answer.map(|_| true),
    }
}

async fn get(doing: String, name: &str, server: &Server) -> Result<Option<Value>, ControlError> {
    let get = http::Request::get(one(name, server)).body(vec![]);
    match server.ask(doing, get.map_err(request::Error::BuildRequest)).await {
        Err(error) if error.code() == Some(404) => Ok(None),
        answer => answer.map(Some),
    }
}

fn name_of(id: &PropletId) -> String {
    format!("proplet-{id}")
}

fn all(server: &Server) -> String {
    format!("/api/v1/namespaces/{}/secrets", server.namespace)
}

fn one(name: &str, server: &Server) -> String {
    format!("{}/{name}", all(server))
}

fn is_ours(secret: &Value) -> bool {
    secret["metadata"]["labels"][MANAGED_BY] == PROPELLER
}
