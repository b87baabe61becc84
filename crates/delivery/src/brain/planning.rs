//! Dirty tasks are planned, and what plans want is done.

use super::{Brain, Job, Outgoing, Output, Trouble, WRITES, backoff::after, tasks::Entry, work};
use crate::{
    inbox::Origin,
    place::has_place,
    plan::{Action, Plan, Published, Resolved, View, plan},
};
use propeller_api::{ConditionStatus, Phase, PropletId, TaskStatus, Work, condition, types};
use propeller_protocol::{Ack, Start};

impl Brain {
    pub(super) fn plan_dirty(&mut self) {
        if !self.is_in_sync() {
            return;
        }
        while let Some(uid) = self.dirty.pop_front() {
            if let Some(entry) = self.tasks.get_mut(&uid) {
                entry.is_dirty = false;
                self.plan(&uid);
            }
        }
        for namespace in std::mem::take(&mut self.vacancies) {
            self.fill(&namespace);
        }
        for uid in std::mem::take(&mut self.dirty_proplets) {
            self.write_proplet(&uid);
        }
    }

    /// Gives free places to the tasks that wait, the oldest first. While nothing is free nobody is asked, and who would find no place isn't planned:
    /// with thousands waiting and every end freeing one place, that is the difference between a queue and its square.
    ///
    /// A task that is being written gets its place when that is done. Nobody of a lower priority takes it meanwhile.
    fn fill(&mut self, namespace: &str) {
        let (mut turn, mut held) = (None, None);
        while self.roster.has_room(namespace) {
            turn = self.tasks.next_waiting(namespace, turn.as_ref());
            let Some((.., uid)) = &turn else { return };
            let Some(entry) = self.tasks.get(uid) else { continue };
            let (priority, is_written) = (entry.task.spec.priority, entry.writing.is_some());
            if held.is_some_and(|held| priority < held) {
                self.vacancies.insert(namespace.to_owned());
                return;
            }
            if self.has_place(uid) {
                held = if is_written { Some(priority) } else { held };
                self.plan(uid);
            }
        }
    }

    fn has_place(&mut self, uid: &str) -> bool {
        let (now, fleet) = (self.now.time, self.roster.fleet());
        let never = TaskStatus::default();
        let task = self.tasks.get(uid).map(|entry| &entry.task);
        task.is_some_and(|task| has_place(task, task.status.as_ref().unwrap_or(&never), fleet, now))
    }

    /// Plans every task of the namespace that waits, so that it says what is so now.
    pub(super) fn tell_waiting(&mut self, namespace: &str) {
        let mut turn = None;
        while let Some(next) = self.tasks.next_waiting(namespace, turn.as_ref()) {
            self.touch(&next.2);
            turn = Some(next);
        }
    }

    fn plan(&mut self, uid: &str) {
        let now = self.now().time;
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        if entry.writing.is_some() || self.sought.contains_key(uid) {
            entry.is_dirty = true;
            return;
        }
        let pause = entry.not_before.and_then(|at| at.checked_sub(self.now.elapsed));
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            return self.wakes.set(uid, Some(after(now, pause)));
        }
        self.plans += 1;
        let plan = plan(View {
            task: &entry.task,
            controller: &self.config.controller,
            resolution: entry.resolution.as_ref(),
            fleet: self.roster.fleet(),
            inbox: &entry.inbox,
            published: entry.published,
            refused: entry.refused.as_ref(),
            now,
            elapsed: self.now.elapsed,
            begun: self.begun,
            clock_set: self.clock_set,
            pace: self.config.pace,
        });
        let is_talk = is_talk(entry.phase(), &plan);
        match plan.status {
            Some(status) if self.is_premature(uid, &status) => {}
            Some(status) if is_talk => self.talk(uid, status, plan.actions),
            Some(status) => self.write(uid, status, plan.actions),
            None => self.perform(uid, plan.actions),
        }
    }

    /// Writes a status that only tells, if it holds up nothing else: while it is written its task isn't planned. Else the task is planned
    /// again a little later, and may have something better to say by then.
    fn talk(&mut self, uid: &str, status: TaskStatus, actions: Vec<Action>) {
        if self.writing < WRITES / 2 {
            self.write(uid, status, actions);
        } else {
            self.postponed.insert(uid.to_owned());
        }
    }

    /// Whether a status says that no proplet fits while one that may fit hasn't been judged: then the task waits a little longer in silence,
    /// or every restart of the control plane would tell every task that waits that all proplets are offline.
    fn is_premature(&self, uid: &str, status: &TaskStatus) -> bool {
        let says_none_fits = status.phase == Phase::Pending
            && condition(&status.conditions, types::SCHEDULED)
                .is_some_and(|said| said.status == ConditionStatus::False);
        let waited_before = |entry: &&Entry| entry.phase() == Phase::Pending;
        let Some(entry) = self
            .tasks
            .get(uid)
            .filter(waited_before)
            .filter(|_| says_none_fits && self.patience.is_some())
        else {
            return false;
        };
        !self.roster.is_judged(&entry.task.metadata.namespace)
    }

    /// Does what a plan wants done, now that its status is durable.
    pub(super) fn perform(&mut self, uid: &str, actions: Vec<Action>) {
        let mut wake = None;
        for action in actions {
            match action {
                Action::Resolve => self.resolve(uid),
                Action::Publish(proplet, start) => self.publish(uid, proplet, start),
                Action::Stop(proplet, stop) => {
                    self.send(Outgoing::Stop(proplet, stop));
                }
                Action::Ack(proplet, ack) => self.acknowledge(uid, proplet, ack),
                Action::Delete => self.delete(uid),
                Action::WakeAt(at) => wake = Some(wake.map_or(at, |earlier: jiff::Timestamp| earlier.min(at))),
            }
        }
        self.wakes.set(uid, wake);
        if let Some(entry) = self.tasks.get_mut(uid)
            && entry.phase().is_terminal()
            && entry.writing.is_none()
            && !entry.is_dirty
        {
            entry.settle();
        }
    }

    fn delete(&mut self, uid: &str) {
        if let Some(entry) = self.tasks.get_mut(uid)
            && !std::mem::replace(&mut entry.is_deleting, true)
        {
            let task = Box::new(entry.task.clone());
            self.job(Job::DeleteTask(task));
        }
    }

    fn publish(&mut self, uid: &str, proplet: PropletId, start: Box<Start>) {
        let published = Published {
            attempt: start.attempt.attempt,
            at: self.now().time,
        };
        if self.send(Outgoing::Start(proplet, start))
            && let Some(entry) = self.tasks.get_mut(uid)
        {
            entry.published = Some(published);
        }
    }

    /// Forgets the outcome too, whether or not the message gets through: the proplet says it again if it doesn't.
    fn acknowledge(&mut self, uid: &str, proplet: PropletId, ack: Ack) {
        let origin = Origin {
            proplet: proplet.clone(),
            journal: ack.journal.clone(),
            attempt: ack.attempt.attempt,
        };
        if let Some(entry) = self.tasks.get_mut(uid) {
            entry.inbox.forget(&origin);
        }
        self.send(Outgoing::Ack(proplet, ack));
    }

    fn resolve(&mut self, uid: &str) {
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        let spec = &entry.task.spec;
        // A spec that doesn't say what to run isn't planned: validation stands before this.
        let Some(work) = spec.work() else { return };
        let (uid, image) = (uid.to_owned(), spec.image.clone());
        if !std::mem::replace(&mut entry.is_resolving, true) {
            self.outputs.push(Output::Resolve { uid, image, work });
        }
    }

    pub(super) fn resolved(&mut self, uid: &str, wanted: (String, Work), result: Result<Resolved, Trouble>) {
        let now = self.now().time;
        let Some(entry) = self.tasks.get_mut(uid) else { return };
        entry.is_resolving = false;
        entry.unresolved = match &result {
            Err(trouble) if trouble.is_transient => entry.unresolved.saturating_add(1),
            _ => 0,
        };
        entry.resolution = Some(work::resolution(uid, entry.unresolved, now, wanted, result));
        self.touch(uid);
    }
}

/// Whether a status is for people alone: why a task waits, or that it runs. Nothing is sent for it, and nobody's place changes.
fn is_talk(phase: Phase, plan: &Plan) -> bool {
    let Some(status) = &plan.status else { return false };
    let sends = |action: &Action| matches!(action, Action::Publish(..) | Action::Stop(..) | Action::Ack(..));
    let gives_up_its_place = status.phase == Phase::Pending && phase != Phase::Pending;
    !status.phase.is_terminal() && !gives_up_its_place && !plan.actions.iter().any(sends)
}
