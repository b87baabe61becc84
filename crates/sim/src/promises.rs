//! The promises, and whether the world kept them.

use std::collections::{BTreeMap, BTreeSet};

use propeller_api::{JournalId, Phase, Task, TaskStatus};
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
    /// Whether two devices had one identity: each of them may run an attempt that was meant for both.
    pub cloned: bool,
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
        if devices.len() > 1 && !self.cloned && !self.forgotten.contains(uid) {
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
        let may_again = self.cloned || !self.forgetful.is_empty() || self.forgotten.contains(uid);
        if runs > 1 && !may_again {
            self.broken(format!(
                "{uid} has onDisconnect: Stop and backoffLimit: 0, and runs {runs} times"
            ));
        }
    }

    /// A task that may run once at a time runs twice.
    pub fn twice_at_a_time(&mut self, uid: &str) {
        if !self.cloned && !self.overlapping.contains(uid) {
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
        let limit = task.spec.backoff_limit.unwrap_or(6);
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
    pub fn acknowledged(&mut self, store: &Store, uid: &str, outcome: &Outcome, verdict: Verdict) {
        // Of a task whose store was restored, attempts are told about that it has forgotten. Two devices with one journal, or one with two pasts, may report two ends of one attempt, of which one counts. And a task that is gone is
        // told about by nobody, whatever became of it before.
        let is_sane = !self.cloned && self.forgetful.is_empty();
        let Some(task) = store.by_uid(uid).filter(|_| is_sane) else {
            return;
        };
        let status = task.status.clone().unwrap_or_default();
        match (verdict, outcome) {
            (Verdict::Discarded, _) => self.broken(format!("an outcome of {uid} was discarded, and {uid} is there")),
            (Verdict::Recorded, Outcome::Completed { results, .. }) => {
                let is_service = task.spec.service.is_some();
                if !is_service && (status.phase != Phase::Completed || status.results != *results) {
                    self.broken(format!(
                        "the result {results:?} of {uid} was acknowledged as recorded, and isn't"
                    ));
                }
            }
            (Verdict::Superseded, Outcome::Completed { .. }) => {
                let may_forget = self.forgotten.contains(uid);
                if !status.phase.is_terminal() && task.spec.service.is_none() && !may_forget {
                    self.broken(format!(
                        "a result of {uid} was acknowledged as superseded, and {uid} has none"
                    ));
                }
            }
            (Verdict::Recorded | Verdict::Superseded, Outcome::Failed { .. }) => {}
        }
    }

    /// The world is at its end, with everything in order for long enough.
    pub fn at_the_end(&mut self, problem: Option<String>) {
        if let Some(problem) = problem {
            self.broken(problem);
        }
    }
}
