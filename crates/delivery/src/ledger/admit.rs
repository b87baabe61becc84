//! What a start is answered.

use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};
use propeller_api::Memory;
use propeller_protocol::{AttemptRef, Refusal, Rejection, Stage, Start, requires};

use super::{Action, Entry, Holding, Ledger, MAX_HELD, MAX_WINDOW_SECONDS, Started, Step, Terms, draft::Draft, key};

impl Ledger {
    /// `policy` is what the proplet's own policy has against it.
    pub(super) fn start(&self, start: Box<Start>, policy: Option<Rejection>) -> Step {
        let holding = Holding {
            attempt: start.attempt.clone(),
            controller: start.controller.clone(),
            issued_at: start.issued_at,
            leased_before: start.needs_lease().then(|| window_end(&start)),
        };
        if let Some(entry) = self.entries.get(&key(&start.attempt)) {
            Step {
                records: vec![],
                actions: vec![Action::Report(holding, self.answer(&start.attempt, entry))],
            }
        } else if let Some(rejection) = self.refuse(&start).or(policy) {
            self.reject(holding, rejection)
        } else {
            self.admit(holding, start)
        }
    }

    /// The first reason why a start that was never seen can't be accepted, whatever else is held.
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
            .find(|word| !requires::ALL.contains(&word.as_str()))
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
        if let Some(heard) = self.heard.filter(|heard| *heard > window_end(start)) {
            return refuse(
                Refusal::Expired,
                format!(
                    "issued at {}, and a control plane's clock said {heard} before",
                    start.issued_at
                ),
            );
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
        let (memory, max) = (self.memory(start), self.terms.max_memory);
        if memory > max {
            return refuse(
                Refusal::TooLarge,
                format!(
                    "the task asks for {memory} of memory, and this proplet gives any task {max} at most (its task.max-memory)"
                ),
            );
        }
        None
    }

    fn newest(&self, uid: &str) -> Option<u32> {
        let mut attempts = self.entries.range((uid.to_owned(), 0)..=(uid.to_owned(), u32::MAX));
        attempts.next_back().map(|((_, attempt), _)| *attempt)
    }

    /// With the attempts that it knows of beyond that one: whoever dispatches an older one has forgotten them, and needn't try each number.
    fn rejected(&self, attempt: &AttemptRef, rejection: Rejection) -> Stage {
        let newest = self
            .newest(&attempt.task.uid)
            .filter(|newest| *newest > attempt.attempt);
        Stage::Rejected { rejection, newest }
    }

    /// What a start that was seen before is answered: the same as then, or what became of it.
    fn answer(&self, attempt: &AttemptRef, entry: &Entry) -> Stage {
        match entry {
            Entry::Queued { .. } => Stage::Accepted,
            Entry::Running { started, .. } => running(started.as_ref()),
            Entry::Finished { outcome, .. } => Stage::Finished {
                outcome: outcome.clone(),
            },
            Entry::Tombstone { rejection, .. } => {
                let has_ended = || Rejection {
                    reason: Refusal::Superseded,
                    message: "it has ended, and the end was acknowledged".into(),
                };
                self.rejected(attempt, rejection.clone().unwrap_or_else(has_ended))
            }
        }
    }

    fn memory(&self, start: &Start) -> Memory {
        start.limits.memory.unwrap_or(self.terms.memory)
    }

    /// Accepts a start if there is room to run it, or to let it wait behind those that came before. Older attempts of its task end.
    fn admit(&self, holding: Holding, start: Box<Start>) -> Step {
        let mut draft = Draft::new(self);
        let to = Bound::Excluded(start.attempt.attempt);
        self.end_until(&mut draft, &start.controller, &start.attempt, to);
        draft.advance();
        draft.act(Action::Report(holding.clone(), Stage::Accepted));
        let (memory, issued_at) = (self.memory(&start), start.issued_at);
        let may_run = self.may_run(&holding);
        if self.entries.held_count() >= MAX_HELD {
            return self.reject(holding, self.overfull());
        }
        if may_run && draft.next().is_none() && draft.fits(memory) {
            draft.run(holding, memory);
            draft.act(Action::Run(start));
        } else if draft.waiting() < self.room_to_wait(may_run) {
            let place = self.entries.next_place();
            draft.put(key(&holding.attempt), Entry::Queued { holding, memory, place });
            draft.act(Action::Wait(start));
        } else {
            // Nothing else of the draft happens: what is refused ends no other attempt.
            return self.reject(holding, self.busy(memory));
        }
        draft.step.records.extend(self.hear(issued_at));
        draft.step
    }

    /// Nobody who has a place has to queue: waiting for a lease alone takes as many more as may run.
    fn room_to_wait(&self, may_run: bool) -> usize {
        let Terms { queue, capacity, .. } = self.terms;
        let for_a_lease = if may_run { 0 } else { capacity.tasks };
        count(queue.saturating_add(for_a_lease))
    }

    fn overfull(&self) -> Rejection {
        Rejection {
            reason: Refusal::Busy,
            message: format!("{MAX_HELD} attempts are held, most of them not acknowledged yet"),
        }
    }

    fn busy(&self, memory: Memory) -> Rejection {
        let Terms { capacity, queue, .. } = self.terms;
        let (load, waiting) = (self.entries.load(), self.entries.waiting());
        let held = Memory::from_bytes(load.memory);
        let message = format!(
            "{} of {} tasks run, with {held} of {} of memory, {waiting} of {queue} wait, and this one needs {memory}",
            load.tasks, capacity.tasks, capacity.memory
        );
        let reason = Refusal::Busy;
        Rejection { reason, message }
    }

    /// A refusal is final for its attempt, also after a restart: the control plane places the next one elsewhere. What is refused for its
    /// own content needs no tombstone, since it is refused again; settings and what else is held may change.
    pub(super) fn reject(&self, holding: Holding, rejection: Rejection) -> Step {
        let by_content = matches!(
            rejection.reason,
            Refusal::WrongJournal | Refusal::Expired | Refusal::Superseded
        );
        let mut draft = Draft::new(self);
        if !by_content {
            let tombstone = self.tombstone(holding.issued_at, Some(rejection.clone()));
            draft.bury(key(&holding.attempt), tombstone);
        }
        let rejected = self.rejected(&holding.attempt, rejection);
        draft.act(Action::Report(holding, rejected));
        draft.step
    }
}

fn window_end(start: &Start) -> Timestamp {
    let window = SignedDuration::from_secs(start.window_seconds.into());
    start.issued_at.saturating_add(window).unwrap_or(Timestamp::MAX)
}

/// What is told of an attempt that runs.
pub(super) fn running(started: Option<&Started>) -> Stage {
    match started {
        Some(Started { address, problem }) => Stage::Started {
            address: address.clone(),
            problem: problem.clone(),
        },
        None => Stage::Accepted,
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
