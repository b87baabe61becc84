//! Messages from the control plane to a proplet.

use std::time::Duration;

use jiff::Timestamp;
use propeller_api::{Digest, Grants, Memory, Work};
use serde::{Deserialize, Serialize};

use crate::{AttemptRef, ControllerId, JournalId, requires};

/// Run this attempt. Topic `control/manager/start/{proplet}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Who dispatches.
    pub controller: ControllerId,
    /// The journal that the attempt is meant for.
    pub journal: JournalId,
    /// Which attempt of which task.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// When the attempt was written, on the control plane's clock. Publishing it again doesn't change it.
    pub issued_at: Timestamp,
    /// Seconds after `issued_at` for which the start may be accepted.
    pub window_seconds: u32,
    /// What the proplet must know to do this right. One that it doesn't know makes it answer `Unsupported`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// `registry/repository@sha256:…`, the manifest's digest: where to fetch from.
    pub image: String,
    /// Digest of the component, which is what runs.
    pub component: Digest,
    /// What to run: `call`, `command` or `service`.
    #[serde(flatten)]
    pub work: Work,
    /// What the attempt may reach, if the proplet's policy allows it. Absent means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    /// What the attempt may use.
    pub limits: Limits,
}

impl Start {
    /// Whether the attempt runs only with a lease.
    pub fn needs_lease(&self) -> bool {
        self.requires.iter().any(|word| word == requires::LEASE)
    }
}

/// Bounds of one attempt. Absent means the proplet's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Over all memories and tables of the instance, and the host's buffers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Seconds from accept to the end. A service has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u32>,
}

/// End this attempt, and every older one of the task. Topic `control/manager/stop/{proplet}`. It wins over a start that arrives later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Who wants it.
    pub controller: ControllerId,
    /// The journal that holds the attempt.
    pub journal: JournalId,
    /// Up to which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// When it was wanted, on the control plane's clock: every start that it is about was issued before.
    pub issued_at: Timestamp,
}

/// The outcome of this attempt needs not be repeated: the journal may forget it. Topic `control/manager/ack/{proplet}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// Who answers.
    pub controller: ControllerId,
    /// The journal that holds the outcome.
    pub journal: JournalId,
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// What became of the outcome.
    pub verdict: Verdict,
}

/// What became of a reported outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is in the task's durable status.
    Recorded,
    /// Another attempt, or another end, counts.
    Superseded,
    /// The task is gone.
    Discarded,
}

/// How long a lease lasts: what a start requires as [`LEASE`](crate::requires::LEASE) runs only within this time of the sending of a heartbeat
/// that was echoed. A proplet that has such attempts sends heartbeats often enough.
pub const LEASE: Duration = Duration::from_secs(30);

/// A heartbeat echoed: the proplet knows by it that the control plane hears it, and what time it has. Topic
/// `control/manager/lease/{proplet}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Who echoes.
    pub controller: ControllerId,
    /// The journal that the heartbeat came from.
    pub journal: JournalId,
    /// Sequence number of the heartbeat.
    pub sequence: u64,
    /// The control plane's clock.
    pub now: Timestamp,
}
