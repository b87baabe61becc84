//! Task: one run of one component, and what became of it.

use std::{fmt, num::NonZeroU16};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Condition, Digest, Grants, JournalId, LabelSelector, Memory, Object, OnDisconnect, PropletId, Resource, RetryPolicy,
};

/// The names of a Task's conditions, in the order in which they come true.
pub mod types {
    /// `spec.suspend` holds the task up. Only said of tasks that were suspended once.
    pub const SUSPENDED: &str = "Suspended";
    /// The reference is a digest, and the call fits the component's types.
    pub const RESOLVED: &str = "Resolved";
    /// A proplet was chosen, and the attempt was written.
    pub const SCHEDULED: &str = "Scheduled";
    /// The proplet accepted the attempt. Only said of tasks that run for longer than a moment.
    pub const STARTED: &str = "Started";
    /// A service listens at `status.address`. Only said of services.
    pub const READY: &str = "Ready";
    /// The task has ended, however it did: `kubectl wait --for=condition=Finished`.
    pub const FINISHED: &str = "Finished";
}

/// The kind `Task`.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskKind {}

impl Resource for TaskKind {
    const KIND: &str = "Task";
    type Spec = TaskSpec;
    type Status = TaskStatus;
}

/// One call of one component.
pub type Task = Object<TaskKind>;

/// What to run, and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [{
        "rule": "!(has(self.proplet) && has(self.propletSelector))",
        "message": "proplet and propletSelector exclude each other: name one proplet, or select by labels",
    }, {
        "rule": "[has(self.call), has(self.command), has(self.service)].filter(given, given).size() == 1",
        "message": "exactly one of call, command and service says what to run",
    }, {
        "rule": "!(has(self.service) && has(self.activeDeadlineSeconds))",
        "message": "a service runs until its Task is deleted: activeDeadlineSeconds is for calls and commands",
    }, {
        "rule": "!has(self.service) || !(has(self.backoffLimit) || has(self.retryPolicy) || has(self.ttlSecondsAfterFinished))",
        "message": "a service is placed anew whenever it ends: backoffLimit, retryPolicy and ttlSecondsAfterFinished are for calls and commands",
    }]))
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSpec {
    /// Reference of the component in an OCI registry: `registry/repository:tag` or `registry/repository@sha256:…`. A tag is resolved to a
    /// digest once, and the digest is what runs.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1024)))]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-validations" = [{
            "rule": "!self.contains(' ') && !self.contains('://')",
            "message": "image is a reference such as registry.example/team/component:1.0.0, without a scheme and without spaces",
        }]))
    )]
    pub image: String,

    /// The exported function to call, and its arguments. Exactly one of `call`, `command` and `service` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,

    /// Runs the component as a program: it exports `wasi:cli/run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,

    /// Serves HTTP with the component until the Task is deleted: it exports `wasi:http/incoming-handler` or `wasi:http/handler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,

    /// What the task may reach beyond its own memory. Absent means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,

    /// Name of the Proplet, in the Task's namespace, that must run it. Neither this nor `propletSelector` means any proplet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub proplet: Option<String>,

    /// Labels of the Proplets, in the Task's namespace, of which one may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proplet_selector: Option<LabelSelector>,

    /// What the task may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Who goes first when tasks wait for a place: the higher number, then the older task. Nothing that runs is stopped for it.
    #[serde(default, skip_serializing_if = "is_nought")]
    #[cfg_attr(feature = "schema", schemars(range(min = -1_000_000_000, max = 1_000_000_000)))]
    pub priority: i32,

    /// While true, the task isn't dispatched, and an attempt that runs is stopped, which counts as no failure. False resumes it with another
    /// attempt.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,

    /// True ends the task as `Cancelled`, whatever it does. There is no way back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancel: bool,

    /// How many failed attempts are followed by another one: 0 to 100. Absent means 6. The first follows after 10 seconds, each later one after
    /// twice as long, up to 6 minutes. A start that a proplet refuses, or doesn't answer, is no failed attempt. Not for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<i32>", range(min = 0, max = 100)))]
    pub backoff_limit: Option<u32>,

    /// Which failures are tried again. Absent means `Lost` and `Unavailable`. Not for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,

    /// What happens to an attempt whose proplet is cut off. Absent means `Continue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disconnect: Option<OnDisconnect>,

    /// Seconds that the proplet of an accepted attempt may be away before the attempt counts as lost. 1 to 31536000. Absent means 300 for calls
    /// and commands, and 60 for services. With `onDisconnect: Stop` it is never less than what makes sure that the attempt has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<i64>", range(min = 1, max = 31_536_000)))]
    pub lost_after_seconds: Option<u32>,

    /// Seconds that the task may wait for a proplet to accept it, from its creation or its resumption; it fails with `StartDeadlineExceeded` after
    /// that. 1 to 31536000. Absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<i64>", range(min = 1, max = 31_536_000)))]
    pub start_deadline_seconds: Option<u32>,

    /// Seconds after its end that the task is kept, then it is deleted: 0 to 31536000. Absent means for ever. Not for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<i64>", range(min = 0, max = 31_536_000)))]
    pub ttl_seconds_after_finished: Option<u32>,

    /// Seconds that the task may take from the moment a proplet first accepted it, over all attempts; it fails with `DeadlineExceeded` after
    /// that. 1 to 31536000 (a year). Absent means no limit beyond the proplet's own. A service has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "Option<i64>", range(min = 1, max = 31_536_000)))]
    pub active_deadline_seconds: Option<u32>,
}

/// A call of an exported function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// Name of the function: bare (`add`) when only one export has it, or qualified by its interface
    /// (`propeller:examples/math@1.0.0#add`).
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 512)))]
    pub function: String,
    /// Arguments: a list by position, or an object by parameter name. Literals, checked against the component's types before dispatch.
    #[serde(default = "no_args")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::any_json"))]
    pub args: Value,
}

fn no_args() -> Value {
    Value::Array(Vec::new())
}

/// A program, as its component's `wasi:cli/run` is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Command {
    /// Its arguments, without the program's own name. 262144 characters at most, all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 256), inner(length(max = 32_768), regex(pattern = "^[^\\x00]*$")))
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-validations" = [{
            "rule": "self.map(arg, arg.size()).sum() <= 262144",
            "message": "the arguments have more than 262144 characters: put data into a file or an environment variable",
        }]))
    )]
    pub args: Vec<String>,
}

/// An HTTP service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// TCP port on the proplet that it listens on. Absent means one that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<i32>", range(min = 1, max = 65535)))]
    pub port: Option<NonZeroU16>,
}

/// What a task does: the one of `call`, `command` and `service` that its spec has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// Calls one function.
    Call(Call),
    /// Runs a program.
    Command(Command),
    /// Serves HTTP.
    Service(Service),
}

impl TaskSpec {
    /// What to run, or nothing if the spec doesn't say exactly one thing.
    pub fn work(&self) -> Option<Work> {
        match (&self.call, &self.command, &self.service) {
            (Some(call), None, None) => Some(Work::Call(call.clone())),
            (None, Some(command), None) => Some(Work::Command(command.clone())),
            (None, None, Some(service)) => Some(Work::Service(service.clone())),
            _ => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => write!(f, "calls {}", call.function),
            Self::Command(_) => f.write_str("runs as a program"),
            Self::Service(_) => f.write_str("serves HTTP"),
        }
    }
}

/// What a task may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// One bound over all memories and tables of the task, such as `64Mi`; of a service, over all its instances together. Growing past it
    /// fails the task, or the request, with `OutOfMemory`.
    /// Absent means the proplet's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Phase {
    /// Not dispatched: the reference isn't resolved, or no proplet fits. The conditions say which, and why.
    #[default]
    Pending,
    /// An attempt was written and is published to its proplet.
    Dispatched,
    /// The proplet accepted the attempt.
    Running,
    /// The call returned, and `results` has its value; or the program exited with 0.
    Completed,
    /// The task won't run, or what ran failed; the condition `Finished` says why.
    Failed,
    /// `spec.cancel` ended it.
    Cancelled,
}

impl Phase {
    /// Every phase, in the order in which a task may come to it.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Dispatched,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the task has ended. What has ended stays ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What the control plane saw of a task. It is the only writer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far the task has come.
    #[serde(default)]
    pub phase: Phase,
    /// What runs: `registry/repository@sha256:…`, the digest being the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Digest of the component itself, the layer that the manifest names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    /// Name of the Proplet that the newest attempt was placed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proplet: Option<String>,
    /// Number of the newest attempt; 0 until the first dispatch. It fences: reports of any other attempt don't count.
    #[serde(default)]
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub attempt: u32,
    /// Where the newest attempt was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<Dispatch>,
    /// Accepted attempts that failed, which count against `spec.backoffLimit`. Of a service, those that ended in a row: since one that ran for
    /// ten minutes.
    #[serde(default, skip_serializing_if = "is_zero")]
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub failures: u32,
    /// Names of the Proplets on which attempts failed, the newest last. Others are preferred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// Earlier attempts that count as lost, and whose proplets may still run them. If one of them completes after all, so does the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostAttempt>,
    /// No attempt before that time, because the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Timestamp>,
    /// Proplets that refused the task since one last accepted it, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<PropletRefusal>,
    /// Where a service listens: `http://192.168.1.7:41234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When the control plane first knew that a proplet had accepted the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Number of the attempt whose end was the task's. Absent if the control plane ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<i64>"))]
    pub finished_attempt: Option<u32>,
    /// When the task ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    /// The call's result as JSON, typed by the function: a number, a string, an object, … Absent when the function returns nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::any_json"))]
    pub results: Option<Value>,
    /// The typed value of an `err` result when the call returned one, or `{"exitCode": …}` when a program exited with another code than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::any_json"))]
    pub error: Option<Value>,
    /// What the attempt that ended the task used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// `Resolved`, `Scheduled`, `Started`, `Ready` of a service, and `Finished`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])))]
    pub conditions: Vec<Condition>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_nought(number: &i32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Milliseconds from the begin of what ran to its end.
    #[serde(default)]
    // API servers know no format for unsigned numbers, here and below.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub wall_millis: u64,
    /// Milliseconds of processor time that its own code took.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub cpu_millis: u64,
    /// Most bytes that memories and tables had together.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub peak_memory_bytes: u64,
    /// Bytes that it was given: arguments, input, what it received over HTTP and from key-value buckets.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub bytes_in: u64,
    /// Bytes that it gave: its result, output, what it sent over HTTP and to key-value buckets.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub bytes_out: u64,
}

/// A proplet that refused the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PropletRefusal {
    /// Name of the Proplet.
    pub proplet: String,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// How often it did, in a row.
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub count: u32,
    /// It isn't asked again before that time.
    pub until: Timestamp,
}

/// An attempt that counts as lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LostAttempt {
    /// Its number.
    // API servers know no format for unsigned numbers.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub attempt: u32,
    /// Name of the Proplet that it was placed on.
    pub proplet: String,
    /// Identity of that proplet on the message bus.
    pub proplet_id: PropletId,
    /// Its journal.
    pub journal: JournalId,
}

/// Where an attempt was sent. Only this proplet's reports about it count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Dispatch {
    /// Identity of the proplet on the message bus.
    pub proplet_id: PropletId,
    /// Its journal. A cloned or re-imaged device has another and refuses the attempt.
    pub journal: JournalId,
    /// When the attempt was written: the start that carries it was issued then.
    pub time: Timestamp,
    /// When the control plane knew that the proplet had accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Timestamp>,
}
