//! Holds what a start asks for against the proplet's policy, before the ledger sees the start; and lets go of what a task kept by its
//! grants once no attempt at it can come back.
//!
//! A grant of directories is looked up on disk, which may be a network's that doesn't answer. So that is done on a thread that nothing waits
//! for, and only for starts that ask for grants. A stop that overtakes its start on the way wins: the ledger remembers it.

use std::{collections::HashSet, sync::Arc};

use propeller_delivery::ledger::Event;
use propeller_protocol::{Ack, AttemptRef, Refusal, Rejection, Start, Verdict};
use tokio::task::JoinSet;

use super::chain::chain;
use crate::engine::{Granted, Means, Policy, Refused, TaskContext};

/// Starts whose grants are looked up at the same moment. Where a file system doesn't answer, each holds a thread, of which there are some
/// hundreds for all that waits for a disk.
const CHECKS: usize = 64;

/// What tasks may be granted here, and what grants are made of.
pub struct Rules {
    /// What may be asked.
    pub policy: Policy,
    /// How names are resolved, and whom TLS trusts.
    pub means: Means,
}

impl Rules {
    /// What a start asks, if it is allowed.
    ///
    /// # Errors
    ///
    /// The first grant that isn't allowed, or can't be had.
    pub fn grant(&self, start: &Start) -> Result<Granted, Refused> {
        match &start.grants {
            Some(asked) => Granted::check(asked, &self.policy, &context(start), &self.means),
            None => Ok(Granted::default()),
        }
    }
}

/// Where starts come in.
pub struct Gate {
    rules: Arc<Rules>,
    checks: JoinSet<Event>,
    /// Ended well, and not acknowledged yet.
    completed: HashSet<AttemptRef>,
}

impl Gate {
    /// Nothing has come in.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            checks: JoinSet::new(),
            completed: HashSet::new(),
        }
    }

    /// What the start is to the ledger, if that is known at once; [`Gate::checked`] tells else.
    pub fn pass(&mut self, start: Box<Start>) -> Option<Event> {
        if start.grants.is_none() {
            return Some(Event::Start(start));
        }
        if self.checks.len() >= CHECKS {
            let message = "the grants of other tasks are being looked up, which takes long here".to_owned();
            let reason = Refusal::Busy;
            return Some(Event::Refused(start, Rejection { reason, message }));
        }
        let rules = Arc::clone(&self.rules);
        self.checks.spawn_blocking(move || check(start, &rules));
        None
    }

    /// An attempt has completed, which is told until it is acknowledged.
    pub fn completed(&mut self, attempt: &AttemptRef) {
        self.completed.insert(attempt.clone());
    }

    /// A task that is gone, or has completed for good, has no use for what it kept on this disk. One that failed may be tried again here,
    /// and one whose other attempt counts goes on.
    pub fn acknowledged(&mut self, ack: &Ack) {
        let has_completed = self.completed.remove(&ack.attempt);
        match ack.verdict {
            Verdict::Discarded => self.forget(ack),
            Verdict::Recorded if has_completed => self.forget(ack),
            Verdict::Recorded | Verdict::Superseded => {}
        }
    }

    fn forget(&self, ack: &Ack) {
        let uid = ack.attempt.task.uid.clone();
        let Some(keyvalue) = self.rules.means.keyvalue.clone() else {
            return;
        };
        tokio::task::spawn_blocking(move || {
            if let Err(error) = keyvalue.forget(&uid) {
                tracing::warn!(uid, error = chain(&error), "the buckets of a task that has ended stay");
            }
        });
    }

    /// The next start that was checked, or none while none is being checked. Can be cancelled without losing one.
    pub async fn checked(&mut self) -> Option<Event> {
        while let Some(checked) = self.checks.join_next().await {
            match checked {
                Ok(event) => return Some(event),
                // The control plane publishes the start again.
                Err(error) => tracing::error!(%error, "a check of grants died"),
            }
        }
        None
    }
}

fn check(start: Box<Start>, rules: &Rules) -> Event {
    match rules.grant(&start) {
        Ok(_) => Event::Start(start),
        // Allowed, but not to be had just now: no other policy would help, and the next attempt may find it. The run says so when it fails.
        Err(refused) if refused.is_passing() => Event::Start(start),
        Err(refused) => {
            let (reason, message) = (Refusal::NotGranted, chain(&refused));
            Event::Refused(start, Rejection { reason, message })
        }
    }
}

/// What the guest is told that it runs for.
pub fn context(start: &Start) -> TaskContext {
    let AttemptRef { task, attempt } = start.attempt.clone();
    TaskContext {
        namespace: task.namespace,
        name: task.name,
        uid: task.uid,
        attempt,
    }
}

#[cfg(test)]
mod tests {
    use propeller_api::Memory;

    use super::*;
    use crate::{
        engine::{KeyValue, Root},
        proplet::limits::tests as limits,
    };

    /// What the ledger is told of a start that asks for these grants.
    fn checked(grants: serde_json::Value) -> Event {
        let rules = Rules {
            policy: Policy {
                directories: vec![Root {
                    path: "/srv".into(),
                    read_only: false,
                }],
                keyvalue: true,
                bucket_size: Memory::from_bytes(1),
                ..Policy::default()
            },
            means: Means {
                // A file is no folder.
                keyvalue: Some(KeyValue::at("/dev/null/keyvalue")),
                ..Means::system()
            },
        };
        let mut start = limits::start("uid");
        start.grants = Some(serde_json::from_value(grants).unwrap());
        check(Box::new(start), &rules)
    }

    #[test]
    fn only_the_policy_refuses() {
        let refused = checked(serde_json::json!({"directories": [{"hostPath": "/etc", "guestPath": "/etc"}]}));
        assert!(matches!(
            refused,
            Event::Refused(
                _,
                Rejection {
                    reason: Refusal::NotGranted,
                    ..
                }
            )
        ));
        let missing = serde_json::json!({"directories": [{"hostPath": "/srv/no-such", "guestPath": "/data"}]});
        assert!(matches!(checked(missing), Event::Start(_)));
        let unavailable = serde_json::json!({"keyvalue": [{"bucket": "b"}]});
        assert!(matches!(checked(unavailable), Event::Start(_)));
    }
}
