//! The ledger with its journal, which has a thread of its own: decided here, made durable there, then answered.
//!
//! ```text
//!  ask ──► Desk ──records──► thread: Journal::commit
//!  answer ◄── Desk ◄──────── how it went
//! ```
//!
//! What follows from a commit that fails is the [`Desk`]'s to say.

#[cfg(test)]
mod tests;

use std::{io, thread};

pub use propeller_delivery::desk::{Answer, Inventory, Request};
use propeller_delivery::{
    desk::Desk,
    ledger::{Event, Ledger, Record},
};
use propeller_protocol::JournalId;
use tokio::sync::mpsc;

use super::{
    chain::chain,
    journal::{Journal, JournalError},
};

/// The desk, and the way to the journal and back. The journal's thread ends when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    desk: Desk,
    /// At most one commit is in these.
    commits: mpsc::UnboundedSender<Vec<Record>>,
    committed: mpsc::UnboundedReceiver<Result<(), NotWritten>>,
    journal: JournalId,
}

/// What the journal didn't take, and why.
#[derive(Debug)]
struct NotWritten {
    records: Vec<Record>,
    message: String,
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
        Self::with(ledger, move |records| journal.commit(records)).map_err(StartError::Thread)
    }

    fn with(
        ledger: Ledger,
        mut commit: impl FnMut(&[Record]) -> Result<(), JournalError> + Send + 'static,
    ) -> io::Result<Self> {
        let (commits, mut inbox) = mpsc::unbounded_channel::<Vec<Record>>();
        let (outbox, committed) = mpsc::unbounded_channel();
        let work = move || {
            while let Some(records) = inbox.blocking_recv() {
                let written = commit(&records).map_err(|error| {
                    let message = chain(&error);
                    NotWritten { records, message }
                });
                if outbox.send(written).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("journal".to_owned()).spawn(work)?;
        Ok(Self {
            journal: ledger.journal().clone(),
            desk: Desk::new(ledger),
            commits,
            committed,
        })
    }

    /// Identity of the journal.
    pub fn journal(&self) -> &JournalId {
        &self.journal
    }

    /// How many answers there are that [`Keeper::answer`] hasn't returned.
    pub fn unanswered(&self) -> usize {
        self.desk.unanswered()
    }

    /// Asks. Every request is answered.
    pub fn ask(&mut self, request: Request) {
        self.desk.ask(request);
        self.commit();
    }

    /// The next answer, or none if the thread died. Can be cancelled without losing one.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.desk.take_answer() {
                return Some(answer);
            }
            match self.committed.recv().await? {
                Ok(()) => {
                    self.desk.written();
                    self.commit();
                }
                Err(NotWritten { records, message }) => {
                    tracing::error!(error = message, "starts are refused until the journal can be written");
                    self.desk.not_written(records, &message);
                }
            }
        }
    }

    fn commit(&mut self) {
        if let Some(records) = self.desk.commit() {
            // If the thread is gone, `answer` says so.
            let _ = self.commits.send(records);
        }
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
