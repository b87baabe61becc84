//! The promises, and whether the world kept them.

use std::collections::{BTreeMap, BTreeSet};

use propeller_api::{JournalId, Phase, Task, TaskStatus, condition, types};
use propeller_delivery::{ledger::Key, reason};
use propeller_protocol::{Outcome, Verdict};
use serde_json::Value;

use crate::store::Store;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Promises {
    /// By device, journal, task and attempt: how often it began to run.
    runs: BTreeMap<(usize, JournalId, String, u32), u32>,
    /// Devices on which each attempt ran.
    where_run: BTreeMap<(String, u32), BTreeSet<usize>>,
    /// By task: what its attempts returned.
    produced: BTreeMap<String, Vec<Value>>,
    /// Tasks that have ended, and how.
    ended: BTreeMap<String, TaskStatus>,
    /// Devices whose disk was rolled back: what they ran before, they may run again.
    forgetful: BTreeSet<usize>,
    /// Tasks of which a control plane may have forgotten attempts, because its store was restored: it may give their numbers again.
    forgotten: BTreeSet<String>,
    /// Those of them of which an attempt may still have run when the control plane came back.
    overlapping: BTreeSet<String>,
    /// Devices that shared their identity with another: each of them may run an attempt that was meant for both.
    pub cloned: BTreeSet<usize>,
    /// The most failures that each task was allowed at some time.
    limits: BTreeMap<String, u32>,
    /// Tasks that may run more often than their spec says: they were suspended, or had another spec.
    repeats: BTreeSet<String>,
    pub violation: Option<String>,
}

impl Promises {
    fn broken(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub fn rolled_back(&mut self, device: usize) {
        self.forgetful.insert(device);
    }

    /// A store was restored. What it doesn't have any more never was, as far as anybody can tell; what it had ended then has ended.
    pub fn restored(&mut self, store: &Store, is_patient: bool) {
        for uid in store.uids() {
            self.ended.remove(&uid);
            if !is_patient {
                self.overlapping.insert(uid.clone());
            }
            self.forgotten.insert(uid);
        }
        for task in store.tasks.values() {
            let ended = task.status.as_ref().filter(|status| status.phase.is_terminal());
            self.ended
                .extend(ended.map(|status| (task.metadata.uid.clone(), status.clone())));
        }
    }

    /// An attempt begins to run.
    pub fn runs(&mut self, device: usize, journal: &JournalId, uid: &str, attempt: u32) {
        let key = (device, journal.clone(), uid.to_owned(), attempt);
        let times = self.runs.entry(key).or_default();
        *times += 1;
        let times = *times;
        if times > 1 && !self.forgetful.contains(&device) {
            self.broken(format!(
                "attempt {attempt} of {uid} runs {times} times on device {device}"
            ));
        }
        let devices = self.where_run.entry((uid.to_owned(), attempt)).or_default();
        devices.insert(device);
        if devices.len() > 1 && !devices.is_subset(&self.cloned) && !self.forgotten.contains(uid) {
            let devices = devices.clone();
            self.broken(format!("attempt {attempt} of {uid} runs on devices {devices:?}"));
        }
    }

    /// A task that may run once at most runs.
    pub fn runs_once(&mut self, uid: &str) {
        let runs: u32 = self
            .runs
            .iter()
            .filter(|((_, _, task, _), _)| task == uid)
            .map(|(_, times)| times)
            .sum();
        let may_again = self.forgotten.contains(uid) || self.repeats.contains(uid);
        if runs > 1 && !may_again && self.ran(uid).all(|device| self.has_one_past(device)) {
            self.broken(format!(
                "{uid} has onDisconnect: Stop and backoffLimit: 0, and runs {runs} times"
            ));
        }
    }

    /// A task that may run once at a time runs twice.
    pub fn twice_at_a_time(&mut self, uid: &str) {
        let is_alone = self.ran(uid).all(|device| !self.cloned.contains(&device));
        if is_alone && !self.overlapping.contains(uid) {
            self.broken(format!(
                "{uid} has onDisconnect: Stop, and two attempts of it run at a time"
            ));
        }
    }

    pub fn produced(&mut self, uid: &str, outcome: &Outcome) {
        if let Outcome::Completed {
            results: Some(results), ..
        } = outcome
        {
            self.produced.entry(uid.to_owned()).or_default().push(results.clone());
        }
    }

    /// The store has this now.
    pub fn written(&mut self, task: &Task) {
        let uid = &task.metadata.uid;
        let Some(status) = &task.status else { return };
        if let Some(results) = &status.results
            && !self
                .produced
                .get(uid)
                .is_some_and(|produced| produced.contains(results))
        {
            self.broken(format!("{uid} has results {results}, which no attempt of it returned"));
        }
        let limit = self.limit(task);
        if task.spec.service.is_none() && status.failures > limit + 1 {
            self.broken(format!(
                "{uid} failed {} times with backoffLimit {limit}",
                status.failures
            ));
        }
        if let Some(before) = self.ended.get(uid)
            && (before.phase, &before.results, &before.error) != (status.phase, &status.results, &status.error)
        {
            let was = before.phase;
            self.broken(format!("{uid} had ended as {was:?}, and is {:?} now", status.phase));
        }
        if status.phase.is_terminal() {
            self.ended.entry(uid.clone()).or_insert_with(|| status.clone());
        }
    }

    /// A proplet takes an acknowledgement of that outcome.
    pub fn acknowledged(&mut self, store: &Store, (uid, attempt): &Key, outcome: &Outcome, verdict: Verdict) {
        // A task that is gone is told about by nobody, whatever became of it before.
        let Some(task) = store.by_uid(uid) else {
            return;
        };
        if verdict == Verdict::Discarded {
            return self.broken(format!("an outcome of {uid} was discarded, and {uid} is there"));
        }
        let status = task.status.clone().unwrap_or_default();
        let is_service = task.spec.service.is_some();
        let is_superseded = verdict == Verdict::Superseded;
        // Of a task whose store was restored, attempts are told about that it has forgotten.
        let may_forget = is_superseded && self.forgotten.contains(uid);
        let is_there = match outcome {
            Outcome::Completed { .. } if is_superseded => status.phase.is_terminal() || is_service,
            Outcome::Completed { results, .. } => {
                is_service || (status.phase == Phase::Completed && status.results == *results)
            }
            Outcome::Failed { .. } if is_superseded => status.phase.is_terminal() || status.attempt > *attempt,
            Outcome::Failed { failure, .. } => {
                // A result that was told and heard, but not on disk when the process ended: what the next life tells in its place is outdone by it.
                let is_outdone = failure.reason == reason::INTERRUPTED
                    && status.phase == Phase::Completed
                    && status.finished_attempt == Some(*attempt);
                is_outdone || is_noted(&status, *attempt, &failure.reason)
            }
        };
        if !is_there && !may_forget {
            self.broken(format!(
                "{outcome:?} of {uid}, attempt {attempt}, was acknowledged as {verdict:?}, and isn't: {status:?}"
            ));
        }
    }

    /// Devices on which the task ran so far.
    fn ran(&self, uid: &str) -> impl Iterator<Item = usize> {
        let runs = self.where_run.range((uid.to_owned(), 0)..=(uid.to_owned(), u32::MAX));
        runs.flat_map(|(_, devices)| devices.iter().copied())
    }

    /// Whether the device has all that it ever had on its disk, and no other has.
    pub fn has_one_past(&self, device: usize) -> bool {
        !self.cloned.contains(&device) && !self.forgetful.contains(&device)
    }

    /// The task is about to be suspended, or to be tried more or less often.
    pub fn repeats(&mut self, task: &Task) {
        self.limit(task);
        self.repeats.insert(task.metadata.uid.clone());
    }

    /// How many failures it was ever allowed, as far as anybody has looked.
    fn limit(&mut self, task: &Task) -> u32 {
        let limit = self.limits.entry(task.metadata.uid.clone()).or_default();
        *limit = task.spec.backoff_limit.unwrap_or(6).max(*limit);
        *limit
    }

    /// The world is at its end, with everything in order for long enough.
    pub fn at_the_end(&mut self, problem: Option<String>) {
        if let Some(problem) = problem {
            self.broken(problem);
        }
    }
}

/// A failed attempt has ended its task, or another one follows or has followed.
fn is_noted(status: &TaskStatus, attempt: u32, reason: &str) -> bool {
    if status.phase.is_terminal() && status.attempt == attempt {
        let finished = condition(&status.conditions, types::FINISHED);
        return status.phase == Phase::Failed && finished.is_some_and(|finished| finished.reason == reason);
    }
    status.attempt > attempt || status.phase == Phase::Pending
}
