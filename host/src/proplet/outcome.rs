//! From how a run ended to what is reported of it.

use std::{io, net::SocketAddr};

use propeller_artifact as artifact;
use propeller_delivery::reason;
use propeller_protocol::{Failure, Outcome, Usage};
use propeller_types::InvalidFunctionRef;
use serde_json::{Value, json};
use tokio::task::JoinError;

use super::{
    chain::{chain, clip},
    limits::Limits,
};
use crate::engine::{self, Exit, Figures, InvokeError, PrepareError, Refused, Returned};

/// Why an attempt is ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The control plane doesn't want it any more.
    Cancelled,
    /// The proplet ends.
    Interrupted,
    /// Nobody may hear of it any more.
    Unheard,
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The start's image isn't a reference.
    #[error(transparent)]
    Image(#[from] artifact::InvalidReference),
    /// The start's function isn't a function's name.
    #[error(transparent)]
    Function(#[from] InvalidFunctionRef),
    /// A grant can't be had any more.
    #[error(transparent)]
    Grant(#[from] Refused),
    /// The service's address can't be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The program says that it failed.
    #[error("the program exited with code {0}")]
    Exited(i32),
    /// The component couldn't be fetched.
    #[error(transparent)]
    Fetch(#[from] artifact::Error),
    /// The component can't be run here.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The call failed.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    /// Time was up before the call began.
    #[error("the deadline passed before the component was ready")]
    Late,
    /// Ended from outside.
    #[error("it was cancelled")]
    Stopped,
    /// The run itself died. It is a defect of the host.
    #[error("the host failed to run the task")]
    Died(#[from] JoinError),
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The result as JSON if the function returns one, or why there is none.
    pub result: Result<Option<Value>, RunError>,
    /// What the call used.
    pub figures: Figures,
}

impl From<engine::Outcome<Returned>> for Run {
    fn from(outcome: engine::Outcome<Returned>) -> Self {
        let result = outcome.result.map(|returned| returned.json().cloned());
        Self {
            result: result.map_err(RunError::Invoke),
            figures: outcome.figures,
        }
    }
}

impl From<engine::Outcome<Exit>> for Run {
    fn from(outcome: engine::Outcome<Exit>) -> Self {
        let result = match outcome.result {
            Ok(Exit { code: 0 }) => Ok(None),
            Ok(Exit { code }) => Err(RunError::Exited(code)),
            Err(error) => Err(RunError::Invoke(error)),
        };
        Self {
            result,
            figures: outcome.figures,
        }
    }
}

impl Run {
    /// A run in which nothing was called.
    pub fn failed(error: impl Into<RunError>) -> Self {
        Self {
            result: Err(error.into()),
            figures: Figures::default(),
        }
    }
}

/// What to report of a run that had these limits. `why` says who ended it, if somebody did.
pub fn outcome(run: Run, limits: &Limits, why: Option<Why>) -> Outcome {
    let usage = Usage {
        wall_millis: u64::try_from(run.figures.wall.as_millis()).unwrap_or(u64::MAX),
        cpu_millis: u64::try_from(run.figures.cpu.as_millis()).unwrap_or(u64::MAX),
        peak_memory_bytes: run.figures.peak_memory,
        bytes_in: run.figures.bytes_in,
        bytes_out: run.figures.bytes_out,
    };
    match run.result {
        Ok(results) => Outcome::Completed { results, usage },
        Err(error) => Outcome::Failed {
            failure: failure(error, limits, why),
            usage,
        },
    }
}

/// What to report of an attempt whose deadline passed before there was room for it.
pub fn overdue(limits: &Limits) -> Outcome {
    let message = format!(
        "the deadline passed while the task waited for room: {}",
        limits.about_deadline()
    );
    let failure = Failure {
        reason: reason::DEADLINE_EXCEEDED.to_owned(),
        message,
        error: None,
    };
    Outcome::Failed {
        failure,
        usage: Usage::default(),
    }
}

impl RunError {
    /// A stable label. Who ended it isn't known here: see [`outcome`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stopped => reason::CANCELLED,
            Self::Late => reason::DEADLINE_EXCEEDED,
            Self::Image(_) => "InvalidReference",
            Self::Function(_) => "InvalidFunction",
            Self::Grant(error) => error.reason(),
            Self::Listen { .. } => "ListenFailed",
            Self::Exited(_) => "Exited",
            Self::Fetch(error) => error.reason(),
            Self::Prepare(error) => error.reason(),
            Self::Invoke(error) => error.reason(),
            Self::Died(_) => "HostFailure",
        }
    }
}

fn failure(error: RunError, limits: &Limits, why: Option<Why>) -> Failure {
    let stopped = matches!(error, RunError::Stopped | RunError::Invoke(InvokeError::Cancelled));
    let (reason, message) = match why {
        Some(Why::Interrupted) if stopped => (
            reason::INTERRUPTED,
            "the proplet was shut down while the task ran".to_owned(),
        ),
        Some(Why::Unheard) if stopped => (
            reason::LEASE_EXPIRED,
            "the control plane wasn't heard for a lease, and onDisconnect is Stop".to_owned(),
        ),
        _ => (error.reason(), explain(&error, limits)),
    };
    let value = match error {
        RunError::Invoke(InvokeError::ErrResult { value }) => value,
        RunError::Exited(code) => Some(json!({"exitCode": code})),
        _ => None,
    };
    Failure {
        reason: reason.to_owned(),
        message: clip(message),
        error: value,
    }
}

/// Words for people. Where the proplet's own settings decide, the words say so, which the engine can't.
fn explain(error: &RunError, limits: &Limits) -> String {
    match error {
        RunError::Stopped | RunError::Invoke(InvokeError::Cancelled) => "the task was cancelled".to_owned(),
        RunError::Late => format!("{error}: {}", limits.about_deadline()),
        RunError::Invoke(InvokeError::DeadlineExceeded { .. }) => {
            format!("it did not end in time: {}", limits.about_deadline())
        }
        RunError::Invoke(InvokeError::OutOfMemory { .. }) => limits.about_memory(),
        RunError::Invoke(InvokeError::Trap { message, backtrace }) => {
            let lines: Vec<&str> = [message].into_iter().chain(backtrace).map(String::as_str).collect();
            lines.join("\n")
        }
        error => chain(error),
    }
}
