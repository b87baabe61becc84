//! Proplet: one host process, as the control plane knows it.

use serde::{Deserialize, Serialize};

use crate::{Condition, Memory, Object, PropletId, Resource, task::is_false};

/// The kind `Proplet`.
#[derive(Debug, Clone, PartialEq)]
pub enum PropletKind {}

impl Resource for PropletKind {
    const KIND: &str = "Proplet";
    type Spec = PropletSpec;
    type Status = PropletStatus;
}

/// One host process with an identity. Tasks of its namespace may be placed on it.
pub type Proplet = Object<PropletKind>;

/// Which process this is, and whether it gets tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PropletSpec {
    /// How the process is known on the message bus.
    pub connection_config: ConnectionConfig,
    /// While true, nothing new is placed on the proplet: it is cordoned. What it has goes on. `propeller cordon` and `uncordon` set it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unschedulable: bool,
}

impl PropletSpec {
    /// The process with that identity, which gets tasks.
    pub fn new(client_id: PropletId) -> Self {
        Self {
            connection_config: ConnectionConfig { client_id },
            unschedulable: false,
        }
    }
}

/// How a proplet is known on the message bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionConfig {
    /// The proplet's id: its MQTT client id, its user name, and the last level of its topics. 1 to 63 of a-z, 0-9 and -. One Proplet has it.
    #[cfg_attr(
        feature = "schema",
        schemars(
            with = "String",
            length(min = 1, max = 63),
            regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
        )
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-validations" = [{
            "rule": "self == oldSelf",
            "message": "clientId can't change: it is the proplet's identity; delete the Proplet and create another",
        }]))
    )]
    pub client_id: PropletId,
}

/// What the control plane saw of a proplet. It is written when something changes, never for a heartbeat alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PropletStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How much the proplet takes, as it declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// What the proplet says of itself and its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostInfo>,
    /// `Ready`: its heartbeats arrive. Its reason is `Cordoned` while `spec.unschedulable` keeps new tasks away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])))]
    pub conditions: Vec<Condition>,
}

impl PropletStatus {
    /// The condition that says whether the proplet is there. It can be, and be cordoned.
    pub const READY: &str = "Ready";
}

/// How much a proplet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Tasks that it runs at once.
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub tasks: u32,
    /// Memory that all of them may use together.
    pub memory: Memory,
    /// Memory of a task that doesn't say how much it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_memory: Option<Memory>,
    /// Most memory that a single task is given. Absent means all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_task_memory: Option<Memory>,
}

/// What a proplet says of itself and its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostInfo {
    /// Version of the proplet.
    pub version: String,
    /// Operating system, in Rust's words: `linux`, `macos`, …
    pub os: String,
    /// Processor architecture, in Rust's words: `x86_64`, `aarch64`, …
    pub arch: String,
    /// Processors that the process may use.
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub cpus: u32,
}
