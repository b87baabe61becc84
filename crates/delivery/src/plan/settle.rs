//! Outcomes: into the status, and acknowledged once they are there.

use propeller_api::{Dispatch, LostAttempt, Phase, TaskStatus, condition, types};
use propeller_protocol::{Ack, AttemptRef, Outcome, Usage, Verdict};
use serde_json::Value;

use super::{
    Action, Draft, dispatched, pending,
    retry::{self, Failed},
    service,
};
use crate::{inbox::Origin, reason};

/// Longer messages are cut: a status is read by people, and stored in the cluster.
const MAX_MESSAGE_CHARS: usize = 4096;

/// Ends the task with what its attempt reported. Of a service, the placement has ended.
pub(super) fn record(draft: &mut Draft<'_>, attempt: u32, outcome: &Outcome) {
    let (Outcome::Completed { usage, .. } | Outcome::Failed { usage, .. }) = outcome;
    match outcome {
        Outcome::Completed { .. } if draft.is_service() => {
            return service::ended(draft, reason::COMPLETED, "the service ended by itself");
        }
        Outcome::Completed { results, .. } => {
            draft.status.results = storable(results.as_ref());
            let message = match draft.view.task.spec.command {
                Some(_) => "the program exited with 0",
                None => "the call returned",
            };
            draft.end(Phase::Completed, reason::COMPLETED, message);
        }
        Outcome::Failed { failure, .. } => {
            let message = cut(&failure.message);
            if was_suspended(draft, &failure.reason) {
                draft.status.start_time = None;
                return retry::unplaced(draft, reason::SUSPENDED, "it was stopped because spec.suspend was true");
            }
            let error = storable(failure.error.as_ref());
            ended(draft, &failure.reason, &message, error);
        }
    }
    if draft.status.phase.is_terminal() {
        draft.status.usage = countable(*usage);
        draft.status.finished_attempt = Some(attempt);
    }
}

/// A message of a proplet's, as a status keeps it.
pub(super) fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Whether the attempt was stopped by its suspension, which is no failure of it.
fn was_suspended(draft: &Draft<'_>, reason: &str) -> bool {
    let said = condition(&draft.status.conditions, types::SUSPENDED).map(|said| said.last_transition_time);
    let dispatched = draft.status.dispatch.as_ref().map(|dispatch| dispatch.time);
    reason == reason::CANCELLED && said.is_some() && said >= dispatched
}

/// The attempt has failed: another one may follow; of a service, the next placement.
pub(super) fn failed(draft: &mut Draft<'_>, reason: &str, message: &str) {
    ended(draft, reason, message, None);
}

fn ended(draft: &mut Draft<'_>, reason: &str, message: &str, error: Option<Value>) {
    if draft.is_service() {
        service::ended(draft, reason, message);
    } else {
        retry::failed(draft, Failed { reason, message, error });
    }
}

/// Ends a task whose attempt was given up, and has completed after all. Returns whether there is one.
pub(super) fn completed_after_all(draft: &mut Draft<'_>) -> bool {
    if draft.is_service() {
        return false;
    }
    let inbox = draft.view.inbox;
    let counts = |origin: &Origin| {
        let status = &draft.status;
        let waits = status.phase == Phase::Pending && current(status).as_ref() == Some(origin);
        waits || status.lost.iter().any(|lost| is_from(lost, origin))
    };
    let is_success = |outcome: &Outcome| matches!(outcome, Outcome::Completed { .. });
    let mut found = inbox
        .outcomes()
        .filter(|(origin, outcome)| is_success(outcome) && counts(origin));
    let Some((origin, outcome)) = found.next() else {
        return false;
    };
    let runs = draft.status.phase != Phase::Pending;
    record(draft, origin.attempt, outcome);
    if runs {
        dispatched::stop(draft);
    }
    true
}

/// Whether the status has an attempt from there: its latest one, or one that it gave up.
pub(crate) fn is_expected(status: &TaskStatus, origin: &Origin) -> bool {
    current(status).as_ref() == Some(origin) || status.lost.iter().any(|lost| is_from(lost, origin))
}

fn is_from(lost: &LostAttempt, origin: &Origin) -> bool {
    let LostAttempt {
        attempt,
        proplet_id,
        journal,
        ..
    } = lost;
    (proplet_id, journal, *attempt) == (&origin.proplet, &origin.journal, origin.attempt)
}

/// Figures as a status keeps them. A proplet that was restarted meanwhile knows none. Numbers that Kubernetes can't store would make it
/// refuse the result with them.
fn countable(usage: Usage) -> Option<Usage> {
    let most = |figure: u64| figure.min(i64::MAX as u64);
    (usage != Usage::default()).then(|| Usage {
        wall_millis: most(usage.wall_millis),
        cpu_millis: most(usage.cpu_millis),
        peak_memory_bytes: most(usage.peak_memory_bytes),
        bytes_in: most(usage.bytes_in),
        bytes_out: most(usage.bytes_out),
    })
}

/// A value as a status keeps it. Null, such as an absent option, is no value there: Kubernetes drops it.
fn storable(value: Option<&Value>) -> Option<Value> {
    value.filter(|value| !value.is_null()).cloned()
}

/// Acknowledges every outcome that the status, as it will be written, settles. One of an attempt that the status doesn't know yet isn't: it may be
/// about to.
pub(super) fn acknowledge(draft: &mut Draft<'_>) {
    let inbox = draft.view.inbox;
    for (origin, outcome) in inbox.outcomes() {
        if let Some(verdict) = verdict(draft, origin, outcome) {
            let attempt = AttemptRef {
                attempt: origin.attempt,
                ..pending::attempt(draft)
            };
            let (controller, journal) = (draft.view.controller.clone(), origin.journal.clone());
            draft.actions.push(Action::Ack(
                origin.proplet.clone(),
                Ack {
                    controller,
                    journal,
                    attempt,
                    verdict,
                },
            ));
        }
    }
}

/// Where reports must come from to count, and about which attempt.
pub(super) fn current(status: &TaskStatus) -> Option<Origin> {
    let Dispatch {
        proplet_id, journal, ..
    } = status.dispatch.clone()?;
    Some(Origin {
        proplet: proplet_id,
        journal,
        attempt: status.attempt,
    })
}

fn verdict(draft: &Draft<'_>, origin: &Origin, outcome: &Outcome) -> Option<Verdict> {
    let status = &draft.status;
    let is_current = current(status).as_ref() == Some(origin);
    if is_current && status.phase == Phase::Pending {
        // Its conditions say why that attempt ended.
        return Some(Verdict::Recorded);
    }
    if is_current && status.phase.is_terminal() {
        Some(if is_recorded(status, origin.attempt, outcome) {
            Verdict::Recorded
        } else {
            Verdict::Superseded
        })
    } else if is_current || origin.attempt > status.attempt.max(draft.view.inbox.forgotten()) {
        None
    } else {
        Some(Verdict::Superseded)
    }
}

/// An attempt has one outcome, so the status of its task says that one, unless the control plane had ended the task before. Values aren't
/// compared: a store may write a number in another way than it was reported.
fn is_recorded(status: &TaskStatus, attempt: u32, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Completed { .. } => status.phase == Phase::Completed && status.finished_attempt == Some(attempt),
        Outcome::Failed { failure, .. } => {
            let finished = condition(&status.conditions, types::FINISHED);
            status.phase == Phase::Failed && finished.is_some_and(|finished| finished.reason == failure.reason)
        }
    }
}
