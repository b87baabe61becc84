//! The ledger with the records that it owes the disk: what happens between a decision and its being durable.
//!
//! ```text
//!  request ──► decide, apply ──┬─► the end of a run, at once ─────────────────────────────────────────────────┐
//!                              └─► other answers, held back ──► one commit of all that waited ──► written ────┼─► answers
//!                                                                                           └──► not written ─┘
//!                                                                                    what was accepted is refused instead
//! ```
//!
//! Requests are decided as they come, each on a ledger that has taken in the records of those before. One commit is under way at a time, and
//! what is decided meanwhile goes with the next. So the disk's latency bounds how long a start takes, not how many there are. Nothing but the end of a run
//! is told before the commit: who hears an answer can rely on it. An end is told at once, and forgotten only when it was acknowledged.
//!
//! The price is a ledger that is ahead of the disk while a commit is under way. If that fails (a full disk), the starts that would have
//! been accepted with it or since are refused instead, which none of their actions have contradicted yet. All else is true whether the disk has
//! it or not: it stays in the ledger, is told and acted on, and the disk gets it with a later commit.

use std::collections::{BTreeSet, VecDeque};

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
    /// In the ledger, and neither on disk nor on the way there.
    owed: Vec<Record>,
    /// These hold once what the ledger has now is durable.
    held: VecDeque<Answer>,
    /// Of them, those that hold once the commit is done that is under way.
    committing: Option<usize>,
    /// To be told.
    ready: VecDeque<Answer>,
}

impl Desk {
    /// With a ledger that the disk has.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            owed: Vec::new(),
            held: VecDeque::new(),
            committing: None,
            ready: VecDeque::new(),
        }
    }

    /// What was decided so far, whether or not the disk has it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Decides. Every request gets its answer, in the order of the requests.
    pub fn ask(&mut self, request: Request) {
        let is_end = matches!(request, Request::Event(Event::Ended(..)));
        let mut answer = self.answer(request);
        if is_end && let Answer::Actions(actions) = &mut answer {
            self.ready.extend(take_ends(actions).map(Answer::Actions));
        }
        match &mut self.committing {
            None if self.owed.is_empty() => return self.ready.push_back(answer),
            // It adds nothing to what is under way.
            Some(told) if self.owed.is_empty() => *told += 1,
            _ => {}
        }
        self.held.push_back(answer);
    }

    /// The next answer, if there is one to be told.
    pub fn take_answer(&mut self) -> Option<Answer> {
        self.ready.pop_front()
    }

    /// How many answers there are, to be told or held back.
    pub fn unanswered(&self) -> usize {
        self.ready.len() + self.held.len()
    }

    /// What the disk is to take, all or none of it. None if it has everything, or a commit is under way. Whoever takes it says how it went:
    /// [`Desk::written`] or [`Desk::not_written`].
    pub fn commit(&mut self) -> Option<Vec<Record>> {
        if self.committing.is_some() || self.owed.is_empty() {
            return None;
        }
        self.committing = Some(self.held.len());
        Some(std::mem::take(&mut self.owed))
    }

    /// The disk has what was under way.
    pub fn written(&mut self) {
        let told = self.committing.take().unwrap_or_default();
        self.ready.extend(self.held.drain(..told));
    }

    /// The disk didn't take these, and will be asked again, with a later request. What would have been accepted gets a tombstone instead, so that the same
    /// start isn't accepted after all when it arrives again: to the control plane a refusal is final. A start is handed over once, when it is
    /// accepted, so what is still in an action was accepted just now.
    pub fn not_written(&mut self, mut records: Vec<Record>, message: &str) {
        records.append(&mut self.owed);
        self.owed = records;
        self.committing = None;
        let mut answers: Vec<_> = std::mem::take(&mut self.held).into();
        self.refuse(&mut answers, message);
        self.ready.extend(answers);
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

    fn refuse(&mut self, answers: &mut [Answer], message: &str) {
        let rejection = Rejection {
            reason: Refusal::JournalFailed,
            message: message.to_owned(),
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

/// That a run has ended may be told before the disk has it: if the process ends before the disk knows, the run is reported as interrupted, which nobody
/// believes who was told its outcome. What goes on in its place comes after what was decided before.
fn take_ends(actions: &mut Vec<Action>) -> Option<Vec<Action>> {
    let ends: Vec<_> = actions
        .extract_if(.., |action| matches!(action, Action::Ended(..)))
        .collect();
    (!ends.is_empty()).then_some(ends)
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
