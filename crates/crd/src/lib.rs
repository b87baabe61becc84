//! `Task` and `Proplet` as Kubernetes custom resources: what the operator's client reads and writes, and what a cluster is taught.
//!
//! Their specs, statuses, schemas and rules are those of `propeller-api`; here is only what Kubernetes adds: names, columns, and the rule
//! over an edit. A crate of its own rather than a feature of that one, because Cargo unites features over a workspace: with a feature, a
//! proplet that is built beside the operator would have the Kubernetes client's code in it.
//!
//! The brain works on [`propeller_api::Task`] and [`propeller_api::Proplet`]; these types exist at the edge of the operator only, and become
//! those by [`From`]. What Kubernetes keeps in metadata beyond our part of it isn't carried over: status writes name the resource version,
//! and change nothing of metadata.

#![allow(
    clippy::duplicated_attributes,
    reason = "kube's `printcolumn` is written once a column, with the same words in each"
)]

mod client;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, core::ObjectMeta};
use propeller_api::{Metadata, PropletStatus, TaskStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use client::client;

/// Every custom resource definition, in the order in which they are installed.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![Task::crd(), Proplet::crd()]
}

/// That a field is what it was, or is as absent. CEL's optional values would say it shorter, and cost more than a rule may.
macro_rules! same {
    ($field:literal) => {
        concat!(
            " && has(self.spec.",
            $field,
            ") == has(oldSelf.spec.",
            $field,
            ") && (!has(self.spec.",
            $field,
            ") || self.spec.",
            $field,
            " == oldSelf.spec.",
            $field,
            ")"
        )
    };
}

/// What of a Task can't be edited once it was dispatched.
const FIXED: &str = concat!(
    "!has(oldSelf.status) || !(has(oldSelf.status.dispatch) || has(oldSelf.status.completionTime)) || (self.spec.image == oldSelf.spec.image",
    same!("call"),
    same!("command"),
    same!("service"),
    same!("grants"),
    same!("resources"),
    same!("onDisconnect"),
    ")"
);

/// What to run, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "propeller.dev",
    version = "v1alpha1",
    kind = "Task",
    namespaced,
    status = "TaskStatus",
    category = "propeller",
    shortname = "pt",
    doc = "A Task is one run of one component: it names an artifact by reference and what to run of it: a function with typed arguments, a \
           program or an HTTP service. The control plane checks that against the component's types, chooses a proplet and dispatches it; the \
           typed result of a call lands in status.results, the address of a service in status.address.",
    validation = Rule::new(FIXED).message(
        "of a task that was dispatched or has ended, what runs can't be edited (image, call, command, service, grants, resources, \
         onDisconnect): delete it and apply another"
    ),
    validation = Rule::new("!(has(oldSelf.spec.cancel) && oldSelf.spec.cancel) || (has(self.spec.cancel) && self.spec.cancel)")
        .message("what is cancelled stays cancelled: delete the task and apply another"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[-1:].reason",
        description = "The reason of the newest condition."
    ),
    printcolumn(name = "Proplet", type_ = "string", json_path = ".status.proplet"),
    printcolumn(name = "Results", type_ = "string", json_path = ".status.results"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Function", type_ = "string", json_path = ".spec.call.function", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether a service listens.",
        priority = 1
    ),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address", priority = 1),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt", priority = 1)
)]
#[serde(transparent)]
pub struct TaskSpec(pub propeller_api::TaskSpec);

/// Which process this is, and whether it gets tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "propeller.dev",
    version = "v1alpha1",
    kind = "Proplet",
    namespaced,
    status = "PropletStatus",
    category = "propeller",
    shortname = "pl",
    doc = "A Proplet is one running host: on a device, or in a pod. Tasks of its namespace are placed on it by name or by its labels.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Tasks",
        type_ = "integer",
        json_path = ".status.capacity.tasks",
        description = "How many tasks it runs at once."
    ),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.capacity.memory"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.host.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Client-ID",
        type_ = "string",
        json_path = ".spec.connectionConfig.clientId",
        priority = 1
    ),
    printcolumn(name = "Arch", type_ = "string", json_path = ".status.host.arch", priority = 1),
    printcolumn(name = "OS", type_ = "string", json_path = ".status.host.os", priority = 1)
)]
#[serde(transparent)]
pub struct PropletSpec(pub propeller_api::PropletSpec);

impl From<Task> for propeller_api::Task {
    fn from(task: Task) -> Self {
        let mut plain = Self::new(metadata(task.metadata), task.spec.0);
        plain.status = task.status;
        plain
    }
}

impl From<Proplet> for propeller_api::Proplet {
    fn from(proplet: Proplet) -> Self {
        let mut plain = Self::new(metadata(proplet.metadata), proplet.spec.0);
        plain.status = proplet.status;
        plain
    }
}

/// Our part of what Kubernetes keeps about an object.
pub fn metadata(meta: ObjectMeta) -> Metadata {
    Metadata {
        name: meta.name.unwrap_or_default(),
        namespace: meta.namespace.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        generation: meta.generation,
        resource_version: meta.resource_version,
        creation_timestamp: meta.creation_timestamp.map(|time| time.0),
        deletion_timestamp: meta.deletion_timestamp.map(|time| time.0),
        labels: meta.labels.unwrap_or_default(),
        annotations: meta.annotations.unwrap_or_default(),
    }
}
