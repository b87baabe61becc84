//! A task that isn't dispatched: resolve it, place it, write the next attempt.

use std::ops::Bound;

use propeller_api::{Dispatch, OnDisconnect, Phase, PropletId, Task, TaskSpec, TaskStatus, Work, types};
use propeller_protocol::{AttemptRef, HeldState, Limits, MAX_MESSAGE_BYTES, Start, TaskRef, requires};

use super::{Action, Draft, Resolved, Unresolved, View, away, bounds};
use crate::{
    place::{Fit, place},
    reason,
};

/// Bytes that a start has beside the task's spec, with room to spare.
const BESIDE_SPEC: usize = 4096;

pub(super) fn plan(draft: &mut Draft<'_>) {
    if bounds::is_suspended(draft) {
        return draft.say_unplaced(reason::SUSPENDED, "spec.suspend is true");
    }
    if bounds::is_over(draft, None) {
        return;
    }
    let Some(resolved) = resolve(draft) else { return };
    let View { task, fleet, now, .. } = draft.view;
    if let Some(at) = draft.status.retry_time.filter(|at| now < *at) {
        return draft.wake_at(at);
    }
    // It is being stopped. Another task may run twice at a time.
    if away::is_exclusive(draft)
        && let Some((attempt, name)) = forgotten(draft)
    {
        let message = format!("attempt {attempt}, of which the store doesn't know, hasn't ended on {name} yet");
        draft.say_unplaced(reason::STILL_RUNNING, &message);
        // No inventory that lacks it has this task planned: it isn't placed there.
        return draft.wake_at(super::after(now, draft.view.pace.republish));
    }
    match place(task, &draft.status, fleet, now) {
        Ok(_) if !fits_a_message(task, MAX_MESSAGE_BYTES) => {
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

/// Whether a start of the task fits into that many bytes. What is beside the spec in it is small; nobody would answer one that is larger.
pub(crate) fn fits_a_message(task: &Task, most: usize) -> bool {
    let spec = serde_json::to_vec(&task.spec).map_or(0, |json| json.len());
    spec.saturating_add(BESIDE_SPEC) <= most
}

fn dispatch(draft: &mut Draft<'_>, resolved: &Resolved, fit: &Fit<'_>) {
    let now = draft.now();
    let status = &mut draft.status;
    status.phase = Phase::Dispatched;
    status.image = Some(resolved.image.clone());
    status.component = Some(resolved.component.clone());
    status.proplet = Some(fit.member.name.clone());
    // After every attempt that is known of, also by proplets alone.
    status.attempt = status.attempt.max(draft.view.inbox.forgotten()).saturating_add(1);
    status.dispatch = Some(Dispatch {
        proplet_id: fit.member.id.clone(),
        journal: fit.live.journal.clone(),
        time: now,
        accepted: None,
    });
    status.retry_time = None;
    say_placed(draft);
    super::dispatched::publish(draft);
}

pub(super) fn say_placed(draft: &mut Draft<'_>) {
    let name = draft.status.proplet.as_deref().unwrap_or_default();
    let message = format!("attempt {} on {name}", draft.status.attempt);
    draft.say(types::SCHEDULED, true, reason::PLACED, &message);
}

/// An attempt of the task that the status doesn't know of, because the store was restored from a backup, and that hasn't ended, as its proplet says.
fn forgotten<'a>(draft: &Draft<'a>) -> Option<(u32, &'a str)> {
    let uid = draft.uid().to_owned();
    let beyond = (
        Bound::Excluded((uid.clone(), draft.status.attempt)),
        Bound::Included((uid, u32::MAX)),
    );
    let namespace = &draft.view.task.metadata.namespace;
    let members = draft.view.fleet.members.iter();
    members
        .filter(|member| member.namespace == *namespace)
        .find_map(|member| {
            let mut held = member.live.as_ref()?.inventory.range(beyond.clone());
            let ((_, attempt), _) = held.find(|(_, state)| **state != HeldState::Finished)?;
            Some((*attempt, member.name.as_str()))
        })
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
        requires: required(spec).map(str::to_owned).collect(),
        image: status.image.clone()?,
        component: status.component.clone()?,
        work,
        grants,
        limits: Limits {
            memory: spec.resources.as_ref().and_then(|resources| resources.memory),
            deadline_seconds: spec.active_deadline_seconds.map(|seconds| rest_of(seconds, status)),
        },
    };
    Some((dispatch.proplet_id.clone(), start))
}

/// What is left of the deadline, which is one over all attempts.
fn rest_of(seconds: u32, status: &TaskStatus) -> u32 {
    let begun = status.start_time.zip(status.dispatch.as_ref());
    let used = begun.map_or(0, |(start, dispatch)| dispatch.time.duration_since(start).as_secs());
    seconds.saturating_sub(u32::try_from(used).unwrap_or_default()).max(1)
}

/// What a proplet of an earlier version would ignore.
pub(crate) fn required(spec: &TaskSpec) -> impl Iterator<Item = &'static str> {
    let work = match spec.work() {
        Some(Work::Command(_)) => Some(requires::COMMAND),
        Some(Work::Service(_)) => Some(requires::SERVICE),
        Some(Work::Call(_)) | None => None,
    };
    let has_grants = spec.grants.as_ref().is_some_and(|grants| !grants.is_empty());
    let lease = spec.on_disconnect == Some(OnDisconnect::Stop);
    let others = [has_grants.then_some(requires::GRANTS), lease.then_some(requires::LEASE)];
    work.into_iter().chain(others.into_iter().flatten())
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
