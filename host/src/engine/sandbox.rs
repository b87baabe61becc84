//! What any run gets, whatever it runs: bounds, identity, grants, input and output, and how to end it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Granted, Stdio};

/// The walls around one run.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// What the run may use.
    pub limits: Limits,
    /// Which task the guest is told that it runs for.
    pub task: Arc<TaskContext>,
    /// What it may reach.
    pub grants: Granted,
    /// Where its standard input comes from, and its standard output and error go.
    pub stdio: Stdio,
    /// Cancel this to end the run, wherever it is.
    pub cancel: CancellationToken,
}

/// Bounds of one run. Of a service, memory is that of all its instances and connections together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes over all memories and tables together, and what the host holds on behalf of the run.
    pub memory: u64,
    /// From when the call's turn comes, instantiation included, to its end.
    pub deadline: Duration,
    /// Bytes of the result's JSON text.
    pub result: usize,
}

impl Limits {
    /// What a report carries of a result: it must fit an MQTT packet, the journal and a Kubernetes object.
    pub const DEFAULT_RESULT_BYTES: usize = 64 << 10;
}

/// What `propeller:task/context` tells a guest. `wit/task` says what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskContext {
    /// The namespace that the task lives in.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Its unique id.
    pub uid: String,
    /// Which attempt at it this is, from 1.
    pub attempt: u32,
}
