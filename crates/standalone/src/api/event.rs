//! Events, as a list.

use axum::{
    Json,
    extract::{Path, State},
};
use propeller_control::brain::About;
use serde_json::{Value, json};

use super::{
    Api, Status,
    select::{Extract, Query},
};

/// Those of a namespace. The query is that of other lists; fields that select are those of the resource that an event is about.
pub(super) async fn events(
    State(api): State<Api>,
    Path(namespace): Path<String>,
    Extract(query): Extract<Query>,
) -> Result<Json<Value>, Status> {
    let wanted = Involved::new(query.field_selector.as_deref().unwrap_or_default())?;
    let items = api.around.events.list(&namespace, |about| wanted.is(about));
    let version = api.store.newest().borrow().to_string();
    Ok(Json(json!({
        "apiVersion": "v1",
        "kind": "EventList",
        "metadata": {"resourceVersion": version},
        "items": items,
    })))
}

/// Which resources events are about.
#[derive(Default)]
struct Involved<'a> {
    kind: Option<&'a str>,
    name: Option<&'a str>,
    uid: Option<&'a str>,
}

impl<'a> Involved<'a> {
    fn new(selector: &'a str) -> Result<Self, Status> {
        let mut wanted = Self::default();
        for part in selector.split(',').filter(|part| !part.is_empty()) {
            let (field, value) = part.split_once('=').unwrap_or((part, ""));
            let value = Some(value.trim_start_matches('='));
            match field {
                "involvedObject.kind" => wanted.kind = value,
                "involvedObject.name" => wanted.name = value,
                "involvedObject.uid" => wanted.uid = value,
                _ => {
                    return Err(Status::bad_request(format!(
                        "fieldSelector `{part}`: it is involvedObject.kind=, involvedObject.name= or involvedObject.uid="
                    )));
                }
            }
        }
        Ok(wanted)
    }

    fn is(&self, about: &About) -> bool {
        self.kind.is_none_or(|kind| kind == about.kind)
            && self.name.is_none_or(|name| name == about.key.name)
            && self.uid.is_none_or(|uid| uid == about.uid)
    }
}
