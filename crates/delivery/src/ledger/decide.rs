//! What follows from each event.

use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};
use propeller_protocol::{Ack, AttemptRef, Failure, Outcome, Refusal, Rejection, Stage, Start, Stop, Usage};

use super::{Action, Entry, Event, Holding, Key, Ledger, MAX_WINDOW_SECONDS, Record, Step};
use crate::reason;

/// What a start may require of this proplet. Nothing yet: each entry comes with the feature that it names.
const SUPPORTED: [&str; 0] = [];

impl Ledger {
    /// What follows from `event`. The ledger changes only by [`Ledger::apply`] of the records.
    pub fn decide(&self, event: Event) -> Step {
        match event {
            Event::Start(start) => self.start(start),
            Event::Stop(stop) => self.stop(&stop),
            Event::Ack(ack) => self.ack(&ack),
            Event::Ended(attempt, outcome) => self.ended(&attempt, outcome),
            Event::Booted => self.booted(),
            Event::Repeat => self.repeat(),
        }
    }

    fn start(&self, start: Box<Start>) -> Step {
        let holding = Holding {
            attempt: start.attempt.clone(),
            controller: start.controller.clone(),
            issued_at: start.issued_at,
        };
        if let Some(answer) = self
            .entries
            .get(&key(&start.attempt))
            .map(|entry| answer(&holding, entry))
        {
            return Step {
                records: vec![],
                actions: vec![answer],
            };
        }
        match self.refuse(&start) {
            Some(rejection) => self.reject(holding, rejection),
            None => self.accept(holding, start),
        }
    }

    /// The first reason why a start that was never seen can't be accepted.
    fn refuse(&self, start: &Start) -> Option<Rejection> {
        let refuse = |reason, message: String| Some(Rejection { reason, message });
        if start.journal != self.journal {
            return refuse(
                Refusal::WrongJournal,
                format!(
                    "meant for journal {}, this is {}: the device was cloned or re-imaged",
                    start.journal, self.journal
                ),
            );
        }
        if let Some(unknown) = start
            .requires
            .iter()
            .find(|required| !SUPPORTED.contains(&required.as_str()))
        {
            return refuse(
                Refusal::Unsupported,
                format!("this proplet doesn't know `{unknown}`: update it"),
            );
        }
        if start.window_seconds > MAX_WINDOW_SECONDS {
            return refuse(
                Refusal::Malformed,
                format!("windowSeconds is over {MAX_WINDOW_SECONDS}"),
            );
        }
        if self.is_expired(start) {
            return refuse(Refusal::Expired, format!("issued at {}, too long ago", start.issued_at));
        }
        if let Some(newest) = self
            .newest(&start.attempt.task.uid)
            .filter(|newest| *newest > start.attempt.attempt)
        {
            return refuse(Refusal::Superseded, format!("attempt {newest} was here first"));
        }
        if self.draining {
            return refuse(Refusal::Draining, "the proplet is shutting down".into());
        }
        let running = self.running();
        if running >= usize::try_from(self.capacity).unwrap_or(usize::MAX) {
            return refuse(
                Refusal::Busy,
                format!("{running} of {} tasks are running", self.capacity),
            );
        }
        None
    }

    fn is_expired(&self, start: &Start) -> bool {
        let window = SignedDuration::from_secs(start.window_seconds.into());
        let end = start.issued_at.saturating_add(window).unwrap_or(Timestamp::MAX);
        self.heard.is_some_and(|heard| heard > end)
    }

    fn newest(&self, uid: &str) -> Option<u32> {
        let attempts = self.entries.range((uid.to_owned(), 0)..=(uid.to_owned(), u32::MAX));
        attempts.last().map(|((_, attempt), _)| *attempt)
    }

    fn accept(&self, holding: Holding, start: Box<Start>) -> Step {
        let older = self.running_until(&start.attempt, Bound::Excluded(start.attempt.attempt));
        let mut records = vec![put(key(&start.attempt), Entry::Running(holding.clone()))];
        records.extend(self.hear(start.issued_at));
        let mut actions: Vec<_> = older.map(Action::Cancel).collect();
        actions.extend([Action::Report(holding, Stage::Accepted), Action::Run(start)]);
        Step { records, actions }
    }

    /// A refusal is final for its attempt, also after a restart: the control plane places the next one elsewhere. What is refused for its
    /// own content needs no tombstone, since it is refused again.
    fn reject(&self, holding: Holding, rejection: Rejection) -> Step {
        let by_content = matches!(
            rejection.reason,
            Refusal::WrongJournal | Refusal::Expired | Refusal::Superseded
        );
        let records = if by_content {
            vec![]
        } else {
            vec![put(
                key(&holding.attempt),
                self.tombstone(holding.issued_at, Some(rejection.clone())),
            )]
        };
        Step {
            records,
            actions: vec![Action::Report(holding, Stage::Rejected { rejection })],
        }
    }

    /// Ends what runs. If the stopped attempt itself isn't here yet, a tombstone waits for its start.
    fn stop(&self, stop: &Stop) -> Step {
        if stop.journal != self.journal {
            return Step::default();
        }
        let running = self.running_until(&stop.attempt, Bound::Included(stop.attempt.attempt));
        let actions = running.map(Action::Cancel).collect();
        let key = key(&stop.attempt);
        let records = if self.entries.contains_key(&key) {
            vec![]
        } else {
            let message = "it was stopped before it started".to_owned();
            let rejection = Rejection {
                reason: Refusal::Superseded,
                message,
            };
            vec![put(key, self.tombstone(stop.issued_at, Some(rejection)))]
        };
        Step { records, actions }
    }

    fn ack(&self, ack: &Ack) -> Step {
        let key = key(&ack.attempt);
        match self.entries.get(&key) {
            Some(Entry::Finished { holding, .. }) if ack.journal == self.journal => Step {
                records: vec![put(key, self.tombstone(holding.issued_at, None))],
                actions: vec![],
            },
            _ => Step::default(),
        }
    }

    fn ended(&self, attempt: &AttemptRef, outcome: Outcome) -> Step {
        let key = key(attempt);
        let Some(Entry::Running(holding)) = self.entries.get(&key) else {
            return Step::default();
        };
        let entry = Entry::Finished {
            holding: holding.clone(),
            outcome: outcome.clone(),
        };
        let report = Action::Report(holding.clone(), Stage::Finished { outcome });
        Step {
            records: vec![put(key, entry)],
            actions: vec![report],
        }
    }

    fn booted(&self) -> Step {
        let interrupted = |(key, entry): (&Key, &Entry)| match entry {
            Entry::Running(holding) => {
                let entry = Entry::Finished {
                    holding: holding.clone(),
                    outcome: interrupted(),
                };
                Some(put(key.clone(), entry))
            }
            _ => None,
        };
        Step {
            records: self.entries.iter().filter_map(interrupted).collect(),
            actions: vec![],
        }
    }

    fn repeat(&self) -> Step {
        let told = |entry: &Entry| match entry {
            Entry::Running(holding) => Some(Action::Report(holding.clone(), Stage::Accepted)),
            Entry::Finished { holding, outcome } => Some(Action::Report(
                holding.clone(),
                Stage::Finished {
                    outcome: outcome.clone(),
                },
            )),
            Entry::Tombstone { .. } => None,
        };
        Step {
            records: vec![],
            actions: self.entries.values().filter_map(told).collect(),
        }
    }

    /// Every running attempt of the task of `attempt` up to that bound.
    fn running_until(&self, attempt: &AttemptRef, to: Bound<u32>) -> impl Iterator<Item = AttemptRef> {
        let uid = &attempt.task.uid;
        let to = to.map(|attempt| (uid.clone(), attempt));
        let entries = self.entries.range((Bound::Included((uid.clone(), 0)), to));
        entries.filter_map(|(_, entry)| match entry {
            Entry::Running(holding) => Some(holding.attempt.clone()),
            _ => None,
        })
    }

    fn tombstone(&self, issued_at: Timestamp, rejection: Option<Rejection>) -> Entry {
        Entry::Tombstone {
            made: self.heard.map_or(issued_at, |heard| heard.max(issued_at)),
            rejection,
        }
    }

    /// The control plane's clock moved: tombstones that no valid start can ask for any more go.
    fn hear(&self, time: Timestamp) -> Vec<Record> {
        if self.heard.is_some_and(|heard| heard >= time) {
            return vec![];
        }
        let kept = SignedDuration::from_secs(i64::from(MAX_WINDOW_SECONDS) * 2);
        let is_old = |entry: &Entry| match entry {
            Entry::Tombstone { made, .. } => time.duration_since(*made) > kept,
            _ => false,
        };
        let old = self
            .entries
            .iter()
            .filter(|(_, entry)| is_old(entry))
            .map(|(key, _)| Record::Remove(key.clone()));
        old.chain([Record::Heard(time)]).collect()
    }
}

/// What a start that was seen before is answered: the same as then, or what became of it.
fn answer(holding: &Holding, entry: &Entry) -> Action {
    let stage = match entry {
        Entry::Running(_) => Stage::Accepted,
        Entry::Finished { outcome, .. } => Stage::Finished {
            outcome: outcome.clone(),
        },
        Entry::Tombstone {
            rejection: Some(rejection),
            ..
        } => Stage::Rejected {
            rejection: rejection.clone(),
        },
        Entry::Tombstone { rejection: None, .. } => Stage::Rejected {
            rejection: Rejection {
                reason: Refusal::Superseded,
                message: "it has ended, and the end was acknowledged".into(),
            },
        },
    };
    Action::Report(holding.clone(), stage)
}

fn put(key: Key, entry: Entry) -> Record {
    Record::Put(key, Box::new(entry))
}

fn key(attempt: &AttemptRef) -> Key {
    (attempt.task.uid.clone(), attempt.attempt)
}

fn interrupted() -> Outcome {
    let failure = Failure {
        reason: reason::INTERRUPTED.into(),
        message: "the proplet was restarted while the task ran".into(),
        error: None,
    };
    Outcome::Failed {
        failure,
        usage: Usage::default(),
    }
}
