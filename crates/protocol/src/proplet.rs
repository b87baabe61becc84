//! Messages from a proplet to the control plane.

use std::collections::BTreeMap;

use propeller_api::{Capacity, HostInfo, Labels, MAX_LEVELS, Usage, is_deeper};
use serde::{Deserialize, Serialize, de::Error};
use serde_json::Value;

use crate::{AttemptRef, Boot, ControllerId, JournalId, bounds};

/// Which proplet process speaks, and where in its stream of messages this one stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The journal of the proplet.
    pub journal: JournalId,
    /// This life of the process.
    pub boot: Boot,
    /// Counts the messages of this boot, from 1.
    pub sequence: u64,
}

/// Presence and heartbeat. Topic `control/proplet/alive/{proplet}`.
///
/// The retained copy tells a control plane that has just come what there is; it never proves life. The last will is an [`Alive`] with
/// [`Presence::Offline`] and ends only the boot that it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alive {
    /// Who speaks.
    #[serde(flatten)]
    pub sender: Sender,
    /// Whether it is there, and what it holds.
    #[serde(flatten)]
    pub presence: Presence,
}

/// Whether a proplet is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all of them are heartbeats, and none is kept"
)]
pub enum Presence {
    /// It is, and takes tasks up to its capacity.
    #[serde(rename_all = "camelCase")]
    Alive {
        /// Seconds between heartbeats. After three without one, the proplet is judged offline.
        interval_seconds: u32,
        /// How much it takes.
        capacity: Capacity,
        /// Every attempt that it holds: queued, running, or ended and not acknowledged.
        inventory: Vec<Held>,
        /// What it says of itself and its machine, each at most 64 bytes.
        #[serde(deserialize_with = "bounds::host")]
        host: HostInfo,
        /// Labels for a Proplet resource that is made for it, at most 64.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "bounds::labels"
        )]
        labels: Labels,
        /// What starts may require of it: the words of [`requires`](crate::requires) that it knows, at most 64.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounds::words")]
        capabilities: Vec<String>,
        /// Largest packet, in bytes, that it takes.
        max_packet_bytes: u32,
        /// Messages that it couldn't decode since it started.
        undecodable: u64,
        /// It finishes what it holds and accepts nothing new.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        draining: bool,
    },
    /// It went, or its connection was lost.
    Offline,
}

/// An attempt that a proplet holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// Who dispatched it.
    pub controller: ControllerId,
    /// How far it is.
    pub state: HeldState,
}

/// How far an attempt is on its proplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeldState {
    /// Accepted; it waits for room.
    Queued,
    /// It runs.
    Running,
    /// Ended; the outcome waits for its acknowledgement.
    Finished,
}

/// What became of an attempt so far. Topic `control/proplet/results/{proplet}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Who speaks.
    #[serde(flatten)]
    pub sender: Sender,
    /// Whose attempt it was.
    pub controller: ControllerId,
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// How far it has come.
    #[serde(flatten)]
    pub stage: Stage,
}

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "camelCase")]
pub enum Stage {
    /// It is in the journal, and will run. What ends within a moment doesn't say so: its outcome says it too.
    Accepted,
    /// It won't run.
    Rejected {
        /// Why, and what the control plane may do about it.
        rejection: Rejection,
        /// The newest attempt of the task that the proplet knows, if it is later than the one that it rejects. A control plane whose store was restored
        /// from a backup has forgotten it, and goes on after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest: Option<u32>,
    },
    /// The component runs. A service says it whenever it begins to listen, when it stopped listening and is about to be started again, and
    /// again after every connect.
    Started {
        /// Where a service listens: `http://192.168.1.7:41234`. Absent while it doesn't.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// Why a service doesn't listen, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// It has ended.
    Finished {
        /// How.
        outcome: Outcome,
    },
}

/// Why a start won't run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// For the control plane.
    pub reason: Refusal,
    /// For people.
    pub message: String,
}

/// Why a start was refused, so that the control plane can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// As many tasks as the proplet takes are running, and as many as it lets wait are waiting.
    Busy,
    /// It is shutting down.
    Draining,
    /// It was issued too long ago.
    Expired,
    /// The message isn't a start that this proplet understands.
    Malformed,
    /// A newer attempt of the task, or a stop, was here first.
    Superseded,
    /// It requires what this proplet doesn't know.
    Unsupported,
    /// It is meant for another journal: the device was cloned or re-imaged.
    WrongJournal,
    /// The journal can't be written, a full disk for instance.
    JournalFailed,
    /// The proplet's policy doesn't allow a grant that the task asks for; the message names it.
    NotGranted,
    /// The task needs more memory than the proplet gives any task.
    TooLarge,
}

/// How an attempt ended, and what it used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// The call returned.
    Completed {
        /// The result as JSON; absent when the function returns nothing.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        results: Option<Value>,
        /// What it used.
        #[serde(default)]
        usage: Usage,
    },
    /// It didn't.
    Failed {
        /// Why.
        failure: Failure,
        /// What it used.
        #[serde(default)]
        usage: Usage,
    },
}

/// Without this, a result that is JSON's null, such as an absent option, would read as no result at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if is_deeper(&value, MAX_LEVELS) {
        // In a list of resources it would be unreadable for everybody, and the list with it.
        return Err(Error::custom(format_args!(
            "more than {MAX_LEVELS} levels of lists and objects"
        )));
    }
    Ok(Some(value))
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// One CamelCase word: `Trap`, `OutOfMemory`, `DeadlineExceeded`, `ErrResult`, `Cancelled`, `Interrupted`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// The typed value of an `err` result, or `{"exitCode": 3}` for a program that exited with another code than 0.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub error: Option<Value>,
}

/// Lines that a task wrote. Topic `control/proplet/logs/{proplet}`, QoS 0: logs may be lost, and never crowd out results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logs {
    /// Who speaks.
    #[serde(flatten)]
    pub sender: Sender,
    /// Which attempt wrote them.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// Where it wrote them.
    pub stream: Stream,
    /// The lines, without their ends.
    pub lines: Vec<String>,
}

/// Where a task writes lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Figures of the host process. Topic `control/proplet/metrics/{proplet}`, QoS 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Who speaks.
    #[serde(flatten)]
    pub sender: Sender,
    /// Each figure by its Prometheus name, counters since the process started.
    pub figures: BTreeMap<String, u64>,
}
