//! What people are told beside statuses: one notice for each condition that turned, or that has another reason now.
//!
//! A message alone is no news, since the counts in it change all the time.

use propeller_api::{Condition, ConditionStatus, Phase, Proplet, PropletStatus, Task, TaskStatus, condition, types};

use super::{About, Notice, Severity};
use crate::reason;

/// What a write of a task's status is worth telling.
pub(super) fn of_task(before: Option<&TaskStatus>, after: &Task) -> Vec<Notice> {
    let Some(status) = &after.status else { return vec![] };
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let has_ended = status.phase.is_terminal();
    let worth_it = |said: &&Condition| match said.type_.as_str() {
        types::FINISHED => true,
        // Said with the end, or with the next step, as well.
        _ if has_ended => false,
        types::RESOLVED => said.status == ConditionStatus::False,
        // Why a service has no place, `Scheduled` says too.
        types::READY => {
            condition(&status.conditions, types::SCHEDULED).is_none_or(|scheduled| scheduled.reason != said.reason)
        }
        _ => true,
    };
    let news = status.conditions.iter().filter(|said| is_news(said, known));
    news.filter(worth_it)
        .map(|said| Notice {
            about: About::new("Task", &after.metadata),
            severity: severity(said, status.phase),
            action: action(&said.type_),
            reason: reason_of(said).to_owned(),
            message: said.message.clone(),
        })
        .collect()
}

/// What a write of a Proplet's status is worth telling.
pub(super) fn of_proplet(before: Option<&PropletStatus>, after: &Proplet) -> Option<Notice> {
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    let said = condition(&after.status.as_ref()?.conditions, PropletStatus::READY)?;
    is_news(said, known).then(|| Notice {
        about: About::new("Proplet", &after.metadata),
        severity: if said.status == ConditionStatus::True {
            Severity::Normal
        } else {
            Severity::Warning
        },
        action: "Watch",
        reason: said.reason.clone(),
        message: said.message.clone(),
    })
}

fn is_news(said: &Condition, known: &[Condition]) -> bool {
    let same = |known: &Condition| known.status == said.status && known.reason == said.reason;
    match condition(known, &said.type_) {
        // Each attempt is placed, with the same words but for its number.
        Some(known) if is_placement(said) => !same(known) || known.message != said.message,
        Some(known) => !same(known),
        None => true,
    }
}

fn severity(said: &Condition, phase: Phase) -> Severity {
    let is_held_up = said.reason == reason::BROKER_REFUSES;
    if said.status == ConditionStatus::False || is_held_up || phase == Phase::Failed {
        Severity::Warning
    } else {
        Severity::Normal
    }
}

/// The condition's, but for a placement: what happened then is more than that.
fn reason_of(said: &Condition) -> &str {
    if is_placement(said) { "Dispatched" } else { &said.reason }
}

fn is_placement(said: &Condition) -> bool {
    said.type_ == types::SCHEDULED && said.reason == reason::PLACED
}

fn action(type_: &str) -> &'static str {
    match type_ {
        types::RESOLVED => "Resolve",
        types::SCHEDULED => "Schedule",
        types::STARTED => "Start",
        types::READY => "Serve",
        _ => "Finish",
    }
}
