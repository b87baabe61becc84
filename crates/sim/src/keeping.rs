//! How a store does what it is asked, and what becomes of it in a crash.
//!
//! One that is somebody else's does each thing by itself: others change resources meanwhile, and whoever asked may not hear what came of it. One
//! that is in the control plane's process commits what waits together: nobody sees or hears of it before, and a crash loses all of it, or none of
//! what was just being committed.

use std::time::Duration;

use propeller_api::Task;
use propeller_delivery::brain::{Done, Job};

use crate::{
    Sabotage,
    plane::{Asked, Request},
    store::failed,
    world::{Actor, What, World},
};

/// After this no start of a control plane counts any more and no lease holds, though its clocks differ by minutes.
const EVERYTHING_IS_OVER: Duration = Duration::from_secs(310);

impl World {
    pub fn ask_store(&mut self, replica: usize, life: u32, job: Box<Job>) {
        let plane = self.replicas[replica].plane;
        let asked = Asked {
            plane,
            epoch: self.planes[plane].epoch,
            what: Request::Job(replica, life, job),
        };
        let delay = self.millis(1..60);
        self.after(delay, What::StoreDoes(asked));
    }

    pub fn store_does(&mut self, asked: Asked) {
        let plane = &mut self.planes[asked.plane];
        if plane.epoch != asked.epoch {
            return;
        }
        let is_read = matches!(&asked.what, Request::Job(.., job) if matches!(**job, Job::ReadTask { .. }));
        if !plane.embedded || is_read {
            return self.fulfil(asked);
        }
        if let (Some(Sabotage::AnswerBeforeCommit), Request::Job(replica, life, job)) = (self.sabotage, &asked.what) {
            let answer = plane.store.clone().perform(Job::clone(job));
            self.after(Duration::ZERO, What::JobDone(*replica, *life, Box::new(answer)));
        }
        let number = asked.plane;
        self.planes[number].waiting.push(asked);
        self.commit_soon(number);
    }

    fn commit_soon(&mut self, plane: usize) {
        let delay = if self.chance(5) {
            self.millis(100..1_000)
        } else {
            self.millis(1..20)
        };
        let me = &mut self.planes[plane];
        if me.committing.is_empty() && !me.waiting.is_empty() {
            me.committing = std::mem::take(&mut me.waiting);
            let epoch = me.epoch;
            self.after(delay, What::StoreCommits(plane, epoch));
        }
    }

    pub fn store_commits(&mut self, plane: usize, epoch: u32) {
        if self.planes[plane].epoch != epoch {
            return;
        }
        if let Some(until) = self.frozen_until(Actor::Replica(plane * 2)) {
            return self.at(until, What::StoreCommits(plane, epoch));
        }
        for asked in std::mem::take(&mut self.planes[plane].committing) {
            self.fulfil(asked);
        }
        self.commit_soon(plane);
    }

    /// The process ends that has the store in it. What was being committed is on the disk as a whole, or not at all.
    pub fn lose_what_waits(&mut self, plane: usize) {
        if !self.planes[plane].embedded {
            return;
        }
        let me = &mut self.planes[plane];
        me.waiting.clear();
        me.epoch += 1;
        let committing = std::mem::take(&mut me.committing);
        let is_durable = self.rng.bool() && !self.planes[plane].is_away;
        self.note(|| {
            format!(
                "{} writes are {}",
                committing.len(),
                if is_durable { "durable" } else { "lost" }
            )
        });
        if is_durable {
            committing.into_iter().for_each(|asked| self.fulfil(asked));
        }
    }

    /// Does it, and tells whoever asked.
    fn fulfil(&mut self, asked: Asked) {
        let (replica, life, job) = match asked.what {
            Request::Job(replica, life, job) => (replica, life, job),
            Request::User(deed) if self.planes[asked.plane].is_away => return self.note(|| format!("{deed:?} fails")),
            Request::User(deed) => return self.deed(deed),
        };
        let done = self.answer(asked.plane, *job);
        let was_told = self.planes[asked.plane].embedded && self.sabotage == Some(Sabotage::AnswerBeforeCommit);
        if !was_told || matches!(done, Done::TaskRead { .. }) {
            let delay = self.millis(1..60);
            self.after(delay, What::JobDone(replica, life, Box::new(done)));
        }
    }

    fn answer(&mut self, plane: usize, job: Job) -> Done {
        if self.planes[plane].is_away {
            return failed(&job);
        }
        if self.sabotage == Some(Sabotage::LoseWrites)
            && let Job::WriteTask(task) = &job
            && self.rng.u8(..10) == 0
        {
            return Done::TaskWritten {
                uid: task.metadata.uid.clone(),
                result: Ok(Task::clone(task)),
            };
        }
        let unanswered = failed(&job);
        let done = self.planes[plane].store.perform(job);
        if let Done::TaskWritten { result: Ok(task), .. } = &done {
            self.note(|| {
                let status = task.status.clone().unwrap_or_default();
                format!(
                    "{} is {:?}, attempt {}, {:?}",
                    task.metadata.uid,
                    status.phase,
                    status.attempt,
                    status.conditions.last().map(|said| &said.reason)
                )
            });
            self.promises.written(task);
        }
        self.spread_news(plane);
        let unheard = self.climate.unheard_writes;
        if !self.planes[plane].embedded && self.chance(unheard) {
            unanswered
        } else {
            done
        }
    }

    /// The control plane is stopped, its store is restored, and it is started again: as soon as it can be, or as the manual says.
    pub fn restore_store(&mut self, plane: usize) {
        let is_patient = self.rng.bool();
        self.planes[plane].stopped_until = self.now + if is_patient { EVERYTHING_IS_OVER } else { Duration::ZERO };
        for replica in plane * 2..plane * 2 + 2 {
            self.kill_replica(replica);
        }
        let me = &mut self.planes[plane];
        me.epoch += 1;
        me.store.restore(me.backup.clone());
        me.store.news.clear();
        self.promises.restored(&self.planes[plane].store, is_patient);
    }
}
