//! What is different for a service: it runs until its Task is deleted, and it is ready while it listens.
//!
//! An attempt of it is one placement. Its proplet starts it again in place after a trap; when the proplet gives up, or is gone, the next
//! attempt follows after a backoff that grows with every placement that didn't last.

use jiff::Timestamp;
use propeller_api::{condition, types};

use super::{Draft, after, dispatched, retry, settle};
use crate::{inbox::Observed, reason};

/// The placement has ended: the next one follows.
pub(super) fn ended(draft: &mut Draft<'_>, reason: &str, message: &str) {
    let (now, pace, uid) = (draft.now(), draft.view.pace, draft.uid());
    let status = &mut draft.status;
    let accepted = status.dispatch.as_ref().and_then(|dispatch| dispatch.accepted);
    let has_lasted = accepted.is_some_and(|accepted| now.duration_since(accepted) >= pace.settled_after);
    if has_lasted {
        status.failures = 0;
        status.tried.clear();
    }
    status.failures = status.failures.saturating_add(1);
    let retry = after(now, pace.backoff(uid, status.failures));
    status.retry_time = Some(retry);
    status.address = None;
    retry::remember_tried(draft);
    retry::unplaced(draft, reason, message);
    draft.wake_at(retry);
}

/// Its proplet is away, and may come back.
pub(super) fn wait(draft: &mut Draft<'_>) {
    let name = draft.status.proplet.clone().unwrap_or_default();
    let message = format!("{name} is away; the service is placed anew if that lasts");
    draft.say(types::READY, false, reason::PROPLET_OFFLINE, &message);
}

/// Its proplet has it: says whether it listens, at once when it does, and after a moment when it doesn't.
pub(super) fn follow(draft: &mut Draft<'_>, observed: &Observed, accepted_at: Timestamp) {
    let address = match &observed.started {
        Some(started) => started.address.clone(),
        // Another process of ours may have heard it.
        None => draft.status.address.clone(),
    };
    let listened = has_listened(draft);
    let worth_saying = after(accepted_at, draft.view.pace.started_after);
    if address.is_none() && !listened && draft.view.now < worth_saying {
        return draft.wake_at(worth_saying);
    }
    dispatched::say_started(draft, accepted_at);
    let name = draft.status.proplet.clone().unwrap_or_default();
    let problem = observed.started.as_ref().and_then(|started| started.problem.as_deref());
    let because = problem
        .map(|problem| format!(": {}", settle::cut(problem)))
        .unwrap_or_default();
    match &address {
        Some(address) => draft.say(types::READY, true, reason::LISTENING, &format!("listens at {address}")),
        None if listened => {
            let message = format!("it ended, and {name} starts it again{because}");
            draft.say(types::READY, false, reason::RESTARTING, &message);
        }
        None if dispatched::is_queued(draft, observed) => {
            let message = format!("{name} has it wait for room");
            draft.say(types::READY, false, reason::QUEUED, &message);
        }
        None => {
            let message = match problem {
                Some(_) => format!("{name} can't start it, and tries again{because}"),
                None => format!("{name} is starting it"),
            };
            draft.say(types::READY, false, reason::STARTING, &message);
        }
    }
    draft.status.address = address;
}

/// Whether this placement of it was ready before, as far as the status says.
fn has_listened(draft: &Draft<'_>) -> bool {
    let ready = condition(&draft.status.conditions, types::READY);
    draft.status.address.is_some() || ready.is_some_and(|ready| ready.reason == reason::RESTARTING)
}
