//! What follows from each event.

use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};
use propeller_protocol::{
    Ack, AttemptRef, ControllerId, Failure, Lease, Outcome, Refusal, Rejection, Stage, Start, Stop, Usage,
};

use super::{
    Action, Entry, Event, Key, Ledger, MAX_WINDOW_SECONDS, Record, Started, Step, admit::running, draft::Draft, key,
};
use crate::reason;

impl Ledger {
    /// What follows from `event`. The ledger changes only by [`Ledger::apply`] of the records.
    pub fn decide(&self, event: Event) -> Step {
        match event {
            Event::Start(start) => self.start(start, None),
            Event::Refused(start, rejection) => self.start(start, Some(rejection)),
            Event::Unwritten(start, rejection) => self.unwritten(&start, rejection),
            Event::Stop(stop) => self.stop(&stop),
            Event::Ack(ack) => self.ack(&ack),
            Event::Echo(lease) => self.echo(&lease),
            Event::Leased => self.lease_changed(),
            Event::Started(attempt, started) => self.started(&attempt, started),
            Event::Ended(attempt, outcome) => self.ended(&attempt, outcome),
            Event::Overdue(attempt, outcome) => self.overdue(&attempt, outcome),
            Event::Booted => self.booted(),
            Event::Drain => self.interrupt_queue(),
            Event::Repeat => self.repeat(),
        }
    }

    /// The reports of it are the shell's to withhold: nothing of the start was told yet.
    fn unwritten(&self, start: &Start, rejection: Rejection) -> Step {
        let (mut draft, key) = (Draft::new(self), key(&start.attempt));
        draft.leave(&key);
        draft.bury(key, self.tombstone(start.issued_at, Some(rejection)));
        draft.advance();
        draft.step
    }

    /// Ends what waits or runs. If the stopped attempt itself isn't here yet, a tombstone waits for its start.
    fn stop(&self, stop: &Stop) -> Step {
        if stop.journal != self.journal {
            return Step::default();
        }
        let mut draft = Draft::new(self);
        let to = Bound::Included(stop.attempt.attempt);
        self.end_until(&mut draft, &stop.controller, &stop.attempt, to);
        let key = key(&stop.attempt);
        if self.entries.get(&key).is_none() {
            let rejection = Rejection {
                reason: Refusal::Superseded,
                message: "it was stopped before it started".to_owned(),
            };
            draft.bury(key, self.tombstone(stop.issued_at, Some(rejection)));
        }
        draft.advance();
        draft.step
    }

    /// Ends every attempt of the task of `attempt` up to that bound which that controller dispatched: at once what waits, and when it has noticed
    /// what runs.
    pub(super) fn end_until(
        &self,
        draft: &mut Draft<'_>,
        controller: &ControllerId,
        attempt: &AttemptRef,
        to: Bound<u32>,
    ) {
        let uid = &attempt.task.uid;
        let to = to.map(|attempt| (uid.clone(), attempt));
        for (key, entry) in self.entries.range((Bound::Included((uid.clone(), 0)), to)) {
            match entry {
                Entry::Running { holding, .. } if holding.controller == *controller => {
                    draft.act(Action::Cancel(holding.attempt.clone()));
                }
                Entry::Queued { holding, .. } if holding.controller == *controller => {
                    draft.end(key, failed(reason::CANCELLED, "the task was cancelled before it ran"))
                }
                Entry::Queued { .. } | Entry::Running { .. } | Entry::Finished { .. } | Entry::Tombstone { .. } => {}
            }
        }
    }

    fn ack(&self, ack: &Ack) -> Step {
        let (mut draft, key) = (Draft::new(self), key(&ack.attempt));
        if let Some(Entry::Finished { holding, .. }) = self.entries.get(&key)
            && ack.journal == self.journal
            && ack.controller == holding.controller
        {
            draft.bury(key, self.tombstone(holding.issued_at, None));
        }
        draft.step
    }

    /// What it says beside the time is the shell's to know, which knows when the heartbeat was sent.
    fn echo(&self, lease: &Lease) -> Step {
        let mut draft = Draft::new(self);
        if lease.journal == self.journal {
            draft.step.records = self.hear(lease.now);
        }
        draft.step
    }

    /// With a lease, what waited for one goes on, unless somebody else may have it by now. Without, all that needs one ends.
    fn lease_changed(&self) -> Step {
        let mut draft = Draft::new(self);
        for (key, entry) in self.entries.leased() {
            match entry {
                Entry::Queued { holding, .. } => {
                    let too_late = holding.leased_before < self.heard;
                    if too_late || !self.may_run(holding) {
                        draft.end(
                            key,
                            failed(reason::LEASE_EXPIRED, "the control plane wasn't heard in time"),
                        );
                    }
                }
                Entry::Running { holding, .. } if !self.may_run(holding) => {
                    draft.act(Action::Revoke(holding.attempt.clone()))
                }
                Entry::Running { .. } | Entry::Finished { .. } | Entry::Tombstone { .. } => {}
            }
        }
        draft.advance();
        draft.step
    }

    fn started(&self, attempt: &AttemptRef, started: Started) -> Step {
        let (mut draft, key) = (Draft::new(self), key(attempt));
        if let Some(Entry::Running { holding, memory, .. }) = self.entries.get(&key) {
            draft.act(Action::Report(holding.clone(), running(Some(&started))));
            let (holding, memory, started) = (holding.clone(), *memory, Some(started));
            draft.put(
                key,
                Entry::Running {
                    holding,
                    memory,
                    started,
                },
            );
        }
        draft.step
    }

    fn ended(&self, attempt: &AttemptRef, outcome: Outcome) -> Step {
        let (mut draft, key) = (Draft::new(self), key(attempt));
        if let Some(Entry::Running { .. }) = self.entries.get(&key) {
            draft.end(&key, outcome);
            draft.advance();
        }
        draft.step
    }

    fn overdue(&self, attempt: &AttemptRef, outcome: Outcome) -> Step {
        let (mut draft, key) = (Draft::new(self), key(attempt));
        if let Some(Entry::Queued { .. }) = self.entries.get(&key) {
            draft.end(&key, outcome);
            draft.advance();
        }
        draft.step
    }

    /// Nobody listens yet: [`Event::Repeat`] tells it.
    fn booted(&self) -> Step {
        let mut draft = Draft::new(self);
        for (key, entry) in self.entries.held() {
            match entry {
                Entry::Queued { .. } => draft.end(key, interrupted("the proplet was restarted before the task ran")),
                Entry::Running { .. } => draft.end(key, interrupted("the proplet was restarted while the task ran")),
                Entry::Finished { .. } | Entry::Tombstone { .. } => {}
            }
        }
        draft.step.actions.clear();
        draft.step
    }

    fn interrupt_queue(&self) -> Step {
        let mut draft = Draft::new(self);
        for (_, key) in self.entries.queue() {
            draft.end(key, interrupted("the proplet was shut down before the task ran"));
        }
        draft.step
    }

    fn repeat(&self) -> Step {
        let told = |(_, entry): (&Key, &Entry)| match entry {
            Entry::Queued { holding, .. } => Some(Action::Report(holding.clone(), Stage::Accepted)),
            Entry::Running { holding, started, .. } => Some(Action::Report(holding.clone(), running(started.as_ref()))),
            Entry::Finished { holding, outcome } => {
                let outcome = outcome.clone();
                Some(Action::Report(holding.clone(), Stage::Finished { outcome }))
            }
            Entry::Tombstone { .. } => None,
        };
        Step {
            records: vec![],
            actions: self.entries.held().filter_map(told).collect(),
        }
    }

    pub(super) fn tombstone(&self, issued_at: Timestamp, rejection: Option<Rejection>) -> Entry {
        Entry::Tombstone {
            made: self.heard.map_or(issued_at, |heard| heard.max(issued_at)),
            rejection,
        }
    }

    /// The control plane's clock moved: tombstones that no valid start can ask for any more go.
    pub(super) fn hear(&self, time: Timestamp) -> Vec<Record> {
        if self.heard.is_some_and(|heard| heard >= time) {
            return vec![];
        }
        let kept = SignedDuration::from_secs(i64::from(MAX_WINDOW_SECONDS) * 2);
        let oldest = time.saturating_sub(kept).unwrap_or(Timestamp::MIN);
        let old = self.entries.tombstones_before(oldest).cloned().map(Record::Remove);
        old.chain([Record::Heard(time)]).collect()
    }
}

fn interrupted(message: &str) -> Outcome {
    failed(reason::INTERRUPTED, message)
}

fn failed(reason: &str, message: &str) -> Outcome {
    let failure = Failure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        error: None,
    };
    Outcome::Failed {
        failure,
        usage: Usage::default(),
    }
}
