//! A task that isn't dispatched: resolve it, place it, write the next attempt.

use propeller_api::{Dispatch, Grants, Phase, PropletId, Task, Work, types};
use propeller_protocol::{AttemptRef, Limits, MAX_MESSAGE_BYTES, Start, TaskRef, requires};

use super::{Action, Draft, Resolved, Unresolved, View};
use crate::{
    place::{Fit, place},
    reason,
};

/// Bytes that a start has beside the task's spec, with room to spare.
const BESIDE_SPEC: usize = 4096;

pub(super) fn plan(draft: &mut Draft<'_>) {
    let Some(resolved) = resolve(draft) else { return };
    let View { task, fleet, now, .. } = draft.view;
    if let Some(at) = draft.status.retry_time.filter(|at| now < *at) {
        return draft.wake_at(at);
    }
    match place(task, &draft.status, fleet, now) {
        Ok(_) if !fits_a_message(task) => {
            let message = "the arguments and grants are too large for a message of 1 MiB: give the task a reference to its data instead";
            draft.fail(reason::START_TOO_LARGE, message);
        }
        Ok(fit) => dispatch(draft, &resolved, &fit),
        Err(unschedulable) => {
            draft.say_unplaced(unschedulable.reason(), &unschedulable.to_string());
            if let Some(at) = unschedulable.retry_at() {
                draft.wake_at(at);
            }
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

/// Whether a start of the task can be sent. What is beside the spec in it is small; nobody would answer one that is larger.
fn fits_a_message(task: &Task) -> bool {
    let spec = serde_json::to_vec(&task.spec).map_or(0, |json| json.len());
    spec.saturating_add(BESIDE_SPEC) <= MAX_MESSAGE_BYTES
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
        accepted: None,
    });
    status.retry_time = None;
    let message = format!("attempt {} on {}", status.attempt, fit.member.name);
    draft.say(types::SCHEDULED, true, reason::PLACED, &message);
    super::dispatched::publish(draft);
}

/// The start that the status stands for. It is made from the status alone, so that publishing it again, by whichever process, publishes
/// the same.
pub(super) fn start(draft: &Draft<'_>) -> Option<(PropletId, Start)> {
    let (status, spec) = (&draft.status, &draft.view.task.spec);
    let dispatch = status.dispatch.as_ref()?;
    let work = spec.work()?;
    let grants = spec.grants.clone().filter(|grants| !grants.is_empty());
    let start = Start {
        controller: draft.view.controller.clone(),
        journal: dispatch.journal.clone(),
        attempt: attempt(draft),
        issued_at: dispatch.time,
        window_seconds: u32::try_from(draft.view.pace.start_window.as_secs()).unwrap_or(u32::MAX),
        requires: required(&work, grants.as_ref()),
        image: status.image.clone()?,
        component: status.component.clone()?,
        work,
        grants,
        limits: Limits {
            memory: spec.resources.as_ref().and_then(|resources| resources.memory),
            deadline_seconds: spec.active_deadline_seconds,
        },
    };
    Some((dispatch.proplet_id.clone(), start))
}

/// What a proplet of an earlier version would ignore.
fn required(work: &Work, grants: Option<&Grants>) -> Vec<String> {
    let work = match work {
        Work::Call(_) => None,
        Work::Command(_) => Some(requires::COMMAND),
        Work::Service(_) => Some(requires::SERVICE),
    };
    let grants = grants.map(|_| requires::GRANTS);
    work.into_iter().chain(grants).map(str::to_owned).collect()
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
