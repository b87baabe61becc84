//! Proplet resources: their status says what is known of the process, and one that has none may get one.

use std::time::Duration;

use propeller_api::{Condition, Metadata, Proplet, PropletId, PropletSpec, PropletStatus, condition, set_condition};

use super::{
    Brain, Job, Output, WriteError, notices,
    presence::{Liveliness, Presence},
    writing::RETRY,
};
use crate::reason;

/// Time before another try to make a Proplet.
const REGISTER_AGAIN: Duration = Duration::from_secs(30);

impl Brain {
    /// Writes the status of a Proplet, if it isn't what is known.
    pub(super) fn write_proplet(&mut self, uid: &str) {
        let now = self.now.elapsed;
        let Some(status) = self.proplet_status(uid) else { return };
        let Some(resource) = self.roster.resource_mut(uid) else {
            return;
        };
        let is_too_early = resource.not_before.is_some_and(|at| at > now);
        if resource.is_busy || is_too_early || resource.proplet.status.as_ref() == Some(&status) {
            return;
        }
        resource.is_busy = true;
        resource.not_before = None;
        let mut proplet = resource.proplet.clone();
        proplet.status = Some(status);
        self.writing += 1;
        self.job(Job::WriteProplet(Box::new(proplet)));
    }

    pub(super) fn proplet_written(&mut self, uid: &str, result: Result<Proplet, WriteError>) {
        self.writing = self.writing.saturating_sub(1);
        let now = self.now.elapsed;
        let Some(resource) = self.roster.resource_mut(uid) else {
            return;
        };
        resource.is_busy = false;
        match result {
            Ok(proplet) => {
                let notice = notices::of_proplet(resource.proplet.status.as_ref(), &proplet);
                self.outputs.extend(notice.map(Output::Tell));
                resource.failures = 0;
                resource.proplet = proplet;
            }
            Err(error) => {
                let delay = RETRY.delay(uid, resource.failures);
                let (proplet, error) = (resource.proplet.key(), &error as &dyn std::error::Error);
                tracing::info!(%proplet, error, ?delay, "a Proplet's status can't be written now");
                resource.failures = resource.failures.saturating_add(1);
                resource.not_before = Some(now + delay);
            }
        }
        self.dirty_proplets.insert(uid.to_owned());
    }

    /// What the status should be; nothing while nobody can say.
    fn proplet_status(&self, uid: &str) -> Option<PropletStatus> {
        let proplet = &self.roster.resource(uid)?.proplet;
        let id = &proplet.spec.connection_config.client_id;
        let owner = self.roster.owner(id)?;
        let (liveliness, presence) = self.roster.presence(id);
        let ready = if owner.metadata.uid == *uid {
            readiness(id, liveliness, presence, proplet.spec.unschedulable)?
        } else {
            Readiness::no(
                "DuplicateClientId",
                format!(
                    "Proplet {} has client id {id} too and is older: delete one of the two",
                    owner.key()
                ),
            )
        };
        Some(status(proplet, ready, presence, self.now().time))
    }

    /// A proplet without a resource said something: it gets one, or people are told how it could.
    pub(super) fn stranger(&mut self, id: &PropletId) {
        let is_dealt_with = self
            .strangers
            .get(id)
            .is_some_and(|until| until.is_none_or(|until| self.now.elapsed < until));
        if !self.proplet_cache.in_sync || self.roster.owner(id).is_some() || is_dealt_with {
            return;
        }
        self.strangers.insert(id.clone(), None);
        match self.config.register_in.clone() {
            Some(namespace) => self.register(id, namespace),
            None => tracing::info!(
                proplet = %id,
                "a proplet announces itself and has no Proplet resource: create one with that clientId, or start the operator with --auto-register"
            ),
        }
    }

    fn register(&mut self, id: &PropletId, namespace: String) {
        let description = self.roster.presence(id).1.and_then(Presence::description);
        let metadata = Metadata {
            name: id.to_string(),
            namespace,
            labels: description
                .map(|description| description.labels.clone())
                .unwrap_or_default(),
            ..Metadata::default()
        };
        let proplet = Proplet::new(metadata, PropletSpec::new(id.clone()));
        self.job(Job::CreateProplet(Box::new(proplet)));
    }

    pub(super) fn registered(&mut self, id: &PropletId, result: Result<(), WriteError>) {
        let problem: &dyn std::error::Error = match &result {
            Ok(()) => return tracing::info!(proplet = %id, "made a Proplet for a proplet that announced itself"),
            // Made by somebody else a moment ago, or there for longer, and then for another process.
            Err(WriteError::Conflict) => &NameTaken,
            Err(error) => error,
        };
        tracing::warn!(proplet = %id, problem, "can't make a Proplet for a proplet that announced itself");
        self.strangers
            .insert(id.clone(), Some(self.now.elapsed + REGISTER_AGAIN));
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is a Proplet of that name: if its clientId is another, rename it")]
struct NameTaken;

/// What the condition `Ready` says.
struct Readiness {
    is_ready: bool,
    reason: &'static str,
    message: String,
}

impl Readiness {
    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_ready: false,
            reason,
            message: message.into(),
        }
    }
}

fn readiness(
    id: &PropletId,
    liveliness: Liveliness,
    presence: Option<&Presence>,
    is_cordoned: bool,
) -> Option<Readiness> {
    let is_draining = presence
        .and_then(Presence::description)
        .is_some_and(|description| description.draining);
    Some(match liveliness {
        Liveliness::Unjudged => return None,
        Liveliness::Live if is_draining => Readiness::no("Draining", "it finishes what it runs and takes no new tasks"),
        Liveliness::Live if is_cordoned => Readiness {
            is_ready: true,
            reason: reason::CORDONED,
            message: "its heartbeats arrive; spec.unschedulable keeps new tasks away until `propeller uncordon`".into(),
        },
        Liveliness::Live => Readiness {
            is_ready: true,
            reason: "Heartbeats",
            message: "its heartbeats arrive".into(),
        },
        Liveliness::Offline => Readiness::no(
            "Offline",
            "its heartbeats don't arrive: start it, or check its connection to the broker",
        ),
        Liveliness::NeverSeen => Readiness::no(
            "NeverSeen",
            format!(
                "nothing was heard of a proplet with client id {id}: start one with that id, broker, domain and channel"
            ),
        ),
        Liveliness::Contested => Readiness::no(
            "DuplicateIdentity",
            format!(
                "two processes take turns as {id}, as when a device was cloned: give one of them another client id; nothing is dispatched there until then"
            ),
        ),
    })
}

fn status(proplet: &Proplet, ready: Readiness, presence: Option<&Presence>, now: jiff::Timestamp) -> PropletStatus {
    let mut status = proplet.status.clone().unwrap_or_default();
    let generation = proplet.metadata.generation;
    if let Some(description) = presence.and_then(Presence::description) {
        status.capacity = Some(description.capacity);
        status.host = Some(description.host.clone());
    }
    let known = condition(&status.conditions, PropletStatus::READY);
    let mut said = Condition {
        type_: PropletStatus::READY.to_owned(),
        status: ready.is_ready.into(),
        reason: ready.reason.to_owned(),
        message: ready.message,
        observed_generation: generation,
        last_transition_time: jiff::Timestamp::from_second(now.as_second()).unwrap_or(now),
    };
    if let Some(known) = known.filter(|known| known.status == said.status) {
        said.last_transition_time = known.last_transition_time;
    }
    status.observed_generation = generation;
    set_condition(&mut status.conditions, said);
    status
}
