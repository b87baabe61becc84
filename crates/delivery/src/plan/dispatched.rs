//! A task that was dispatched: publish until it is answered, follow what the proplet reports, notice when it's gone.

use jiff::Timestamp;
use propeller_api::{Dispatch, Phase, condition, is_true, types};
use propeller_protocol::{HeldState, Refusal, Rejection, Stop};

use super::{
    Action, Draft, View, after,
    away::{self, Away},
    bounds, pending, refusal, retry, service, settle, to_second,
};
use crate::{fleet::Live, inbox::Observed, reason};

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
        return settle::record(draft, draft.status.attempt, outcome);
    }
    let accepted = accepted_at(draft, observed);
    if bounds::is_suspended(draft) {
        return suspend(draft, observed, accepted);
    }
    if bounds::is_over(draft, accepted) {
        if let Some(at) = accepted {
            note_accept(draft, at);
        }
        return;
    }
    match accepted {
        Some(at) if lost(draft, observed, at) => {
            away::remember(draft);
            settle::failed(draft, reason::LOST, JOURNAL_GONE);
        }
        Some(at) => match away::judge(draft) {
            Away::Lost(why) => give_up(draft, &why),
            Away::Waits if draft.is_service() => service::wait(draft),
            Away::No if draft.is_service() => service::follow(draft, observed, at),
            Away::No | Away::Waits => follow(draft, observed, at),
        },
        None => match &observed.rejected {
            Some(rejection) => rejected(draft, rejection),
            None => until_answered(draft),
        },
    }
}

const JOURNAL_GONE: &str = "the proplet no longer holds the attempt that it had accepted: its journal is gone";

/// The attempt may still run, where nobody hears of it. Its proplet finds the stop when it comes back.
fn give_up(draft: &mut Draft<'_>, why: &str) {
    stop(draft);
    away::remember(draft);
    settle::failed(draft, reason::LOST, why);
}

/// Has the attempt stopped. When it has, and also when it can't run any more, the task waits without one.
fn suspend(draft: &mut Draft<'_>, observed: &Observed, accepted: Option<Timestamp>) {
    let was = draft
        .view
        .task
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    if !is_true(was.unwrap_or_default(), types::SUSPENDED) {
        stop(draft);
    }
    let has_gone = match accepted {
        Some(at) => lost(draft, observed, at),
        None => observed.rejected.is_some() || has_expired(draft),
    };
    let has_gone = has_gone || matches!(away::judge(draft), Away::Lost(_));
    if has_gone {
        away::remember(draft);
        retry::unplaced(draft, reason::SUSPENDED, "spec.suspend is true");
    }
}

/// The attempt won't run: another proplet gets the next one, or this one later. Only asked before it was accepted: what runs can't be
/// refused any more, whoever makes the proplet say so.
fn rejected(draft: &mut Draft<'_>, rejection: &Rejection) {
    if rejection.reason == Refusal::JournalFailed {
        // A proplet that can't write doesn't know after a restart what it refused, and may take the same start then.
        if may_come_back(draft) {
            return;
        }
        away::remember(draft);
    }
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
    let scheduled = condition(&status.conditions, types::SCHEDULED);
    if scheduled.is_some_and(|said| said.reason == reason::BROKER_REFUSES) {
        pending::say_placed(draft);
    }
}

/// An attempt that was accepted is lost only when an inventory that is later than the accept lacks it. Within one life of the proplet the
/// sequence says what is later; across two, the time of arrival does.
fn lost(draft: &mut Draft<'_>, observed: &Observed, accepted_at: Timestamp) -> bool {
    let Some(live) = live(draft) else { return false };
    let later = match &observed.accepted {
        Some(accepted) if accepted.boot == live.boot => live.sequence > accepted.sequence,
        _ => live.heard_at > accepted_at,
    };
    later && !holds(draft, live) && !may_come_back(draft)
}

/// Whether a start may still make a proplet run the attempt that lost it, as one with an older copy of its journal would. Asked only where two
/// attempts at a time are one too many.
fn may_come_back(draft: &mut Draft<'_>) -> bool {
    let last_start = away::last_start(draft);
    let may = away::is_exclusive(draft) && draft.view.now < last_start;
    if may {
        draft.wake_at(last_start);
    }
    may
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

/// It runs: say so when it takes longer than a moment.
fn follow(draft: &mut Draft<'_>, observed: &Observed, accepted_at: Timestamp) {
    let now = draft.view.now;
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
/// shows that it doesn't, the task is placed anew. A proplet that is away might still hold it, so then the task waits, but not for ever.
fn until_answered(draft: &mut Draft<'_>) {
    let (now, pace) = (draft.view.now, draft.view.pace);
    let away = away::judge(draft);
    let issued = draft.status.dispatch.as_ref().map_or(now, |dispatch| dispatch.time);
    let refused = draft
        .view
        .refused
        .filter(|(attempt, _)| *attempt == draft.status.attempt);
    if let Some((attempt, why)) = refused {
        let name = draft.status.proplet.clone().unwrap_or_default();
        let message = format!("attempt {attempt} on {name}, whose start the broker doesn't take: {why}");
        draft.say(types::SCHEDULED, true, reason::BROKER_REFUSES, &message);
    }
    let expired = || {
        let attempt = draft.status.attempt;
        match refused {
            Some((_, why)) => format!("the broker didn't take the start of attempt {attempt}: {why}"),
            None => format!("the proplet didn't accept attempt {attempt} in time"),
        }
    };
    match away {
        Away::Lost(why) => place_anew(draft, &why),
        Away::Waits => {}
        Away::No if now < after(issued, pace.start_window) => {
            let last = draft
                .view
                .published
                .filter(|published| published.attempt == draft.status.attempt);
            match last.map(|published| after(published.at, pace.republish)) {
                Some(next) if now < next => draft.wake_at(next),
                _ => publish(draft),
            }
        }
        Away::No if has_expired(draft) => place_anew(draft, &expired()),
        Away::No => draft.wake_at(after(now, pace.republish)),
    }
}

/// Whether the proplet would hold the attempt if it had ever accepted it: what it says now, from the journal that would have it, lacks it.
fn is_disproved(draft: &Draft<'_>) -> bool {
    let journal = draft.status.dispatch.as_ref().map(|dispatch| &dispatch.journal);
    live(draft).is_some_and(|live| Some(&live.journal) == journal && !holds(draft, live))
}

/// Whether the proplet says, after the last moment at which a start of it counted, that it doesn't have the attempt.
fn has_expired(draft: &Draft<'_>) -> bool {
    let last_start = away::last_start(draft);
    live(draft).is_some_and(|live| live.heard_at > last_start && !holds(draft, live))
}

fn place_anew(draft: &mut Draft<'_>, why: &str) {
    stop(draft);
    away::remember(draft);
    if away::is_exclusive(draft) && !is_disproved(draft) {
        // It may have run all the same, unheard. Another attempt is then a second run, of which `backoffLimit` says how many there may be.
        return settle::failed(draft, reason::LOST, why);
    }
    retry::unplaced(draft, reason::START_EXPIRED, why);
    pending::plan(draft);
}
