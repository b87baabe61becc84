//! Outcomes: into the status, and acknowledged once they are there.

use propeller_api::{Dispatch, Phase, TaskStatus, condition, types};
use propeller_protocol::{Ack, AttemptRef, Outcome, Verdict};
use serde_json::Value;

use super::{Action, Draft, pending};
use crate::{inbox::Origin, reason};

/// Longer messages are cut: a status is read by people, and stored in the cluster.
const MAX_MESSAGE_CHARS: usize = 4096;

/// Ends the task with what its attempt reported.
pub(super) fn record(draft: &mut Draft<'_>, outcome: &Outcome) {
    match outcome {
        Outcome::Completed { results, .. } => {
            draft.status.results = storable(results.as_ref());
            draft.end(Phase::Completed, reason::COMPLETED, "the call returned");
        }
        Outcome::Failed { failure, .. } => {
            draft.status.error = storable(failure.error.as_ref());
            let message: String = failure.message.chars().take(MAX_MESSAGE_CHARS).collect();
            draft.fail(&failure.reason, &message);
        }
    }
}

/// A value as a status keeps it. Null, such as an absent option, is no value there: Kubernetes drops it.
fn storable(value: Option<&Value>) -> Option<Value> {
    value.filter(|value| !value.is_null()).cloned()
}

/// Acknowledges every outcome that the status, as it will be written, settles. An outcome of an attempt that the status doesn't know yet is
/// kept: the cache that the view came from may be behind.
pub(super) fn acknowledge(draft: &mut Draft<'_>) {
    let inbox = draft.view.inbox;
    for (origin, outcome) in inbox.outcomes() {
        if let Some(verdict) = verdict(&draft.status, origin, outcome) {
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

fn verdict(status: &TaskStatus, origin: &Origin, outcome: &Outcome) -> Option<Verdict> {
    let is_current = current(status).as_ref() == Some(origin);
    if is_current && status.phase.is_terminal() {
        Some(if is_recorded(status, outcome) {
            Verdict::Recorded
        } else {
            Verdict::Superseded
        })
    } else if is_current || origin.attempt > status.attempt {
        None
    } else {
        Some(Verdict::Superseded)
    }
}

/// An attempt has one outcome, so the status of its task says that one, unless the control plane had ended the task before. Values aren't
/// compared: a store may write a number in another way than it was reported.
fn is_recorded(status: &TaskStatus, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Completed { .. } => status.phase == Phase::Completed,
        Outcome::Failed { failure, .. } => {
            let finished = condition(&status.conditions, types::FINISHED);
            status.phase == Phase::Failed && finished.is_some_and(|finished| finished.reason == failure.reason)
        }
    }
}
