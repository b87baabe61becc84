//! Lists, in pages.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use propeller_api::{API_VERSION, NamespacedName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Status,
    select::{Query, Selection},
};
use crate::store::Store;

/// Where a list goes on. The version is that of the first page, so that a watch from there misses nothing of what changed between pages.
#[derive(Serialize, Deserialize)]
struct Continue {
    version: u64,
    namespace: String,
    name: String,
}

pub(super) fn list(store: &Store, selection: &Selection, query: &Query) -> Result<Value, Status> {
    let from = query
        .token
        .as_deref()
        .filter(|token| !token.is_empty())
        .map(read)
        .transpose()?;
    let (version, mut resources) = store.list(selection.kind);
    let after = from.as_ref().map(|from| NamespacedName {
        namespace: from.namespace.clone(),
        name: from.name.clone(),
    });
    resources.retain(|resource| selection.has(resource) && after.as_ref().is_none_or(|after| resource.key() > *after));
    let version = from.map_or(version, |from| from.version);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(limit) = query.limit.filter(|limit| (1..resources.len()).contains(limit)) {
        metadata["remainingItemCount"] = (resources.len() - limit).into();
        resources.truncate(limit);
        if let Some(last) = resources.last() {
            let NamespacedName { namespace, name } = last.key();
            metadata["continue"] = write(&Continue {
                version,
                namespace,
                name,
            })
            .into();
        }
    }
    Ok(json!({
        "apiVersion": API_VERSION,
        "kind": format!("{}List", selection.kind.name()),
        "metadata": metadata,
        "items": resources.iter().map(|resource| &**resource).collect::<Vec<_>>(),
    }))
}

fn write(token: &Continue) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default())
}

fn read(token: &str) -> Result<Continue, Status> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let read = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.ok_or_else(|| Status::bad_request("`continue` isn't a token that this control plane gave"))
}
