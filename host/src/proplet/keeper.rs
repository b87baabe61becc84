//! The ledger with its journal, on a thread of its own: decides, makes durable, then says what to do.
//!
//! ```text
//!  Request ──► queue ──► Desk::decide ──► one commit for all that waited ──► Answer
//! ```
//!
//! What follows from a commit that fails is the [`Desk`]'s to say.

#[cfg(test)]
mod tests;

use std::{io, thread};

pub use propeller_delivery::desk::{Answer, Inventory, Request};
use propeller_delivery::{
    desk::{Answers, Desk},
    ledger::{Event, Ledger, Record},
};
use propeller_protocol::JournalId;
use tokio::sync::mpsc;

use super::{
    chain::chain,
    journal::{Journal, JournalError},
};

/// The most that is made durable together. It bounds how long the first of them waits for the last.
const BATCH: usize = 256;

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
        let work = Thread {
            desk: Desk::new(ledger),
            commit: move |records: &[Record]| journal.commit(records),
        };
        let thread = thread::Builder::new().name("journal".to_owned());
        thread
            .spawn(move || work.work(inbox, &outbox))
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

/// What the thread works with.
struct Thread<C> {
    desk: Desk,
    commit: C,
}

impl<C: FnMut(&[Record]) -> Result<(), JournalError>> Thread<C> {
    fn work(mut self, mut inbox: mpsc::UnboundedReceiver<Request>, outbox: &mpsc::UnboundedSender<Answer>) {
        let mut requests = Vec::with_capacity(BATCH);
        while inbox.blocking_recv_many(&mut requests, BATCH) > 0 {
            let Answers { now, then } = self.desk.decide(requests.drain(..));
            let told = now.into_iter().try_for_each(|answer| outbox.send(answer));
            let then = self.commit(then).into_iter().try_for_each(|answer| outbox.send(answer));
            if told.and(then).is_err() {
                return;
            }
        }
    }

    /// Makes durable what is owed, and returns what the answers are then.
    fn commit(&mut self, mut answers: Vec<Answer>) -> Vec<Answer> {
        if !self.desk.owed().is_empty() {
            match (self.commit)(self.desk.owed()) {
                Ok(()) => self.desk.written(),
                Err(error) => {
                    let message = chain(&error);
                    tracing::error!(error = message, "starts are refused until the journal can be written");
                    self.desk.not_written(&mut answers, message);
                }
            }
        }
        answers
    }
}
