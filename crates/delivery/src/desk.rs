//! The ledger with the records that it owes the disk: what happens between a decision and its being durable.
//!
//! ```text
//!  requests ──► decide, apply ──┬─► outcomes, at once
//!                               └─► other answers, held back ──► one commit for all that waited ──► answers
//!                                                                  └── fails ──► what was accepted is refused instead
//! ```
//!
//! Steps are decided one after the other, each on a ledger that has taken in the records of those before, and what was waiting is made durable
//! in one commit. So the disk's latency bounds how long a start takes, not how many there are. Nothing but outcomes is told before the commit: who
//! hears an answer can rely on it. An outcome is told at once, and forgotten only when it was acknowledged.
//!
//! The price is a ledger that is ahead of the disk while a commit is on its way. If that fails (a full disk), the starts that it would have
//! accepted are refused instead, which none of their actions have contradicted yet. All else is true whether the disk has it or not:
//! it stays in the ledger, is told and acted on, and the disk gets it with a later commit.

use std::collections::BTreeSet;

use propeller_protocol::{AttemptRef, ControllerId, Held, HeldState, Refusal, Rejection, Stage, Start};

use crate::ledger::{Action, Event, Key, Ledger, Record, Step};

/// What is asked of the desk.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are events")]
pub enum Request {
    /// Something happened to an attempt.
    Event(Event),
    /// What is held?
    Inventory,
    /// Accept nothing new from now on, and give back what waits for room.
    Drain,
    /// What these control planes dispatched with a lease may run from now on, and of all others it must end.
    Leased(BTreeSet<ControllerId>),
}

/// What the desk answers, in the order in which it was asked.
#[derive(Debug)]
pub enum Answer {
    /// Do this.
    Actions(Vec<Action>),
    /// What is held.
    Inventory(Inventory),
}

/// What was decided on several requests.
#[derive(Debug, Default)]
pub struct Answers {
    /// These need no disk.
    pub now: Vec<Answer>,
    /// These hold once what is owed is durable: [`Desk::written`], or [`Desk::not_written`].
    pub then: Vec<Answer>,
}

impl Answer {
    /// Whether it may be acted on before the disk has it. That a run has ended is so: if the process ends before the disk knows, the run is reported as
    /// interrupted, which nobody believes who was told its outcome. What goes on in its place comes after what was decided before.
    fn is_true_anyway(&self) -> bool {
        let is_end = |action: &Action| matches!(action, Action::Ended(..));
        matches!(self, Self::Actions(actions) if actions.iter().all(is_end))
    }
}

/// What is held at one moment.
#[derive(Debug)]
pub struct Inventory {
    /// Every attempt that waits, runs or isn't acknowledged.
    pub held: Vec<Held>,
    /// Whether no start is accepted.
    pub draining: bool,
    /// Whether anything of it runs only with a lease.
    pub needs_lease: bool,
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

/// A ledger, and what it owes the disk.
#[derive(Debug)]
pub struct Desk {
    ledger: Ledger,
    /// In the ledger, and not on disk yet.
    owed: Vec<Record>,
}

impl Desk {
    /// With a ledger that the disk has.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            owed: Vec::new(),
        }
    }

    /// What was decided so far, whether or not the disk has it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Answers the requests, each of both parts in their order.
    pub fn decide(&mut self, requests: impl Iterator<Item = Request>) -> Answers {
        let answers = requests.map(|request| self.answer(request));
        let (now, then) = answers.partition(Answer::is_true_anyway);
        Answers { now, then }
    }

    /// What the disk must take, all or none of it.
    pub fn owed(&self) -> &[Record] {
        &self.owed
    }

    /// The disk has all that is owed.
    pub fn written(&mut self) {
        self.owed.clear();
    }

    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Event(event) => Answer::Actions(self.step(event)),
            Request::Drain => {
                self.ledger.drain();
                Answer::Actions(self.step(Event::Drain))
            }
            Request::Leased(leased) => {
                self.ledger.set_leased(leased);
                Answer::Actions(self.step(Event::Leased))
            }
            Request::Inventory => Answer::Inventory(Inventory {
                held: self.ledger.inventory(),
                needs_lease: self.ledger.needs_lease(),
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

    /// The disk didn't take what is owed, and will be asked again. What it would have accepted gets a tombstone instead, so that the same start isn't accepted after all when it
    /// arrives again: to the control plane a refusal is final. A start is handed over once, when it is accepted, so what is still in an
    /// action was accepted just now.
    pub fn not_written(&mut self, answers: &mut [Answer], message: String) {
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
            let newest = None;
            *action = Action::Report(holding.clone(), Stage::Rejected { rejection, newest });
        }
    }
}

fn key(attempt: &AttemptRef) -> Key {
    (attempt.task.uid.clone(), attempt.attempt)
}
