//! A proplet that is away, and what becomes of the attempt that it has.
//!
//! What an attempt does whose proplet is cut off is `spec.onDisconnect`. With `Continue` it goes on, so after a while it's tried elsewhere too, and
//! whichever completes first counts. With `Stop` it ends by itself: it runs only within one lease of a heartbeat that was echoed, and echoes are
//! sent for heartbeats that arrive. So when none arrived for longer than a lease, and no start of it is valid any more, it doesn't run.

use std::time::Duration;

use jiff::SignedDuration;
use propeller_api::{LostAttempt, OnDisconnect};
use propeller_protocol::LEASE;

use super::{Draft, after};

/// Clocks don't run equally fast, and a message takes its time.
const MARGIN: SignedDuration = SignedDuration::from_secs(2);
/// Lost attempts that are remembered. More than these nobody waits for.
const MAX_LOST: usize = 16;

/// How an attempt stands whose proplet may be away.
pub(super) enum Away {
    /// Its proplet is there, or nobody can say.
    No,
    /// Its proplet is away, and may come back in time.
    Waits,
    /// It counts as lost, for this reason.
    Lost(String),
}

/// Judges the proplet of the newest attempt.
pub(super) fn judge(draft: &mut Draft<'_>) -> Away {
    let view = draft.view;
    let Some(id) = draft
        .status
        .dispatch
        .as_ref()
        .map(|dispatch| dispatch.proplet_id.clone())
    else {
        return Away::Lost("the status doesn't say where it was sent".to_owned());
    };
    let (since, patience, what) = match view.fleet.member(&id) {
        None => {
            let since = view.fleet.gone.get(&id).copied().unwrap_or(view.begun);
            (
                since,
                SignedDuration::ZERO,
                "the Proplet that it was placed on is gone".to_owned(),
            )
        }
        Some(member) => {
            let Some(since) = member.away_since else {
                return Away::No;
            };
            (since, patience(draft), format!("{} is away", member.name))
        }
    };
    let rest = rest(view.elapsed, since, patience).max(must_wait(draft));
    if rest <= SignedDuration::ZERO {
        let away = view.elapsed.saturating_sub(since).as_secs();
        return Away::Lost(format!("{what}, for {away} s now"));
    }
    draft.wake_at(after(view.now, rest));
    Away::Waits
}

fn patience(draft: &Draft<'_>) -> SignedDuration {
    let pace = draft.view.pace;
    let usual = if draft.is_service() {
        pace.service_lost_after
    } else {
        pace.lost_after
    };
    let asked = draft.view.task.spec.lost_after_seconds;
    asked.map_or(usual, |seconds| SignedDuration::from_secs(seconds.into()))
}

/// How much is left of `patience` that counts from `since`.
fn rest(elapsed: Duration, since: Duration, patience: SignedDuration) -> SignedDuration {
    let passed = SignedDuration::try_from(elapsed.saturating_sub(since)).unwrap_or(SignedDuration::MAX);
    patience.saturating_sub(passed)
}

/// Whether the newest attempt must have stopped before another one follows.
pub(super) fn is_exclusive(draft: &Draft<'_>) -> bool {
    draft.view.task.spec.on_disconnect == Some(OnDisconnect::Stop)
}

/// For how long the newest attempt may still run though nothing is heard of it. With `Continue` nobody asks.
fn must_wait(draft: &Draft<'_>) -> SignedDuration {
    if !is_exclusive(draft) {
        return SignedDuration::ZERO;
    }
    let view = draft.view;
    let id = draft.status.dispatch.as_ref().map(|dispatch| &dispatch.proplet_id);
    let heard = id.and_then(|id| view.fleet.member(id)?.heard);
    let left = id.and_then(|id| view.fleet.gone.get(id).copied());
    // An echo may have been sent for the newest heartbeat, for as long as there was a resource; and by another process until this one began.
    let echoed = heard.max(left).unwrap_or_default().max(view.begun);
    let lease = rest(view.elapsed, echoed, lease() + MARGIN);
    let window = last_start(draft).duration_since(view.now);
    lease.max(window)
}

fn lease() -> SignedDuration {
    SignedDuration::try_from(LEASE).unwrap_or(SignedDuration::MAX)
}

/// When no start of the newest attempt can make it run any more: with a lease that is one lease after its window, since by then its proplet has
/// heard a later time, or nothing. A clock that is set forward ends windows early, and what was said before may still be on its way: that takes no
/// longer than a lease either.
pub(super) fn last_start(draft: &Draft<'_>) -> jiff::Timestamp {
    let (view, pace) = (draft.view, draft.view.pace);
    let issued = draft
        .status
        .dispatch
        .as_ref()
        .map_or(view.now, |dispatch| dispatch.time);
    let window = after(issued, pace.start_window);
    if is_exclusive(draft) {
        after(view.clock_set.map_or(window, |set| window.max(set)), lease() + MARGIN)
    } else {
        window
    }
}

/// Remembers the newest attempt as one that may still run somewhere: if it completes, the task does.
pub(super) fn remember(draft: &mut Draft<'_>) {
    let status = &mut draft.status;
    let (Some(dispatch), Some(proplet)) = (status.dispatch.clone(), status.proplet.clone()) else {
        return;
    };
    let lost = LostAttempt {
        attempt: status.attempt,
        proplet,
        proplet_id: dispatch.proplet_id,
        journal: dispatch.journal,
    };
    if !status.lost.contains(&lost) {
        status.lost.push(lost);
    }
    if status.lost.len() > MAX_LOST {
        status.lost.remove(0);
    }
}
