//! Resolving, as the brain needs it: a reference becomes a digest, and a call is checked against the component's types.

use std::future::Future;

use jiff::Timestamp;
use propeller_api::Work;
use propeller_delivery::plan::{Resolution, Resolved, Unresolved};

use super::backoff::{Backoff, after};

/// Between two tries of a reference that can't be resolved for now: registries come back, and people push what was missing.
const RETRY: Backoff = Backoff {
    first_seconds: 10,
    longest_seconds: 300,
};

/// Resolves references and checks what is to run. It bounds by itself how much it does at once.
pub trait Resolver: Send + Sync + 'static {
    /// The digest that `image` stands for now, if `work` fits that component.
    fn resolve(&self, image: &str, work: &Work) -> impl Future<Output = Result<Resolved, Trouble>> + Send;
}

/// Why a reference or a call can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word that stays the same over versions.
    pub reason: String,
    /// For people, with what to change.
    pub message: String,
    /// Whether the same reference and call may work later.
    pub is_transient: bool,
}

/// What the plan is told of a try, `failures` being the transient failures in a row with this one.
pub(super) fn resolution(
    uid: &str,
    failures: u32,
    now: Timestamp,
    (image, work): (String, Work),
    result: Result<Resolved, Trouble>,
) -> Resolution {
    let outcome = result.map_err(|trouble| Unresolved {
        reason: trouble.reason,
        message: trouble.message,
        retry_at: trouble
            .is_transient
            .then(|| after(now, RETRY.delay(uid, failures.saturating_sub(1)))),
    });
    Resolution { image, work, outcome }
}
