//! What people do: they make tasks, and change their minds.

use std::time::Duration;

use propeller_api::{Call, FailureKind, OnDisconnect, RetryPolicy, Service, Task, TaskSpec, TaskStatus};
use serde_json::json;

use crate::{
    plane::{Asked, Request},
    store::key,
    world::{What, World, name},
};

/// Something that somebody does to a control plane's resources.
#[derive(Debug, Clone)]
pub enum Deed {
    Create(usize, String),
    Delete(usize, String),
    Suspend(usize, String, bool),
    Cancel(usize, String),
    Prioritize(usize, String),
    /// What can be edited at any time, and what only before the task was dispatched.
    Rewrite(usize, String),
}

impl Deed {
    fn plane(&self) -> usize {
        match self {
            Self::Create(plane, _)
            | Self::Delete(plane, _)
            | Self::Suspend(plane, ..)
            | Self::Cancel(plane, _)
            | Self::Prioritize(plane, _)
            | Self::Rewrite(plane, _) => *plane,
        }
    }
}

/// What the API server's rule asks before it takes another call.
fn is_fixed(status: &TaskStatus) -> bool {
    status.dispatch.is_some() || status.completion_time.is_some()
}

impl World {
    pub fn plan_users(&mut self) {
        let end = u64::try_from(self.climate.heals_at.as_millis()).unwrap_or(60_000);
        for plane in 0..self.planes.len() {
            for number in 0..self.climate.tasks {
                let name = format!("task-{number}");
                let begin = self.rng.u64(2_000..end);
                self.at(
                    Duration::from_millis(begin),
                    What::User(Deed::Create(plane, name.clone())),
                );
                let later = |world: &mut Self, deed| {
                    let at = Duration::from_millis(world.rng.u64(begin..end + 1));
                    world.at(at, What::User(deed));
                };
                match self.rng.u8(..12) {
                    0 => {
                        later(self, Deed::Delete(plane, name.clone()));
                        later(self, Deed::Create(plane, name));
                    }
                    1 => {
                        later(self, Deed::Suspend(plane, name.clone(), true));
                        later(self, Deed::Suspend(plane, name, false));
                    }
                    2 => later(self, Deed::Cancel(plane, name)),
                    3 => later(self, Deed::Prioritize(plane, name)),
                    4 => later(self, Deed::Rewrite(plane, name)),
                    _ => {}
                }
            }
        }
    }

    /// Somebody wants it. A store in a control plane's own process commits it with what else waits, and is asked again later if it isn't there.
    pub fn wanted(&mut self, deed: Deed) {
        let plane = deed.plane();
        if !self.planes[plane].embedded {
            self.deed(deed);
        } else if self.replicas[plane * 2].brain.is_some() {
            let epoch = self.planes[plane].epoch;
            let what = Request::User(deed);
            self.store_does(Asked { plane, epoch, what });
        } else {
            self.after(Duration::from_secs(1), What::User(deed));
        }
    }

    pub fn deed(&mut self, deed: Deed) {
        if self.healed {
            return;
        }
        self.note(|| format!("{deed:?}"));
        let plane = deed.plane();
        let store = &mut self.planes[plane].store;
        match deed {
            Deed::Create(_, name) => self.create(plane, &name),
            Deed::Delete(_, name) => store.delete_task(&key(&name)),
            Deed::Suspend(_, name, suspend) => store.edit(&key(&name), |spec| spec.suspend = suspend),
            Deed::Cancel(_, name) => store.edit(&key(&name), |spec| spec.cancel = true),
            Deed::Prioritize(_, name) => store.edit(&key(&name), |spec| spec.priority += 1),
            Deed::Rewrite(_, name) => self.rewrite(plane, &name),
        }
        self.spread_news(plane);
    }

    fn rewrite(&mut self, plane: usize, name: &str) {
        let deadline = self.rng.u32(1..60);
        let store = &mut self.planes[plane].store;
        let task = store.tasks.get(&key(name));
        let is_fixed = task.and_then(|task| task.status.as_ref()).is_some_and(is_fixed);
        store.edit(&key(name), |spec| {
            if let Some(call) = &mut spec.call {
                spec.active_deadline_seconds = Some(deadline);
                if !is_fixed {
                    call.args = json!([1, deadline]);
                }
            }
        });
    }

    fn create(&mut self, plane: usize, name: &str) {
        if self.planes[plane].store.tasks.contains_key(&key(name)) {
            return;
        }
        let spec = self.spec();
        let now = self.replicas[plane * 2].clock.wall(self.now);
        let store = &mut self.planes[plane].store;
        let metadata = store.metadata(name, now);
        store.put_task(Task::new(metadata, spec));
    }

    fn spec(&mut self) -> TaskSpec {
        let is_service = self.rng.u8(..8) == 0;
        let mut spec = TaskSpec {
            image: "registry.lab/task:1".to_owned(),
            on_disconnect: (self.rng.u8(..3) == 0).then_some(OnDisconnect::Stop),
            lost_after_seconds: self.rng.bool().then(|| self.rng.u32(1..40)),
            priority: self.rng.i32(0..3),
            ..TaskSpec::default()
        };
        if self.rng.u8(..4) == 0 {
            spec.proplet = Some(name(self.rng.usize(..self.climate.proplets)));
        }
        if is_service {
            spec.service = Some(Service::default());
            return spec;
        }
        let args = json!([20, 22]);
        let function = "add".to_owned();
        spec.call = Some(Call { function, args });
        spec.backoff_limit = Some(self.rng.u32(..4));
        spec.active_deadline_seconds = (self.rng.u8(..4) == 0).then(|| self.rng.u32(1..60));
        spec.start_deadline_seconds = (self.rng.u8(..6) == 0).then(|| self.rng.u32(1..120));
        spec.ttl_seconds_after_finished = (self.rng.u8(..6) == 0).then(|| self.rng.u32(..60));
        if self.rng.bool() {
            let retry_on = vec![FailureKind::Lost, FailureKind::Unavailable, FailureKind::Trap];
            spec.retry_policy = Some(RetryPolicy { retry_on });
        }
        spec
    }
}
