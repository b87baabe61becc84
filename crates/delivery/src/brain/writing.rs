//! Statuses are written under the version that they were planned from, and plans go on from what came of it.

use jiff::Timestamp;
use propeller_api::{Condition, ConditionStatus, Phase, Task, TaskStatus, condition, set_condition, types};

use super::{
    Brain, Job, Output, ReadError, WriteError,
    backoff::Backoff,
    notices,
    tasks::{Entry, Write},
};
use crate::plan::Action;

/// The reason of a task that ends because its status can't be stored as it should be.
const STATUS_REFUSED: &str = "StatusRefused";

/// Between two tries of a write when the store doesn't work.
pub(super) const RETRY: Backoff = Backoff {
    first_seconds: 1,
    longest_seconds: 15,
};

impl Brain {
    /// Writes the status. The actions wait for it.
    pub(super) fn write(&mut self, uid: &str, status: TaskStatus, actions: Vec<Action>) {
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        let mut task = entry.task.clone();
        task.status = Some(status.clone());
        let before = entry.task.status.clone();
        entry.writing = Some(Write {
            before,
            status,
            actions,
        });
        let moved = self.tasks.reindex(uid);
        self.moved(moved);
        self.writing += 1;
        self.job(Job::WriteTask(Box::new(task)));
    }

    pub(super) fn written(&mut self, uid: &str, result: Result<Task, WriteError>) {
        self.writing = self.writing.saturating_sub(1);
        match result {
            Ok(task) => self.durable(uid, task),
            Err(WriteError::Conflict) => self.read(uid),
            Err(WriteError::Gone) => self.gone(uid),
            Err(WriteError::Refused(message)) => self.refused(uid, &message),
            Err(WriteError::Failed(cause)) => self.failed(uid, &cause),
        }
    }

    fn durable(&mut self, uid: &str, task: Task) {
        // A task that was deleted while it was written isn't known: what the write was for isn't wanted any more.
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        // Without a write it was forgotten meanwhile and found again: there is nothing to do, and nothing to tell.
        let before = task.status.clone();
        let Write { before, actions, .. } = entry.writing.take().unwrap_or(Write {
            before,
            status: TaskStatus::default(),
            actions: vec![],
        });
        let notices = notices::of_task(before.as_ref(), &task);
        self.outputs.extend(notices.into_iter().map(Output::Tell));
        let attempt = task.status.as_ref().map_or(0, |status| status.attempt);
        let put = self.tasks.put(task);
        if let Some(entry) = self.tasks.get_mut(uid) {
            entry.failures = 0;
            entry.not_before = None;
            entry.inbox.forget_before(attempt);
        }
        self.moved(put.unwrap_or_default());
        self.written_off(uid);
        self.perform(uid, actions);
    }

    /// No write is under way any more: what happened meanwhile is planned.
    fn written_off(&mut self, uid: &str) {
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        entry.writing = None;
        if entry.is_dirty {
            self.dirty.push_back(uid.to_owned());
        }
        let moved = self.tasks.reindex(uid);
        self.moved(moved);
    }

    /// Somebody else changed the task. Nothing of the plan was done; the next one is made from what is there now.
    fn read(&mut self, uid: &str) {
        let Some(entry) = self.tasks.get(uid) else { return };
        let (uid, key) = (uid.to_owned(), entry.task.key());
        self.job(Job::ReadTask { uid, key });
    }

    /// Either its outcome was reported and no cache knew it, or a write met a conflict.
    pub(super) fn task_read(&mut self, uid: &str, result: Result<Option<Task>, ReadError>) {
        match self.sought.remove(uid) {
            Some((attempt, sought)) => self.found(&attempt, sought, result),
            None => self.read_again(uid, result),
        }
    }

    fn read_again(&mut self, uid: &str, result: Result<Option<Task>, ReadError>) {
        match result {
            Ok(Some(task)) if task.metadata.uid == uid => {
                if let Some(moved) = self.tasks.replace(task) {
                    self.moved(moved);
                    self.plan_again(uid);
                }
            }
            Ok(_) => self.gone(uid),
            Err(error) => self.failed(uid, &error),
        }
    }

    /// Its time to be kept was over.
    pub(super) fn deleted(&mut self, uid: &str, result: Result<(), WriteError>) {
        if let Some(entry) = self.tasks.get_mut(uid) {
            entry.is_deleting = false;
        }
        match result {
            Ok(()) | Err(WriteError::Gone) => self.gone(uid),
            Err(WriteError::Conflict) => self.read(uid),
            Err(error @ (WriteError::Refused(_) | WriteError::Failed(_))) => self.failed(uid, &error),
        }
    }

    fn plan_again(&mut self, uid: &str) {
        if let Some(entry) = self.tasks.get_mut(uid) {
            entry.is_dirty = true;
        }
        self.written_off(uid);
    }

    fn failed(&mut self, uid: &str, error: &dyn std::fmt::Display) {
        let now = self.now.elapsed;
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        let delay = RETRY.delay(uid, entry.failures);
        tracing::warn!(task = %entry.task.key(), %error, ?delay, "the status can't be written now");
        entry.failures = entry.failures.saturating_add(1);
        entry.not_before = Some(now + delay);
        self.plan_again(uid);
    }

    /// What the store refuses it will refuse again, so the task ends with that, in as few words as can be stored.
    fn refused(&mut self, uid: &str, message: &str) {
        let now = self.now().time;
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        tracing::error!(task = %entry.task.key(), message, "the store refuses the status");
        if entry.writing.as_ref().is_some_and(|write| is_refusal(&write.status)) {
            return self.failed(uid, &message);
        }
        let status = refusal(entry, message, now);
        entry.is_dirty = true;
        self.write(uid, status, vec![]);
    }
}

fn is_refusal(status: &TaskStatus) -> bool {
    condition(&status.conditions, types::FINISHED).is_some_and(|finished| finished.reason == STATUS_REFUSED)
}

fn refusal(entry: &Entry, message: &str, now: Timestamp) -> TaskStatus {
    // To the second, as Kubernetes writes times.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut status = entry.task.status.clone().unwrap_or_default();
    let generation = entry.task.metadata.generation;
    let message: String = message.chars().take(1024).collect();
    status.phase = Phase::Failed;
    status.observed_generation = generation;
    status.completion_time = Some(now);
    let finished = Condition {
        type_: types::FINISHED.to_owned(),
        status: ConditionStatus::True,
        reason: STATUS_REFUSED.to_owned(),
        message: format!("what happened can't be stored in the task's status: {message}"),
        observed_generation: generation,
        last_transition_time: now,
    };
    set_condition(&mut status.conditions, finished);
    status
}
