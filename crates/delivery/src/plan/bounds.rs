//! What ends or holds up a task from outside: its deadlines, `spec.cancel`, `spec.suspend`, and its time to be kept.

use jiff::{SignedDuration, Timestamp};
use propeller_api::{Phase, condition, is_true, types};

use super::{Action, Draft, after, dispatched};
use crate::reason;

/// The control plane's deadline is this much later than the proplet's, which ends the guest itself and reports what it used.
const DEADLINE_GRACE: SignedDuration = SignedDuration::from_secs(2);

/// A task that has ended is deleted when it was kept for as long as it should be.
pub(super) fn keep(draft: &mut Draft<'_>) {
    let ended = draft.status.completion_time;
    let kept = draft.view.task.spec.ttl_seconds_after_finished;
    let Some((ended, kept)) = ended.zip(kept) else { return };
    let until = after(ended, SignedDuration::from_secs(kept.into()));
    if draft.view.now >= until {
        draft.actions.push(Action::Delete);
    } else {
        draft.wake_at(until);
    }
}

pub(super) fn cancel(draft: &mut Draft<'_>) {
    let runs = draft.status.phase != Phase::Pending;
    draft.end(Phase::Cancelled, reason::CANCELLED, "spec.cancel is true");
    if runs {
        dispatched::stop(draft);
    }
}

/// Says whether the task is suspended, and returns that.
pub(super) fn is_suspended(draft: &mut Draft<'_>) -> bool {
    let was = is_true(&draft.status.conditions, types::SUSPENDED);
    if draft.view.task.spec.suspend {
        draft.say(types::SUSPENDED, true, reason::SUSPENDED, "spec.suspend is true");
        // Its time starts anew with the attempt after this, as that of a Job does.
        draft.status.start_time = None;
    } else if was {
        draft.say(types::SUSPENDED, false, reason::RESUMED, "spec.suspend is false");
    }
    draft.view.task.spec.suspend
}

/// Ends the task if its time is over: that to be accepted for the first time, or that to run, over all attempts. Returns whether it did.
pub(super) fn is_over(draft: &mut Draft<'_>, accepted: Option<Timestamp>) -> bool {
    let spec = &draft.view.task.spec;
    let Some(started) = draft.status.start_time.or(accepted) else {
        let Some((until, seconds)) = start_deadline(draft) else {
            return false;
        };
        let message = format!("no proplet accepted it within startDeadlineSeconds: {seconds}");
        return ends_at(draft, until, reason::START_DEADLINE_EXCEEDED, &message);
    };
    let Some(seconds) = spec.active_deadline_seconds else {
        return false;
    };
    let until = after(started, SignedDuration::from_secs(seconds.into()) + DEADLINE_GRACE);
    let message = format!("took longer than activeDeadlineSeconds: {seconds}");
    ends_at(draft, until, reason::DEADLINE_EXCEEDED, &message)
}

fn ends_at(draft: &mut Draft<'_>, until: Timestamp, reason: &str, message: &str) -> bool {
    let is_over = draft.view.now >= until;
    if !is_over {
        draft.wake_at(until);
        return false;
    }
    let runs = draft.status.phase != Phase::Pending;
    draft.fail(reason, message);
    if runs {
        dispatched::stop(draft);
    }
    true
}

/// Until when somebody must have accepted the task.
fn start_deadline(draft: &Draft<'_>) -> Option<(Timestamp, u32)> {
    let task = draft.view.task;
    let seconds = task.spec.start_deadline_seconds?;
    let resumed = condition(&draft.status.conditions, types::SUSPENDED).map(|said| said.last_transition_time);
    let since = resumed.max(task.metadata.creation_timestamp)?;
    Some((after(since, SignedDuration::from_secs(seconds.into())), seconds))
}
