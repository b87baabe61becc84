//! Placement: which proplet gets a task, or why none does.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use propeller_api::{Memory, PropletRefusal, Task, TaskStatus};
use propeller_protocol::MAX_MESSAGE_BYTES;

use crate::{
    fleet::{Fleet, Live, Member, wanted_memory},
    plan::{fits_a_message, required},
    reason,
};

/// Refusals whose words are repeated in a condition. More is for `status.refusals` to tell.
const QUOTED: usize = 3;

/// A proplet that fits, with what it said last.
pub(crate) struct Fit<'a> {
    pub(crate) member: &'a Member,
    pub(crate) live: &'a Live,
}

/// The proplet with the fewest tasks among those that fit, one that wasn't tried before all others; the name decides between equals, so that the choice can be repeated.
pub(crate) fn place<'a>(
    task: &Task,
    status: &TaskStatus,
    fleet: &'a Fleet,
    now: Timestamp,
) -> Result<Fit<'a>, Unschedulable> {
    let mut refused = Unschedulable::default();
    let mut best: Option<Fit<'a>> = None;
    for member in fleet
        .members
        .iter()
        .filter(|member| member.namespace == task.metadata.namespace)
    {
        match fits(task, status, member, now) {
            Ok(live)
                if best
                    .as_ref()
                    .is_none_or(|best| rank(status, member) < rank(status, best.member)) =>
            {
                best = Some(Fit { member, live });
            }
            Ok(_) => {}
            Err(misfit) => refused.count(misfit),
        }
    }
    best.ok_or_else(|| refused.named(task))
}

/// Whether some proplet would get the task now.
pub(crate) fn has_place(task: &Task, status: &TaskStatus, fleet: &Fleet, now: Timestamp) -> bool {
    let mut members = fleet.members.iter();
    members.any(|member| member.namespace == task.metadata.namespace && fits(task, status, member, now).is_ok())
}

/// One on which the task failed comes after all others.
fn rank<'a>(status: &TaskStatus, member: &'a Member) -> (bool, u32, &'a str) {
    let tried = status.tried.contains(&member.name);
    (tried, member.load.tasks, &member.name)
}

/// Why a proplet doesn't get a task.
enum Misfit {
    /// The task doesn't mean it.
    Unmeant(String),
    /// Not now, or not that much.
    Unable(&'static str),
    /// It said no, not long ago.
    Refused(PropletRefusal),
}

fn fits<'a>(task: &Task, status: &TaskStatus, member: &'a Member, now: Timestamp) -> Result<&'a Live, Misfit> {
    if task.spec.proplet.as_ref().is_some_and(|name| *name != member.name) {
        return Err(Misfit::Unmeant(OTHER_NAME.into()));
    }
    if let Some(unmet) = task.spec.proplet_selector.as_ref().and_then(|wanted| {
        let known = member.live.as_ref().map(|live| live.labels.clone());
        let labels = known.into_iter().flatten().chain(member.labels.clone());
        wanted.mismatch(&labels.collect())
    }) {
        return Err(Misfit::Unmeant(format!("without label {unmet}")));
    }
    // Before what may change by itself: as long as it is cordoned, nothing else matters.
    if member.cordoned {
        return Err(Misfit::Unable("cordoned"));
    }
    let away = if member.is_contested {
        "with a duplicate identity"
    } else {
        "offline"
    };
    let live = member.live.as_ref().ok_or(Misfit::Unable(away))?;
    if let Some(unknown) = required(&task.spec).find(|word| !live.capabilities.iter().any(|known| known == word)) {
        return Err(Misfit::Unmeant(format!("without capability {unknown}")));
    }
    let most = usize::try_from(live.max_packet_bytes).unwrap_or(usize::MAX);
    if most < MAX_MESSAGE_BYTES && !fits_a_message(task, most) {
        return Err(Misfit::Unable("with a smaller packet limit"));
    }
    if live.draining {
        return Err(Misfit::Unable("draining"));
    }
    let refusal = status.refusals.iter().find(|refusal| refusal.proplet == member.name);
    if let Some(refusal) = refusal.filter(|refusal| now < refusal.until) {
        return Err(Misfit::Refused(refusal.clone()));
    }
    room(task, member, live).map_or(Ok(live), |misfit| Err(Misfit::Unable(misfit)))
}

const OTHER_NAME: &str = "with another name";

/// What there is too little of. A proplet that didn't say how much memory it gives a task that leaves it open is trusted to have enough.
fn room(task: &Task, member: &Member, live: &Live) -> Option<&'static str> {
    let capacity = &live.capacity;
    let wanted = wanted_memory(task).or(capacity.task_memory).map_or(0, Memory::bytes);
    let most = capacity.max_task_memory.unwrap_or(capacity.memory).min(capacity.memory);
    if wanted > most.bytes() {
        Some("with less memory for a task")
    } else if member.load.tasks >= capacity.tasks {
        Some("full")
    } else if member.load.reserved(capacity).saturating_add(wanted) > capacity.memory.bytes() {
        Some("short of memory")
    } else {
        None
    }
}

/// Why no proplet fits, counted per reason as kube-scheduler does.
#[derive(Debug, Default)]
pub(crate) struct Unschedulable {
    namespace: String,
    wanted: Option<String>,
    reasons: BTreeMap<String, u32>,
    /// Proplets that are meant and can't now.
    unable: u32,
    refusals: Vec<PropletRefusal>,
}

impl Unschedulable {
    fn count(&mut self, misfit: Misfit) {
        let reason = match misfit {
            Misfit::Unmeant(reason) => reason,
            Misfit::Unable(reason) => {
                self.unable += 1;
                reason.to_owned()
            }
            Misfit::Refused(refusal) => {
                let reason = format!("refused as {}", refusal.reason);
                self.refusals.push(refusal);
                reason
            }
        };
        *self.reasons.entry(reason).or_default() += 1;
    }

    fn named(mut self, task: &Task) -> Self {
        self.namespace.clone_from(&task.metadata.namespace);
        self.wanted.clone_from(&task.spec.proplet);
        self
    }

    /// What a program may branch on: why they refused when every proplet that is meant did, and the same for all.
    pub(crate) fn reason(&self) -> &str {
        match self.refusals.as_slice() {
            [first, others @ ..] if self.unable == 0 && others.iter().all(|other| other.reason == first.reason) => {
                &first.reason
            }
            _ => reason::UNSCHEDULABLE,
        }
    }

    /// When the first proplet that refused may be asked again.
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        self.refusals.iter().map(|refusal| refusal.until).min()
    }
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u32 = self.reasons.values().sum();
        let namespace = &self.namespace;
        if total == 0 {
            return write!(
                f,
                "there is no Proplet in namespace {namespace}: create one with the clientId of a running proplet, or let the operator make them (--auto-register)"
            );
        }
        if let Some(name) = &self.wanted
            && self.reasons.get(OTHER_NAME) == Some(&total)
        {
            return write!(
                f,
                "there is no Proplet {name} in namespace {namespace}: create it, or change spec.proplet"
            );
        }
        write!(f, "0 of {total} proplets fit:")?;
        for (index, (reason, count)) in self.reasons.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {count} {reason}")?;
        }
        for refusal in self.refusals.iter().take(QUOTED) {
            write!(f, "; {}: {}", refusal.proplet, refusal.message)?;
        }
        Ok(())
    }
}
