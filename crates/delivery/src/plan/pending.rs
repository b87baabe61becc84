//! A task that isn't dispatched: resolve it, place it, write the next attempt.

use propeller_api::{Dispatch, Phase, PropletId, condition, types};
use propeller_protocol::{AttemptRef, Limits, Start, TaskRef};

use super::{Action, Draft, Resolved, Unresolved, after};
use crate::{
    place::{Fit, place},
    reason,
};

pub(super) fn plan(draft: &mut Draft<'_>) {
    let Some(resolved) = resolve(draft) else { return };
    if let Some(refused) = refused_lately(draft) {
        return draft.wake_at(refused);
    }
    let view = draft.view;
    match place(view.task, view.fleet) {
        Ok(fit) => dispatch(draft, &resolved, &fit),
        Err(unschedulable) => {
            draft.say(
                types::SCHEDULED,
                false,
                reason::UNSCHEDULABLE,
                &unschedulable.to_string(),
            );
        }
    }
}

/// The digest to run. A task that was dispatched before keeps the one that it was dispatched with.
fn resolve(draft: &mut Draft<'_>) -> Option<Resolved> {
    if let (Some(image), Some(component)) = (&draft.status.image, &draft.status.component) {
        return Some(Resolved {
            image: image.clone(),
            component: component.clone(),
        });
    }
    let view = draft.view;
    let Some(resolution) = view.resolution.filter(|resolution| resolution.is_of(view.task)) else {
        draft.actions.push(Action::Resolve);
        return None;
    };
    match &resolution.outcome {
        Ok(resolved) => {
            let message = format!("{} {}", resolved.image, resolution.work);
            draft.say(types::RESOLVED, true, reason::RESOLVED, &message);
            Some(resolved.clone())
        }
        Err(unresolved) => {
            give_up_or_retry(draft, unresolved);
            None
        }
    }
}

fn give_up_or_retry(draft: &mut Draft<'_>, unresolved: &Unresolved) {
    draft.say(types::RESOLVED, false, &unresolved.reason, &unresolved.message);
    match unresolved.retry_at {
        None => draft.fail(&unresolved.reason, &unresolved.message),
        Some(at) if at <= draft.view.now => draft.actions.push(Action::Resolve),
        Some(at) => draft.wake_at(at),
    }
}

/// Until when a task that a proplet refused waits before it is placed again. `Scheduled` turned true for that attempt and false for the
/// refusal, so its transition is the time of the refusal.
fn refused_lately(draft: &Draft<'_>) -> Option<jiff::Timestamp> {
    let scheduled = condition(&draft.status.conditions, types::SCHEDULED)?;
    let refused = draft.status.attempt > 0 && scheduled.reason != reason::UNSCHEDULABLE;
    let until = after(scheduled.last_transition_time, draft.view.pace.after_rejection);
    (refused && scheduled.reason != reason::START_EXPIRED && draft.view.now < until).then_some(until)
}

fn dispatch(draft: &mut Draft<'_>, resolved: &Resolved, fit: &Fit<'_>) {
    let now = draft.now();
    let status = &mut draft.status;
    status.phase = Phase::Dispatched;
    status.image = Some(resolved.image.clone());
    status.component = Some(resolved.component.clone());
    status.proplet = Some(fit.member.name.clone());
    status.attempt += 1;
    status.dispatch = Some(Dispatch {
        proplet_id: fit.member.id.clone(),
        journal: fit.live.journal.clone(),
        time: now,
    });
    let message = format!("attempt {} on {}", status.attempt, fit.member.name);
    draft.say(types::SCHEDULED, true, reason::PLACED, &message);
    super::dispatched::publish(draft);
}

/// The start that the status stands for. It is made from the status alone, so that publishing it again, by whichever process, publishes
/// the same.
pub(super) fn start(draft: &Draft<'_>) -> Option<(PropletId, Start)> {
    let (status, spec) = (&draft.status, &draft.view.task.spec);
    let dispatch = status.dispatch.as_ref()?;
    let start = Start {
        controller: draft.view.controller.clone(),
        journal: dispatch.journal.clone(),
        attempt: attempt(draft),
        issued_at: dispatch.time,
        window_seconds: u32::try_from(draft.view.pace.start_window.as_secs()).unwrap_or(u32::MAX),
        requires: Vec::new(),
        image: status.image.clone()?,
        component: status.component.clone()?,
        work: spec.work()?,
        grants: spec.grants.clone(),
        limits: Limits {
            memory: spec.resources.as_ref().and_then(|resources| resources.memory),
            deadline_seconds: spec.active_deadline_seconds,
        },
    };
    Some((dispatch.proplet_id.clone(), start))
}

pub(super) fn attempt(draft: &Draft<'_>) -> AttemptRef {
    let metadata = &draft.view.task.metadata;
    let task = TaskRef {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
    };
    AttemptRef {
        task,
        attempt: draft.status.attempt,
    }
}
