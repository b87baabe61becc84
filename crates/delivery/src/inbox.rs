//! What proplets reported of one task and the status doesn't say yet.
//!
//! The inbox is memory only. Losing it loses nothing: a proplet repeats outcomes until they are acknowledged, and its inventory tells
//! again what it accepted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use propeller_api::PropletId;
use propeller_protocol::{Boot, JournalId, Outcome, Rejection, Stage};

/// How many attempts of one task wait here before nothing more is taken in that isn't expected. A task has one or two at a time; the rest is for a
/// peer that makes them up while a write keeps them from being answered.
const FULL: usize = 8;

/// Attempts that a restored store may have forgotten of one task. At the fastest pace of retries that is a backup of a year ago; what is further
/// ahead was made up, and there would be no numbers left after it.
pub(crate) const MOST_FORGOTTEN: u32 = 1 << 20;

/// Reports about one task, by who sent them and which attempt they are about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inbox {
    attempts: BTreeMap<Origin, Observed>,
    forgotten: u32,
}

/// Where a report comes from, and which attempt it is about.
///
/// The journal is part of it: of two devices with one identity, which is what a clone is, only the one that was meant is heard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The proplet, by the topic.
    pub proplet: PropletId,
    /// Its journal.
    pub journal: JournalId,
    /// Which attempt of the task.
    pub attempt: u32,
}

/// What is known of one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Since when the proplet is known to have accepted it, and what said so last.
    pub accepted: Option<Accepted>,
    /// What the proplet said last of how it runs.
    pub started: Option<Started>,
    /// Why it won't run.
    pub rejected: Option<Rejection>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// That an attempt runs, and where a service listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Where it listens; nothing for a call or a program, and for a service that doesn't listen now.
    pub address: Option<String>,
    /// Why it doesn't.
    pub problem: Option<String>,
    /// When and where this was said.
    pub said: Accepted,
}

/// The sign that a proplet accepted an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// When the control plane knew.
    pub at: Timestamp,
    /// The life of the process that said so.
    pub boot: Boot,
    /// Where in that life's messages it said so.
    pub sequence: u64,
}

impl Accepted {
    /// Only within one life of a process the order of what it said is known.
    fn is_not_before(&self, other: &Self) -> bool {
        self.boot != other.boot || self.sequence >= other.sequence
    }
}

impl Observed {
    /// The time is that of the first sign. Which boot says so, and where, is that of the last: an inventory is held against that.
    fn note_accept(&mut self, accepted: Accepted) {
        match &mut self.accepted {
            Some(known) if accepted.is_not_before(known) => {
                (known.boot, known.sequence) = (accepted.boot, accepted.sequence);
            }
            Some(_) => {}
            None => self.accepted = Some(accepted),
        }
    }
}

impl Inbox {
    /// Takes in a report; `accepted` is what it says if it is the first sign of acceptance. The same report again changes nothing.
    pub fn take(&mut self, origin: Origin, stage: Stage, accepted: Accepted) {
        let attempt = origin.attempt;
        let observed = self.attempts.entry(origin).or_default();
        match stage {
            Stage::Accepted => observed.note_accept(accepted),
            Stage::Started { address, problem } => {
                observed.note_accept(accepted.clone());
                let said = accepted;
                if observed
                    .started
                    .as_ref()
                    .is_none_or(|known| said.is_not_before(&known.said))
                {
                    observed.started = Some(Started { address, problem, said });
                }
            }
            Stage::Rejected { rejection, newest } => {
                observed.rejected = Some(rejection);
                let newest = newest.filter(|newest| newest.saturating_sub(attempt) <= MOST_FORGOTTEN);
                self.forgotten = self.forgotten.max(newest.unwrap_or_default());
            }
            // An attempt has one outcome. A proplet that died before that one was on its disk says of the same attempt that it was interrupted.
            // Who has an outcome had accepted it, and may not have found the time to say so.
            Stage::Finished { outcome } => {
                observed.note_accept(accepted);
                observed.outcome.get_or_insert(outcome);
            }
        }
    }

    /// The newest attempt of which a proplet knows, and the store doesn't: it was restored from a backup. 0 if there is none.
    pub fn forgotten(&self) -> u32 {
        self.forgotten
    }

    /// The store doesn't know of that attempt, and a proplet does.
    pub(crate) fn note_forgotten(&mut self, attempt: u32) {
        self.forgotten = self.forgotten.max(attempt);
    }

    /// What is known of that attempt.
    pub fn get(&self, origin: &Origin) -> Option<&Observed> {
        self.attempts.get(origin)
    }

    /// Forgets an attempt: its outcome was acknowledged.
    pub fn forget(&mut self, origin: &Origin) {
        self.attempts.remove(origin);
    }

    /// Forgets what was said of attempts before `attempt`, which the status has left behind, except outcomes: those are acknowledged first.
    pub fn forget_before(&mut self, attempt: u32) {
        self.attempts
            .retain(|origin, observed| origin.attempt >= attempt || observed.outcome.is_some());
    }

    /// Whether it has as much as it takes of what isn't expected.
    pub(crate) fn is_full(&self) -> bool {
        self.attempts.len() >= FULL
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.forgotten == 0
    }

    /// Every outcome that waits for an acknowledgement.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&Origin, &Outcome)> {
        self.attempts
            .iter()
            .filter_map(|(origin, observed)| Some((origin, observed.outcome.as_ref()?)))
    }
}
