//! The ledger with its journal, on a thread of its own: decides, makes durable, then says what to do.
//!
//! ```text
//!  Request ──► queue ──► decide, apply ──► one commit for all that waited ──► Answer
//! ```
//!
//! Steps are decided one after the other, each on a ledger that has taken in the records of those before, and what was waiting is made
//! durable in one commit. So the disk's latency bounds how long a start takes, not how many there are. Nothing is told before the commit:
//! who hears an answer can rely on it.
//!
//! The price is a ledger that is ahead of the disk while a commit is on its way. If that fails (a full disk), the starts that it would have
//! accepted are refused instead, which none of their actions have contradicted yet. All else is true whether the disk has it or not:
//! it stays in the ledger, is told and acted on, and the disk gets it with a later commit.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io, thread};

use propeller_delivery::ledger::{Action, Event, Key, Ledger, Record, Step};
use propeller_protocol::{AttemptRef, Held, HeldState, JournalId, Refusal, Rejection, Stage, Start};
use tokio::sync::mpsc;

use super::{
    chain::chain,
    journal::{Journal, JournalError},
};

/// The most that is made durable together. It bounds how long the first of them waits for the last.
const BATCH: usize = 256;

/// What the keeper is asked.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are events")]
pub enum Request {
    /// Something happened to an attempt.
    Event(Event),
    /// What is held?
    Inventory,
    /// Accept nothing new from now on, and give back what waits for room.
    Drain,
}

/// What the keeper answers, in the order in which it was asked.
#[derive(Debug)]
pub enum Answer {
    /// Durable, so do it.
    Actions(Vec<Action>),
    /// What is held.
    Inventory(Inventory),
}

/// What is held at one moment.
#[derive(Debug)]
pub struct Inventory {
    /// Every attempt that waits, runs or isn't acknowledged.
    pub held: Vec<Held>,
    /// Whether no start is accepted.
    pub draining: bool,
    /// Whether the disk has everything that was decided. While it hasn't, starts are refused.
    pub durable: bool,
}

impl Inventory {
    /// Whether nothing waits or runs.
    pub fn is_idle(&self) -> bool {
        self.held.iter().all(|held| held.state == HeldState::Finished)
    }

    /// How many are in that state.
    pub fn count(&self, state: HeldState) -> usize {
        self.held.iter().filter(|held| held.state == state).count()
    }
}

/// The way to the keeper and back. The keeper ends when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    /// Neither queue is bounded, since two bounded ones can wait for each other. Who asks counts.
    requests: mpsc::UnboundedSender<Request>,
    answers: mpsc::UnboundedReceiver<Answer>,
    unanswered: usize,
    journal: JournalId,
}

impl Keeper {
    /// Says what was interrupted when the process last ended, makes that durable, and starts the thread.
    pub fn start(mut journal: Journal, mut ledger: Ledger) -> Result<Self, StartError> {
        let records = ledger.decide(Event::Booted).records;
        if !records.is_empty() {
            journal.commit(&records)?;
            tracing::warn!(
                attempts = records.len(),
                "attempts were interrupted when the proplet last ended"
            );
        }
        records.into_iter().for_each(|record| ledger.apply(record));
        let id = ledger.journal().clone();
        let (requests, inbox) = mpsc::unbounded_channel();
        let (outbox, answers) = mpsc::unbounded_channel();
        let desk = Desk::new(ledger, move |records: &[Record]| journal.commit(records));
        let thread = thread::Builder::new().name("journal".to_owned());
        thread
            .spawn(move || desk.work(inbox, &outbox))
            .map_err(StartError::Thread)?;
        Ok(Self {
            requests,
            answers,
            unanswered: 0,
            journal: id,
        })
    }

    /// Identity of the journal.
    pub fn journal(&self) -> &JournalId {
        &self.journal
    }

    /// How many requests wait for their answer.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Asks. Every request is answered.
    pub fn ask(&mut self, request: Request) {
        self.unanswered += 1;
        // If the thread is gone, `answer` says so.
        let _ = self.requests.send(request);
    }

    /// The next answer, or none if the thread died. Can be cancelled without losing one.
    pub async fn answer(&mut self) -> Option<Answer> {
        let answer = self.answers.recv().await;
        self.unanswered = self.unanswered.saturating_sub(1);
        answer
    }
}

/// The keeper can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What was interrupted can't be made durable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operating system gives no thread.
    #[error("cannot start the journal's thread")]
    Thread(#[source] io::Error),
}

/// What the thread works on.
struct Desk<C> {
    ledger: Ledger,
    commit: C,
    /// In the ledger, and not on disk yet.
    owed: Vec<Record>,
}

impl<C: FnMut(&[Record]) -> Result<(), JournalError>> Desk<C> {
    fn new(ledger: Ledger, commit: C) -> Self {
        Self {
            ledger,
            commit,
            owed: Vec::new(),
        }
    }

    fn work(mut self, mut inbox: mpsc::UnboundedReceiver<Request>, outbox: &mpsc::UnboundedSender<Answer>) {
        let mut requests = Vec::with_capacity(BATCH);
        while inbox.blocking_recv_many(&mut requests, BATCH) > 0 {
            for answer in self.answer(requests.drain(..)) {
                if outbox.send(answer).is_err() {
                    return;
                }
            }
        }
    }

    fn answer(&mut self, requests: impl Iterator<Item = Request>) -> Vec<Answer> {
        let mut answers: Vec<_> = requests.map(|request| self.decide(request)).collect();
        if !self.owed.is_empty() {
            match (self.commit)(&self.owed) {
                Ok(()) => self.owed.clear(),
                Err(error) => self.refuse_accepted(&mut answers, &error),
            }
        }
        answers
    }

    fn decide(&mut self, request: Request) -> Answer {
        match request {
            Request::Event(event) => Answer::Actions(self.step(event)),
            Request::Drain => {
                self.ledger.drain();
                Answer::Actions(self.step(Event::Drain))
            }
            Request::Inventory => Answer::Inventory(Inventory {
                held: self.ledger.inventory(),
                draining: self.ledger.is_draining(),
                durable: true,
            }),
        }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        let Step { records, actions } = self.ledger.decide(event);
        for record in records {
            self.ledger.apply(record.clone());
            self.owed.push(record);
        }
        actions
    }

    /// The commit failed. What it would have accepted gets a tombstone instead, so that the same start isn't accepted after all when it
    /// arrives again: to the control plane a refusal is final. A start is handed over once, when it is accepted, so what is still in an
    /// action was accepted just now.
    fn refuse_accepted(&mut self, answers: &mut [Answer], error: &JournalError) {
        let message = chain(error);
        tracing::error!(error = message, "starts are refused until the journal can be written");
        let rejection = Rejection {
            reason: Refusal::JournalFailed,
            message,
        };
        let mut refused = BTreeSet::new();
        for answer in answers {
            match answer {
                Answer::Actions(actions) => {
                    for start in take_starts(actions) {
                        refused.insert(key(&start.attempt));
                        actions.extend(self.step(Event::Unwritten(start, rejection.clone())));
                    }
                    answer_again(actions, &refused, &rejection);
                }
                Answer::Inventory(inventory) => {
                    inventory.held.retain(|held| !refused.contains(&key(&held.attempt)));
                    inventory.durable = false;
                }
            }
        }
    }
}

#[allow(clippy::vec_box, reason = "they come in boxes, and go on in them")]
fn take_starts(actions: &mut Vec<Action>) -> Vec<Box<Start>> {
    let has_start = |action: &mut Action| matches!(action, Action::Run(_) | Action::Wait(_));
    let taken = actions.extract_if(.., has_start);
    taken
        .filter_map(|action| match action {
            Action::Run(start) | Action::Wait(start) => Some(start),
            _ => None,
        })
        .collect()
}

/// Whatever was to be told of what is refused now: that it is.
fn answer_again(actions: &mut [Action], refused: &BTreeSet<Key>, rejection: &Rejection) {
    for action in actions {
        if let Action::Ended(holding, _) | Action::Report(holding, _) = action
            && refused.contains(&key(&holding.attempt))
        {
            let rejection = rejection.clone();
            *action = Action::Report(holding.clone(), Stage::Rejected { rejection });
        }
    }
}

fn key(attempt: &AttemptRef) -> Key {
    (attempt.task.uid.clone(), attempt.attempt)
}
