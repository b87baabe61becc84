//! Caches move: resources come, change and go.

use std::time::Duration;

use crate::fleet::Load;
use propeller_api::{Dispatch, Phase, Proplet, PropletId, Task};
use propeller_protocol::{AttemptRef, Stop, TaskRef};

use super::{Brain, Change, Outgoing, Output, tasks::Moved};

/// How long after a start a task that fits no proplet isn't told so while some of them weren't judged. Longer than it takes to judge one that
/// sends heartbeats as often as most.
const PATIENCE: Duration = Duration::from_secs(45);

impl Brain {
    pub(super) fn task_changed(&mut self, change: Change<Task>) {
        match change {
            Change::Listing => self.task_cache.listing = Some(Default::default()),
            Change::Is(task) => {
                let uid = task.metadata.uid.clone();
                self.task_cache.saw(&uid);
                if let Some(moved) = self.tasks.put(*task) {
                    self.moved(moved);
                    self.touch(&uid);
                }
            }
            Change::Unreadable { uid } => {
                self.task_cache.saw(&uid);
                self.tasks.put_unreadable(uid);
            }
            Change::Gone { uid } => self.gone(&uid),
            Change::Listed => {
                let (was, is_first) = (self.is_in_sync(), !self.task_cache.in_sync);
                for uid in self.task_cache.listed(self.tasks.uids()) {
                    self.gone(&uid);
                }
                if is_first {
                    self.outputs.push(Output::ForgetOthers(self.tasks.uids()));
                }
                self.tell_in_sync(was);
            }
        }
    }

    pub(super) fn proplet_changed(&mut self, change: Change<Proplet>) {
        match change {
            Change::Listing => self.proplet_cache.listing = Some(Default::default()),
            Change::Is(proplet) => {
                let (uid, id) = (proplet.metadata.uid.clone(), client_id(&proplet));
                self.proplet_cache.saw(&uid);
                self.strangers.remove(&id);
                self.dirty_proplets.insert(uid);
                if self.roster.put(*proplet) {
                    self.fleet_changed(&id);
                }
            }
            Change::Unreadable { uid } => self.proplet_cache.saw(&uid),
            Change::Gone { uid } => self.proplet_gone(&uid),
            Change::Listed => {
                let was = self.is_in_sync();
                for uid in self.proplet_cache.listed(self.roster.uids()) {
                    self.proplet_gone(&uid);
                }
                self.tell_in_sync(was);
            }
        }
    }

    fn tell_in_sync(&mut self, was: bool) {
        if self.is_in_sync() && !was {
            self.patience = Some(self.now.elapsed + PATIENCE);
            tracing::info!("caches are in sync");
        }
    }

    /// The task is gone. What runs of it stops at once if the message arrives, and with the next inventory if it doesn't.
    pub(super) fn gone(&mut self, uid: &str) {
        // Also of one that was never readable in this life: an earlier one may have kept its lines.
        self.outputs.push(Output::Forget(uid.to_owned()));
        if let Some((entry, moved)) = self.tasks.remove(uid) {
            self.moved(moved);
            self.wakes.set(uid, None);
            if let Some((proplet, stop)) = self.stop(&entry.task) {
                self.send(Outgoing::Stop(proplet, stop));
            }
        }
    }

    /// The message that ends what a task's status says is running.
    fn stop(&self, task: &Task) -> Option<(PropletId, Stop)> {
        let status = task.status.as_ref()?;
        let is_open = matches!(status.phase, Phase::Dispatched | Phase::Running);
        let Dispatch {
            proplet_id, journal, ..
        } = status.dispatch.clone().filter(|_| is_open)?;
        let task = TaskRef {
            namespace: task.metadata.namespace.clone(),
            name: task.metadata.name.clone(),
            uid: task.metadata.uid.clone(),
        };
        let attempt = AttemptRef {
            task,
            attempt: status.attempt,
        };
        let controller = self.config.controller.clone();
        let issued_at = self.now().time;
        Some((
            proplet_id,
            Stop {
                controller,
                journal,
                attempt,
                issued_at,
            },
        ))
    }

    fn proplet_gone(&mut self, uid: &str) {
        if let Some(proplet) = self.roster.remove(uid) {
            let id = client_id(&proplet);
            self.outdated.insert(proplet.metadata.namespace.clone());
            self.roster.left(&id, self.now.elapsed);
            self.fleet_changed(&id);
        }
    }

    /// Something about a proplet isn't what it was: its Proplets may have to say so, and tasks that wait may fit now, or are to be told why
    /// they don't.
    pub(super) fn fleet_changed(&mut self, id: &PropletId) {
        self.dirty_proplets.extend(self.roster.claimants(id));
        if let Some(owner) = self.roster.owner(id) {
            self.vacancies.insert(owner.metadata.namespace.clone());
            self.outdated.insert(owner.metadata.namespace.clone());
        }
        let placed: Vec<_> = self.tasks.placed_on(id).cloned().collect();
        for uid in placed {
            self.touch(&uid);
        }
    }

    /// A task was placed or isn't placed any more.
    pub(super) fn moved(&mut self, moved: Moved) {
        for id in moved.from.iter().chain(&moved.to) {
            let mut load = Load::default();
            let placed = self.tasks.placed_on(id).filter_map(|uid| self.tasks.get(uid));
            placed.for_each(|entry| load.add(&entry.task));
            self.roster.set_load(id, load);
        }
        if let Some(owner) = moved.from.and_then(|id| self.roster.owner(&id)) {
            self.vacancies.insert(owner.metadata.namespace.clone());
        }
    }
}

fn client_id(proplet: &Proplet) -> PropletId {
    proplet.spec.connection_config.client_id.clone()
}
