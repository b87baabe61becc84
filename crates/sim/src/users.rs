//! What people do: they make tasks, and change their minds.

use std::time::Duration;

use propeller_api::{Call, FailureKind, OnDisconnect, RetryPolicy, Service, Task, TaskSpec, TaskStatus};
use serde_json::json;

use crate::{
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

    pub fn deed(&mut self, deed: Deed) {
        self.note(|| format!("{deed:?}"));
        let plane = match deed {
            Deed::Create(plane, name) => {
                self.create(plane, &name);
                plane
            }
            Deed::Delete(plane, name) => {
                self.planes[plane].store.delete_task(&key(&name));
                plane
            }
            Deed::Suspend(plane, name, suspend) => {
                let store = &mut self.planes[plane].store;
                store.edit(&key(&name), |spec| spec.suspend = suspend);
                plane
            }
            Deed::Cancel(plane, name) => {
                self.planes[plane].store.edit(&key(&name), |spec| spec.cancel = true);
                plane
            }
            Deed::Rewrite(plane, name) => {
                let deadline = self.rng.u32(1..60);
                let store = &mut self.planes[plane].store;
                let task = store.tasks.get(&key(&name));
                let is_fixed = task.and_then(|task| task.status.as_ref()).is_some_and(is_fixed);
                store.edit(&key(&name), |spec| {
                    if let Some(call) = &mut spec.call {
                        spec.active_deadline_seconds = Some(deadline);
                        if !is_fixed {
                            call.args = json!([1, deadline]);
                        }
                    }
                });
                plane
            }
            Deed::Prioritize(plane, name) => {
                self.planes[plane].store.edit(&key(&name), |spec| spec.priority += 1);
                plane
            }
        };
        self.spread_news(plane);
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
