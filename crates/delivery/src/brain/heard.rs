//! What proplets say: presence, inventories and reports.

use std::{collections::HashSet, time::Duration};

use crate::{
    inbox::{Accepted, MOST_FORGOTTEN, Origin},
    plan::{is_expected, is_forgotten, is_unwanted},
};
use propeller_api::{NamespacedName, OnDisconnect, Phase, PropletId, Task, TaskStatus};
use propeller_protocol::{
    Ack, Alive, AttemptRef, Held, HeldState, Lease, Logs, Presence, Report, Stage, Stop, TaskRef, Verdict,
};

use super::{Brain, Bus, Job, Liveliness, Outgoing, Output, ReadError, tasks::Entry};

/// Tasks that are looked for at a time because somebody reports their outcome and no cache knows them. What is beyond that is reported again.
const SOUGHT: usize = 64;

/// Stops that one heartbeat may bring about. The next one brings more; a peer that makes up an inventory shan't fill the way out for all others.
const STOPS: usize = 16;

/// How long a task waits that couldn't be looked for: longer than between two heartbeats.
const NOT_FOUND: Duration = Duration::from_secs(15);

/// Why a task is looked for past the cache.
#[derive(Debug)]
pub(super) enum Sought {
    /// Somebody reports an outcome of it.
    Outcome(PropletId, Box<Report>),
    /// Somebody holds an attempt of it.
    Held,
}

impl Brain {
    pub(super) fn bus(&mut self, bus: Bus) {
        match bus {
            Bus::Connected => self.connected(),
            Bus::Disconnected => self.session = None,
            Bus::StartRefused { attempt, reason } => self.start_refused(&attempt, reason),
            Bus::Alive {
                proplet,
                alive,
                retained,
            } => self.alive(&proplet, &alive, retained),
            Bus::Report { proplet, report } => self.report(&proplet, *report),
            Bus::Logs { proplet, logs } => self.logs(&proplet, logs),
        }
    }

    /// What was published just before may be lost, so what nobody has answered is published again.
    fn connected(&mut self) {
        self.session = Some(self.now.elapsed);
        for uid in self.tasks.uids() {
            if let Some(entry) = self
                .tasks
                .get_mut(&uid)
                .filter(|entry| entry.phase() == Phase::Dispatched)
            {
                entry.published = None;
                self.touch(&uid);
            }
        }
    }

    fn start_refused(&mut self, attempt: &AttemptRef, reason: String) {
        let uid = &attempt.task.uid;
        if let Some(entry) = self.tasks.get_mut(uid) {
            entry.refused = Some((attempt.attempt, reason));
            self.touch(uid);
        }
    }

    fn alive(&mut self, id: &PropletId, alive: &Alive, retained: bool) {
        let heard = self.roster.hear(id, alive, retained, self.now());
        if heard.changed {
            self.fleet_changed(id);
        }
        if let (true, Presence::Alive { inventory, .. }) = (heard.beat, &alive.presence) {
            self.inventory(id, alive, inventory);
            self.echo(id, alive);
            self.stranger(id);
        }
    }

    /// What it holds and shouldn't, it is told to stop. What it holds and should was accepted, which may be news. What it doesn't hold though
    /// a status places it there is looked at anew.
    fn inventory(&mut self, id: &PropletId, alive: &Alive, inventory: &[Held]) {
        let mut stops = 0;
        for held in inventory {
            let uid = &held.attempt.task.uid;
            let entry = self.tasks.get(uid);
            let ours = held.controller == self.config.controller;
            let can_judge = self.is_in_sync() && !self.tasks.is_unreadable(uid);
            let is_open = entry.is_some_and(|entry| !entry.phase().is_terminal());
            let is_unwanted = is_unwanted(held, &self.config.controller, entry.map(|entry| &entry.task))
                || self.is_forgotten(&origin(id, &alive.sender.journal, &held.attempt), held);
            if can_judge && is_unwanted {
                stops += 1;
                if stops <= STOPS {
                    self.cancel(id, alive, held);
                }
            } else if held.state != HeldState::Finished && ours {
                self.holds(id, alive, held);
            }
            if ours && is_open && self.is_ahead(&held.attempt) {
                self.seek(&held.attempt, Sought::Held);
            }
        }
        let held: HashSet<_> = inventory.iter().map(|held| &held.attempt.task.uid).collect();
        let missing = self.tasks.placed_on(id).filter(|uid| !held.contains(uid));
        let missing: Vec<_> = missing.cloned().collect();
        for uid in missing {
            self.touch(&uid);
        }
    }

    /// Whether it runs for nobody, though the task waits for an attempt of that number or an earlier one.
    fn is_forgotten(&self, origin: &Origin, held: &Held) -> bool {
        let is_open = held.controller == self.config.controller && held.state != HeldState::Finished;
        let entry = self.tasks.get(&held.attempt.task.uid).filter(|_| is_open);
        entry.is_some_and(|entry| is_forgotten(entry.task.status.as_ref(), origin, entry.inbox.forgotten()))
    }

    /// Whether a task is known, and no attempt of it as late as that one.
    fn is_ahead(&self, attempt: &AttemptRef) -> bool {
        let newest = |entry: &Entry| {
            let status = entry.task.status.as_ref();
            entry.inbox.forgotten().max(status.map_or(0, |status| status.attempt))
        };
        let ahead = |entry: &Entry| attempt.attempt.saturating_sub(newest(entry));
        let entry = self.tasks.get(&attempt.task.uid);
        entry.is_some_and(|entry| (1..=MOST_FORGOTTEN).contains(&ahead(entry)))
    }

    /// Extends the lease of what it runs with one. Nobody else needs an echo.
    fn echo(&mut self, id: &PropletId, alive: &Alive) {
        let has_lease = |uid: &String| {
            let spec = self.tasks.get(uid).map(|entry| &entry.task.spec);
            spec.is_some_and(|spec| spec.on_disconnect == Some(OnDisconnect::Stop))
        };
        let is_live = self.roster.presence(id).0 == Liveliness::Live && self.roster.owner(id).is_some();
        if is_live && self.tasks.placed_on(id).any(has_lease) {
            let lease = Lease {
                controller: self.config.controller.clone(),
                journal: alive.sender.journal.clone(),
                sequence: alive.sender.sequence,
                now: self.now.time,
            };
            self.send(Outgoing::Lease(id.clone(), lease));
        }
    }

    fn cancel(&mut self, id: &PropletId, alive: &Alive, held: &Held) {
        let stop = Stop {
            controller: self.config.controller.clone(),
            journal: alive.sender.journal.clone(),
            attempt: held.attempt.clone(),
            issued_at: self.now().time,
        };
        tracing::info!(proplet = %id, attempt = %held.attempt, "stopping what nobody wants any more");
        self.send(Outgoing::Stop(id.clone(), stop));
    }

    fn holds(&mut self, id: &PropletId, alive: &Alive, held: &Held) {
        let (uid, origin) = (&held.attempt.task.uid, origin(id, &alive.sender.journal, &held.attempt));
        let is_news = self.tasks.get(uid).is_some_and(|entry| {
            let status = entry.task.status.as_ref();
            let is_current = status.is_some_and(|status| status.attempt == origin.attempt);
            let known = entry.inbox.get(&origin);
            is_current && known.is_none_or(|known| known.accepted.is_none())
        });
        if is_news {
            self.take(uid, origin, Stage::Accepted, &alive.sender);
        }
    }

    /// The ids in a report are checked by where they lead: the proplet by its topic, the attempt by the status that names both.
    fn report(&mut self, id: &PropletId, report: Report) {
        let uid = &report.attempt.task.uid;
        let is_outcome = matches!(report.stage, Stage::Finished { .. });
        if report.controller != self.config.controller {
            tracing::debug!(proplet = %id, attempt = %report.attempt, "a report for another control plane");
        } else if self.tasks.get(uid).is_some() && !(is_outcome && self.is_ahead(&report.attempt)) {
            let origin = origin(id, &report.sender.journal, &report.attempt);
            self.take(uid, origin, report.stage, &report.sender);
        } else if is_outcome {
            let attempt = report.attempt.clone();
            self.seek(&attempt, Sought::Outcome(id.clone(), Box::new(report)));
        }
    }

    /// What others say of a task is none of its output.
    fn logs(&mut self, id: &PropletId, logs: Box<Logs>) {
        let origin = origin(id, &logs.sender.journal, &logs.attempt);
        let entry = self.tasks.get(&logs.attempt.task.uid);
        let status = entry.and_then(|entry| entry.task.status.as_ref());
        if status.is_some_and(|status| is_expected(status, &origin)) {
            self.outputs.push(Output::Keep(logs));
        }
    }

    fn take(&mut self, uid: &str, origin: Origin, stage: Stage, sender: &propeller_protocol::Sender) {
        let accepted = Accepted {
            at: self.now().time,
            boot: sender.boot.clone(),
            sequence: sender.sequence,
        };
        if let Some(entry) = self.tasks.get_mut(uid)
            && counts(entry, &origin, &stage)
        {
            entry.inbox.take(origin, stage, accepted);
            self.touch(uid);
        }
    }

    /// A task or an attempt that the cache doesn't know. It may be too new for the cache, so only the store itself can say that it is gone, or that
    /// the attempt is forgotten. Until then the task isn't planned: its next attempt mustn't get the number of one that somebody holds.
    fn seek(&mut self, attempt: &AttemptRef, sought: Sought) {
        let task = &attempt.task;
        // What is being written may be just that attempt, and a conflict is looked into by itself: it's said again.
        let is_written = self.tasks.get(&task.uid).is_some_and(|entry| entry.writing.is_some());
        let can_judge = self.is_in_sync() && !self.tasks.is_unreadable(&task.uid) && !is_written;
        if !can_judge || self.sought.len() >= SOUGHT || self.sought.contains_key(&task.uid) {
            return;
        }
        let uid = task.uid.clone();
        let key = key(task);
        // Of a task that is known, its name is what the store says, and not what the peer does.
        let key = self.tasks.get(&uid).map_or(key, |entry| entry.task.key());
        let mut attempt = attempt.clone();
        (attempt.task.namespace, attempt.task.name) = (key.namespace.clone(), key.name.clone());
        self.sought.insert(uid.clone(), (attempt, sought));
        self.job(Job::ReadTask { uid, key });
    }

    pub(super) fn found(&mut self, attempt: &AttemptRef, sought: Sought, result: Result<Option<Task>, ReadError>) {
        let uid = &attempt.task.uid;
        match (result, sought) {
            (Ok(Some(task)), sought) if task.metadata.uid == *uid => {
                let newest = task.status.as_ref().map_or(0, |status| status.attempt);
                let moved = self.tasks.put(task).unwrap_or_default();
                self.moved(moved);
                // It was in the store before it was published, so the store was restored from a backup.
                if let Some(entry) = self.tasks.get_mut(uid).filter(|_| newest < attempt.attempt) {
                    tracing::warn!(%attempt, "the store doesn't know of this attempt: it was restored from a backup");
                    entry.inbox.note_forgotten(attempt.attempt);
                }
                if let Sought::Outcome(id, report) = sought {
                    self.report(&id, *report);
                }
            }
            (Ok(_), sought) => {
                // It was looked for by its own name, and the cache is behind.
                let is_gone = |entry: &Entry| entry.task.key() == key(&attempt.task);
                if self.tasks.get(uid).is_some_and(is_gone) {
                    self.gone(uid);
                }
                let Sought::Outcome(id, report) = sought else { return };
                let ack = Ack {
                    controller: self.config.controller.clone(),
                    journal: report.sender.journal,
                    attempt: report.attempt,
                    verdict: Verdict::Discarded,
                };
                self.send(Outgoing::Ack(id, ack));
            }
            (Err(error), _) => {
                tracing::warn!(%attempt, error = &error as &dyn std::error::Error, "can't look for a task");
                // It isn't planned before somebody could look: what is held is told again by then.
                if let Some(entry) = self.tasks.get_mut(uid) {
                    entry.not_before = Some(self.now.elapsed + NOT_FOUND);
                }
            }
        }
        if let Some(entry) = self.tasks.get_mut(uid) {
            entry.is_dirty = false;
            self.touch(uid);
        }
    }
}

/// Whether a report changes anything: it is of an attempt that the status has, from where it was dispatched to; or it is an outcome that came
/// too late and is acknowledged as that. One that the status doesn't know yet is looked for first.
fn counts(entry: &Entry, origin: &Origin, stage: &Stage) -> bool {
    let never = TaskStatus::default();
    let status = entry.task.status.as_ref().unwrap_or(&never);
    let is_late =
        origin.attempt <= status.attempt.max(entry.inbox.forgotten()) && matches!(stage, Stage::Finished { .. });
    is_expected(status, origin) || (is_late && !entry.inbox.is_full())
}

fn key(task: &TaskRef) -> NamespacedName {
    NamespacedName {
        namespace: task.namespace.clone(),
        name: task.name.clone(),
    }
}

fn origin(id: &PropletId, journal: &propeller_protocol::JournalId, attempt: &propeller_protocol::AttemptRef) -> Origin {
    Origin {
        proplet: id.clone(),
        journal: journal.clone(),
        attempt: attempt.attempt,
    }
}
