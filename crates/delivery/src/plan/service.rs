//! What is different for a service: it runs until its Task is deleted, and it is ready while it listens.
//!
//! An attempt of it is one placement. Its proplet starts it again in place after a trap; when the proplet gives up, or is gone, the next
//! attempt follows after a backoff that grows with every placement that didn't last.

use jiff::Timestamp;
use propeller_api::{Phase, condition, is_true, types};

use super::{Draft, after, dispatched};
use crate::{inbox::Observed, reason};

/// The placement has ended: the next one follows.
pub(super) fn ended(draft: &mut Draft<'_>, reason: &str, message: &str) {
    let (now, pace) = (draft.now(), draft.view.pace);
    let status = &mut draft.status;
    let accepted = status.dispatch.as_ref().and_then(|dispatch| dispatch.accepted);
    let has_lasted = accepted.is_some_and(|accepted| now.duration_since(accepted) >= pace.settled_after);
    status.failures = if has_lasted {
        1
    } else {
        status.failures.saturating_add(1)
    };
    let retry = after(now, pace.backoff(status.failures));
    status.phase = Phase::Pending;
    status.retry_time = Some(retry);
    status.address = None;
    if is_true(&status.conditions, types::STARTED) {
        draft.say(types::STARTED, false, reason, message);
    }
    draft.say_unplaced(reason, message);
    draft.wake_at(retry);
}

/// Whether there is nothing to do but wait for its proplet, which is away. When that takes too long, or the Proplet is deleted, the placement
/// has ended.
pub(super) fn is_cut_off(draft: &mut Draft<'_>) -> bool {
    let Some(id) = draft.status.dispatch.as_ref().map(|dispatch| &dispatch.proplet_id) else {
        return false;
    };
    let Some(member) = draft.view.fleet.member(id) else {
        give_up(draft, "the Proplet that it was placed on is gone");
        return true;
    };
    let Some(since) = member.away_since else { return false };
    let until = after(since, draft.view.pace.lost_after);
    if draft.view.now >= until {
        give_up(draft, &format!("{} is away since {since}", member.name));
    } else {
        let message = format!("{} is away; the service is placed anew if that lasts", member.name);
        draft.say(types::READY, false, reason::PROPLET_OFFLINE, &message);
        draft.wake_at(until);
    }
    true
}

/// A proplet that comes back still has the service, and finds the stop waiting for it.
fn give_up(draft: &mut Draft<'_>, message: &str) {
    dispatched::stop(draft);
    ended(draft, reason::LOST, message);
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
    match &address {
        Some(address) => draft.say(types::READY, true, reason::LISTENING, &format!("listens at {address}")),
        None if listened => {
            let message = format!("it ended, and {name} starts it again");
            draft.say(types::READY, false, reason::RESTARTING, &message);
        }
        None if dispatched::is_queued(draft, observed) => {
            let message = format!("{name} has it wait for room");
            draft.say(types::READY, false, reason::QUEUED, &message);
        }
        None => draft.say(types::READY, false, reason::STARTING, &format!("{name} is starting it")),
    }
    draft.status.address = address;
}

/// Whether this placement of it was ready before, as far as the status says.
fn has_listened(draft: &Draft<'_>) -> bool {
    let ready = condition(&draft.status.conditions, types::READY);
    draft.status.address.is_some() || ready.is_some_and(|ready| ready.reason == reason::RESTARTING)
}
