//! Placement: which proplet gets a task, or why none does.

use std::{collections::BTreeMap, fmt};

use propeller_api::Task;

use crate::fleet::{Fleet, Live, Member};

/// A proplet that fits, with what it said last.
pub(crate) struct Fit<'a> {
    pub(crate) member: &'a Member,
    pub(crate) live: &'a Live,
}

/// The proplet with the fewest tasks among those that fit; the name decides between equals, so that the choice can be repeated.
pub(crate) fn place<'a>(task: &Task, fleet: &'a Fleet) -> Result<Fit<'a>, Unschedulable> {
    let mut refused = Unschedulable::default();
    let mut best: Option<Fit<'a>> = None;
    for member in fleet
        .members
        .iter()
        .filter(|member| member.namespace == task.metadata.namespace)
    {
        match fits(task, member) {
            Ok(live) if best.as_ref().is_none_or(|best| rank(member) < rank(best.member)) => {
                best = Some(Fit { member, live });
            }
            Ok(_) => {}
            Err(reason) => refused.count(reason),
        }
    }
    best.ok_or_else(|| refused.named(task))
}

fn rank(member: &Member) -> (u32, &str) {
    (member.assigned, &member.name)
}

fn fits<'a>(task: &Task, member: &'a Member) -> Result<&'a Live, String> {
    if task.spec.proplet.as_ref().is_some_and(|name| *name != member.name) {
        return Err("with another name".into());
    }
    if let Some((key, value)) = task
        .spec
        .proplet_selector
        .as_ref()
        .and_then(|wanted| wanted.mismatch(&member.labels))
    {
        return Err(format!("without label {key}={value}"));
    }
    let live = member.live.as_ref().ok_or("offline")?;
    if live.draining {
        return Err("draining".into());
    }
    if member.assigned >= live.capacity.tasks {
        return Err("full".into());
    }
    Ok(live)
}

/// Why no proplet fits, counted per reason as kube-scheduler does.
#[derive(Debug, Default)]
pub(crate) struct Unschedulable {
    namespace: String,
    wanted: Option<String>,
    reasons: BTreeMap<String, u32>,
}

impl Unschedulable {
    fn count(&mut self, reason: String) {
        *self.reasons.entry(reason).or_default() += 1;
    }

    fn named(mut self, task: &Task) -> Self {
        self.namespace.clone_from(&task.metadata.namespace);
        self.wanted.clone_from(&task.spec.proplet);
        self
    }
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            wanted,
            reasons,
        } = self;
        let total: u32 = reasons.values().sum();
        if total == 0 {
            return write!(
                f,
                "there is no Proplet in namespace {namespace}: create one with the clientId of a running proplet, or let the operator make them (--auto-register)"
            );
        }
        if let Some(name) = wanted
            && reasons.get("with another name") == Some(&total)
        {
            return write!(
                f,
                "there is no Proplet {name} in namespace {namespace}: create it, or change spec.proplet"
            );
        }
        write!(f, "0 of {total} proplets fit:")?;
        for (index, (reason, count)) in reasons.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {count} {reason}")?;
        }
        Ok(())
    }
}
