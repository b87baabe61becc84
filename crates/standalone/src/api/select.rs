//! Which resources of a kind a request is about.

use axum::{
    extract::{self, FromRequestParts},
    http::request::Parts,
};
use propeller_api::{LabelSelector, NamespacedName};
use propeller_control::http::Flag;
use serde::{Deserialize, de::DeserializeOwned};

use super::Status;
use crate::store::{Kind, Resource};

/// A query, of which a mistake is answered as any other is.
pub(super) struct Extract<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Extract<T> {
    type Rejection = Status;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Status> {
        match extract::Query::from_request_parts(parts, state).await {
            Ok(extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Status::bad_request(rejection.body_text())),
        }
    }
}

/// The query of a list or a watch, with Kubernetes' names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Query {
    pub(super) label_selector: Option<String>,
    pub(super) field_selector: Option<String>,
    pub(super) limit: Option<usize>,
    #[serde(rename = "continue")]
    pub(super) token: Option<String>,
    pub(super) watch: Flag,
    pub(super) resource_version: Option<String>,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) allow_watch_bookmarks: Flag,
    pub(super) send_initial_events: Option<String>,
}

/// Some of the resources.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    name: Option<String>,
    only_in: Option<String>,
    labels: Option<LabelSelector>,
}

impl Selection {
    pub(super) fn new(kind: Kind, namespace: Option<String>, query: &Query) -> Result<Self, Status> {
        let mut selection = Self {
            kind,
            namespace,
            name: None,
            only_in: None,
            labels: None,
        };
        if let Some(text) = query.label_selector.as_deref().filter(|text| !text.is_empty()) {
            let labels = text
                .parse()
                .map_err(|error| Status::bad_request(format!("labelSelector `{text}`: {error}")))?;
            selection.labels = Some(labels);
        }
        for part in query.field_selector.iter().flat_map(|text| text.split(',')) {
            match part
                .split_once('=')
                .map(|(field, value)| (field, value.trim_start_matches('=')))
            {
                _ if part.is_empty() => {}
                Some(("metadata.name", value)) => selection.name = Some(value.to_owned()),
                Some(("metadata.namespace", value)) => selection.only_in = Some(value.to_owned()),
                _ => {
                    return Err(Status::bad_request(format!(
                        "fieldSelector `{part}`: it is metadata.name=NAME or metadata.namespace=NAMESPACE"
                    )));
                }
            }
        }
        Ok(selection)
    }

    pub(super) fn has(&self, resource: &Resource) -> bool {
        let NamespacedName { namespace, name } = resource.key();
        resource.kind() == self.kind
            && self.namespace.as_ref().is_none_or(|wanted| *wanted == namespace)
            && self.only_in.as_ref().is_none_or(|wanted| *wanted == namespace)
            && self.name.as_ref().is_none_or(|wanted| *wanted == name)
            && self
                .labels
                .as_ref()
                .is_none_or(|labels| labels.mismatch(&resource.metadata().labels).is_none())
    }
}
