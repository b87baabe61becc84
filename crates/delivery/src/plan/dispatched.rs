//! A task that was dispatched: publish until it is answered, follow what the proplet reports, end it at its deadline.

use jiff::{SignedDuration, Timestamp};
use propeller_api::{Dispatch, Phase, is_true, types};
use propeller_protocol::{HeldState, Rejection, Stop};

use super::{Action, Draft, View, after, pending, refusal, service, settle, to_second};
use crate::{fleet::Live, inbox::Observed, reason};

/// The control plane's deadline is this much later than the proplet's, which counts from the same accept but ends the guest itself and
/// reports what it used.
const DEADLINE_GRACE: SignedDuration = SignedDuration::from_secs(2);

pub(super) fn plan(draft: &mut Draft<'_>) {
    let view = draft.view;
    let none = Observed::default();
    let observed = settle::current(&draft.status)
        .and_then(|from| view.inbox.get(&from))
        .unwrap_or(&none);

    if let Some(outcome) = &observed.outcome {
        if let Some(accepted) = &observed.accepted {
            note_accept(draft, accepted.at);
        }
        return settle::record(draft, outcome);
    }
    if draft.is_service() && service::is_cut_off(draft) {
        return;
    }
    match accepted_at(draft, observed) {
        Some(at) if lost(draft, observed, at) => {
            let message = "the proplet no longer holds the attempt that it had accepted: its journal is gone";
            settle::failed(draft, reason::LOST, message);
        }
        Some(at) if draft.is_service() => service::follow(draft, observed, at),
        Some(at) => follow(draft, observed, at),
        None => match &observed.rejected {
            Some(rejection) => rejected(draft, rejection),
            None => until_answered(draft),
        },
    }
}

/// The attempt won't run: another proplet gets the next one, or this one later. Only asked before it was accepted: what runs can't be
/// refused any more, whoever makes the proplet say so.
fn rejected(draft: &mut Draft<'_>, rejection: &Rejection) {
    draft.status.phase = Phase::Pending;
    refusal::note(draft, rejection);
    draft.say_unplaced(&format!("{:?}", rejection.reason), &rejection.message);
    pending::plan(draft);
}

/// Publishes the start that the status stands for.
pub(super) fn publish(draft: &mut Draft<'_>) {
    if let Some((proplet, start)) = pending::start(draft) {
        draft.actions.push(Action::Publish(proplet, Box::new(start)));
        draft.wake_at(after(draft.view.now, draft.view.pace.republish));
    }
}

fn accepted_at(draft: &Draft<'_>, observed: &Observed) -> Option<Timestamp> {
    let said = draft.status.dispatch.as_ref().and_then(|dispatch| dispatch.accepted);
    said.or(observed.accepted.as_ref().map(|accepted| accepted.at))
}

/// With the next write, the status says that and when the attempt was accepted.
fn note_accept(draft: &mut Draft<'_>, at: Timestamp) {
    let (status, at) = (&mut draft.status, to_second(at));
    status.start_time.get_or_insert(at);
    status.refusals.clear();
    if let Some(dispatch) = &mut status.dispatch {
        dispatch.accepted.get_or_insert(at);
    }
}

/// An attempt that was accepted is lost only when an inventory that is later than the accept lacks it. Within one life of the proplet the
/// sequence says what is later; across two, the time of arrival does.
fn lost(draft: &Draft<'_>, observed: &Observed, accepted_at: Timestamp) -> bool {
    let Some(live) = live(draft) else { return false };
    let later = match &observed.accepted {
        Some(accepted) if accepted.boot == live.boot => live.sequence > accepted.sequence,
        _ => live.heard_at > accepted_at,
    };
    later && !holds(draft, live)
}

fn live<'a>(draft: &Draft<'a>) -> Option<&'a Live> {
    draft
        .view
        .fleet
        .member(&draft.status.dispatch.as_ref()?.proplet_id)?
        .live
        .as_ref()
}

fn holds(draft: &Draft<'_>, live: &Live) -> bool {
    held(draft, live).is_some()
}

fn held(draft: &Draft<'_>, live: &Live) -> Option<HeldState> {
    let key = (draft.view.task.metadata.uid.clone(), draft.status.attempt);
    live.inventory.get(&key).copied()
}

/// Whether the proplet has it wait for room, as far as it said.
pub(super) fn is_queued(draft: &Draft<'_>, observed: &Observed) -> bool {
    let held = live(draft).and_then(|live| held(draft, live));
    observed.started.is_none() && held == Some(HeldState::Queued)
}

/// It runs: say so when it takes longer than a moment, and stop it at its deadline.
fn follow(draft: &mut Draft<'_>, observed: &Observed, accepted_at: Timestamp) {
    let now = draft.view.now;
    if let Some(seconds) = draft.view.task.spec.active_deadline_seconds {
        let deadline = after(accepted_at, SignedDuration::from_secs(seconds.into()) + DEADLINE_GRACE);
        if now >= deadline {
            note_accept(draft, accepted_at);
            draft.fail(
                reason::DEADLINE_EXCEEDED,
                &format!("took longer than activeDeadlineSeconds: {seconds}"),
            );
            return stop(draft);
        }
        draft.wake_at(deadline);
    }
    let worth_saying = after(accepted_at, draft.view.pace.started_after);
    if now < worth_saying {
        draft.wake_at(worth_saying);
    } else if is_queued(draft, observed) {
        // It was accepted, and doesn't run: there is nothing to say before it does.
        draft.wake_at(after(now, draft.view.pace.republish));
    } else {
        say_started(draft, accepted_at);
    }
}

pub(super) fn say_started(draft: &mut Draft<'_>, accepted_at: Timestamp) {
    if is_true(&draft.status.conditions, types::STARTED) {
        return;
    }
    draft.status.phase = Phase::Running;
    note_accept(draft, accepted_at);
    let message = format!("{} accepted it", draft.status.proplet.as_deref().unwrap_or_default());
    draft.say(types::STARTED, true, reason::ACCEPTED, &message);
}

pub(super) fn stop(draft: &mut Draft<'_>) {
    if let Some(Dispatch {
        proplet_id, journal, ..
    }) = draft.status.dispatch.clone()
    {
        let View { controller, now, .. } = draft.view;
        let attempt = pending::attempt(draft);
        let stop = Stop {
            controller: controller.clone(),
            journal,
            attempt,
            issued_at: now,
        };
        draft.actions.push(Action::Stop(proplet_id, stop));
    }
}

/// Nobody answered yet: publish the same start again while it is valid. After that it can't run any more, and once the proplet's inventory
/// shows that it doesn't, the task is placed anew. A proplet that is away might still hold it, so then the task waits.
fn until_answered(draft: &mut Draft<'_>) {
    let (now, pace) = (draft.view.now, draft.view.pace);
    let window_end = after(
        draft.status.dispatch.as_ref().map_or(now, |dispatch| dispatch.time),
        pace.start_window,
    );
    if now < window_end {
        let last = draft
            .view
            .published
            .filter(|published| published.attempt == draft.status.attempt);
        match last.map(|published| after(published.at, pace.republish)) {
            Some(next) if now < next => draft.wake_at(next),
            _ => publish(draft),
        }
    } else if live(draft).is_some_and(|live| live.heard_at > window_end && !holds(draft, live)) {
        draft.status.phase = Phase::Pending;
        let message = format!("the proplet didn't accept attempt {} in time", draft.status.attempt);
        draft.say_unplaced(reason::START_EXPIRED, &message);
        pending::plan(draft);
    } else {
        draft.wake_at(after(now, pace.republish));
    }
}
