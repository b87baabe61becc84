//! What happens to a task when an attempt of it fails, or its proplet is away.

use serde::{Deserialize, Serialize};

/// Which failures are tried again, as long as `backoffLimit` allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryPolicy {
    /// Kinds of failures. An empty list retries nothing.
    #[serde(default = "usual")]
    #[cfg_attr(feature = "schema", schemars(length(max = 5)))]
    #[cfg_attr(feature = "schema", schemars(extend("x-kubernetes-list-type" = "set")))]
    pub retry_on: Vec<FailureKind>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retry_on: usual() }
    }
}

/// What has nothing to do with the component: elsewhere, or later, it may work.
fn usual() -> Vec<FailureKind> {
    vec![FailureKind::Lost, FailureKind::Unavailable]
}

/// Why attempts fail, as far as it matters for trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FailureKind {
    /// The proplet was restarted, went away for too long or lost its journal.
    Lost,
    /// What the proplet needs for it wasn't there: its registry or mirror didn't give the component, the
    /// compiler was killed, a granted directory is missing.
    Unavailable,
    /// The component trapped.
    Trap,
    /// The function returned an `err` result, or the program exited with another code than 0.
    ErrResult,
    /// It needed more memory than it may have.
    OutOfMemory,
}

impl FailureKind {
    /// The kind of a failure with that reason; nothing for those that another attempt can't mend: a deadline, a component that can't be
    /// compiled, a result that is too large.
    pub fn of(reason: &str) -> Option<Self> {
        Some(match reason {
            "Lost" | "Interrupted" | "LeaseExpired" => Self::Lost,
            "Trap" => Self::Trap,
            "ErrResult" | "Exited" => Self::ErrResult,
            "OutOfMemory" => Self::OutOfMemory,
            "Busy"
            | "HostFailure"
            | "ListenFailed"
            | "CompileOutOfMemory"
            | "CompileTooLong"
            | "DirectoryUnavailable"
            | "KeyValueUnavailable"
            | "CacheFailed"
            | "RegistryUnreachable"
            | "RegistryFailed"
            | "RateLimited"
            | "Unauthorized"
            | "CredentialsFailed"
            | "NotFound"
            | "DigestMismatch" => Self::Unavailable,
            _ => return None,
        })
    }
}

/// What happens to an attempt whose proplet is cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnDisconnect {
    /// It goes on, and its result counts when the proplet is back. After `lostAfterSeconds` it is tried elsewhere as well, so that it may run
    /// more than once.
    #[default]
    Continue,
    /// The proplet stops it when it hears nothing of the control plane for one lease. It is tried elsewhere only when it must have stopped: never
    /// two attempts at a time.
    Stop,
}
