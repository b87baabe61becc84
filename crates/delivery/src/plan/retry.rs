//! An attempt that was accepted has failed: the task is tried again, or it has failed too.

use propeller_api::FailureKind;
use propeller_api::{Phase, is_true, types};
use serde_json::Value;

use super::{Draft, after};

/// Attempts that follow failed ones, if the task doesn't say.
const BACKOFF_LIMIT: u32 = 6;
/// Names of proplets that are remembered. Beyond that a retry may come back to the first.
const MAX_TRIED: usize = 32;

/// How an attempt failed.
pub(super) struct Failed<'a> {
    /// Why, in one CamelCase word.
    pub(super) reason: &'a str,
    /// Why, for people.
    pub(super) message: &'a str,
    /// The value of an `err` result.
    pub(super) error: Option<Value>,
}

/// Ends the task with that failure, or has another attempt follow.
pub(super) fn failed(draft: &mut Draft<'_>, failed: Failed<'_>) {
    draft.status.failures = draft.status.failures.saturating_add(1);
    let (failures, limit) = (draft.status.failures, limit(draft));
    if !is_retried(draft, failed.reason) {
        draft.status.error = failed.error;
        draft.fail(failed.reason, failed.message);
    } else if failures > limit {
        draft.status.error = failed.error;
        let message = match limit {
            0 => failed.message.to_owned(),
            limit => format!("{} (and backoffLimit: {limit} is reached)", failed.message),
        };
        draft.fail(failed.reason, &message);
    } else {
        again(draft, failed.reason, failed.message);
    }
}

fn limit(draft: &Draft<'_>) -> u32 {
    draft.view.task.spec.backoff_limit.unwrap_or(BACKOFF_LIMIT)
}

fn is_retried(draft: &Draft<'_>, reason: &str) -> bool {
    let policy = draft.view.task.spec.retry_policy.clone().unwrap_or_default();
    FailureKind::of(reason).is_some_and(|kind| policy.retry_on.contains(&kind))
}

fn again(draft: &mut Draft<'_>, reason: &str, message: &str) {
    let retry = after(draft.now(), draft.view.pace.backoff(draft.uid(), draft.status.failures));
    remember_tried(draft);
    draft.status.retry_time = Some(retry);
    unplaced(draft, reason, message);
    draft.wake_at(retry);
}

/// The next attempt goes elsewhere, if it can.
pub(super) fn remember_tried(draft: &mut Draft<'_>) {
    let Some(name) = draft.status.proplet.clone() else {
        return;
    };
    let tried = &mut draft.status.tried;
    tried.retain(|tried| *tried != name);
    tried.push(name);
    if tried.len() > MAX_TRIED {
        tried.remove(0);
    }
}

/// No attempt is under way any more.
pub(super) fn unplaced(draft: &mut Draft<'_>, reason: &str, message: &str) {
    draft.status.phase = Phase::Pending;
    if is_true(&draft.status.conditions, types::STARTED) {
        draft.say(types::STARTED, false, reason, message);
    }
    draft.say_unplaced(reason, message);
}
