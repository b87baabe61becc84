//! What people do: they make tasks, and change their minds.

use std::{ops::Range, time::Duration};

use propeller_api::{
    Call, FailureKind, LabelOperator, LabelRequirement, LabelSelector, OnDisconnect, Proplet, RetryPolicy, Service,
    Task, TaskSpec, TaskStatus,
};
use serde_json::json;

use crate::{
    plane::{Asked, Request},
    store::key,
    world::{self, What, World},
};

/// Something that somebody does to a control plane's resources.
#[derive(Debug, Clone)]
pub struct Deed {
    plane: usize,
    act: Act,
}

#[derive(Debug, Clone)]
enum Act {
    Create(String),
    Delete(String),
    Suspend(String, bool),
    Cancel(String),
    Prioritize(String),
    /// What may be edited at any time, and what only before the task was dispatched.
    Rewrite(String),
    /// Another proplet, or other labels.
    Move(String),
    /// How often it's tried again, for which failures, and how long it stays when it has ended.
    Retry(String),
    Cordon(usize, bool),
    /// Whether a proplet has the label that tasks select by.
    Label(usize, bool),
}

/// The label that tasks select by.
const SITE: &str = "site";

/// What the API server's rule asks before it takes another call.
fn is_fixed(status: &TaskStatus) -> bool {
    status.dispatch.is_some() || status.completion_time.is_some()
}

/// From now on the proplet takes new tasks, also those that select it.
pub fn tidy(proplet: &mut Proplet) {
    proplet.spec.unschedulable = false;
    label(proplet, true);
}

fn label(proplet: &mut Proplet, is_so: bool) {
    let labels = &mut proplet.metadata.labels;
    if is_so {
        labels.insert(SITE.to_owned(), "lab".to_owned());
    } else {
        labels.remove(SITE);
    }
}

impl World {
    pub fn plan_users(&mut self) {
        let end = u64::try_from(self.climate.heals_at.as_millis()).unwrap_or(60_000);
        for plane in 0..self.planes.len() {
            for number in 0..self.climate.tasks {
                let name = format!("task-{number}");
                let begin = self.rng.u64(2_000..end);
                self.plan(plane, begin..begin + 1, Act::Create(name.clone()));
                for _ in 0..[0, 0, 1, 1, 2, 3][self.rng.usize(..6)] {
                    self.plan_edit(plane, begin..end + 1, &name);
                }
            }
            if self.rng.u8(..4) == 0 {
                self.plan_fleet(plane, end);
            }
        }
    }

    fn plan_edit(&mut self, plane: usize, span: Range<u64>, name: &str) {
        let name = name.to_owned();
        let act = match self.rng.u8(..8) {
            0 => {
                self.plan(plane, span.clone(), Act::Delete(name.clone()));
                Act::Create(name)
            }
            1 => {
                self.plan(plane, span.clone(), Act::Suspend(name.clone(), true));
                Act::Suspend(name, false)
            }
            2 => Act::Cancel(name),
            3 => Act::Prioritize(name),
            4 => Act::Rewrite(name),
            5 => Act::Move(name),
            _ => Act::Retry(name),
        };
        self.plan(plane, span, act);
    }

    fn plan_fleet(&mut self, plane: usize, end: u64) {
        for _ in 0..self.rng.usize(1..4) {
            let (proplet, is_so) = (self.rng.usize(..self.climate.proplets), self.rng.bool());
            let act = if self.rng.bool() {
                Act::Cordon(proplet, is_so)
            } else {
                Act::Label(proplet, is_so)
            };
            self.plan(plane, 0..end, act);
        }
    }

    /// At some time of the span, in milliseconds.
    fn plan(&mut self, plane: usize, span: Range<u64>, act: Act) {
        let at = self.millis(span);
        self.at(at, What::User(Deed { plane, act }));
    }

    /// Somebody wants it. A store in a control plane's own process commits it with what else waits, and is asked again later if it isn't there.
    pub fn wanted(&mut self, deed: Deed) {
        let plane = deed.plane;
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
        let Deed { plane, act } = deed;
        let store = &mut self.planes[plane].store;
        match act {
            Act::Create(name) => self.create(plane, &name),
            Act::Delete(name) => store.delete_task(&key(&name)),
            Act::Suspend(name, suspend) => {
                self.repeats(plane, &name);
                self.planes[plane]
                    .store
                    .edit(&key(&name), |spec| spec.suspend = suspend);
            }
            Act::Cancel(name) => store.edit(&key(&name), |spec| spec.cancel = true),
            Act::Prioritize(name) => store.edit(&key(&name), |spec| spec.priority += 1),
            Act::Rewrite(name) => self.rewrite(plane, &name),
            Act::Move(name) => self.relocate(plane, &name),
            Act::Retry(name) => self.retry(plane, &name),
            Act::Cordon(proplet, is_so) => {
                let cordon = |proplet: &mut Proplet| proplet.spec.unschedulable = is_so;
                store.edit_proplet(&key(&world::name(proplet)), cordon);
            }
            Act::Label(proplet, is_so) => {
                store.edit_proplet(&key(&world::name(proplet)), |proplet| label(proplet, is_so));
            }
        }
        self.spread_news(plane);
    }

    /// From now on the task may run more often than its spec says.
    fn repeats(&mut self, plane: usize, name: &str) {
        if let Some(task) = self.planes[plane].store.tasks.get(&key(name)) {
            self.promises.repeats(task);
        }
    }

    fn relocate(&mut self, plane: usize, name: &str) {
        let (proplet, selector) = (self.proplet(), self.selector());
        let store = &mut self.planes[plane].store;
        store.edit(&key(name), |spec| {
            (spec.proplet, spec.proplet_selector) = (proplet, selector)
        });
    }

    fn retry(&mut self, plane: usize, name: &str) {
        self.repeats(plane, name);
        let (limit, policy) = (self.rng.u32(..4), self.retry_policy());
        let (ttl, lost_after) = (self.rng.u32(..60), self.rng.u32(1..40));
        let store = &mut self.planes[plane].store;
        store.edit(&key(name), |spec| {
            if spec.call.is_some() {
                spec.backoff_limit = Some(limit);
                spec.retry_policy = policy;
                spec.ttl_seconds_after_finished = (ttl < 15).then_some(ttl);
            }
            spec.lost_after_seconds = Some(lost_after);
        });
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
        (spec.proplet, spec.proplet_selector) = (self.proplet(), self.selector());
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
        spec.retry_policy = self.retry_policy();
        spec
    }

    fn proplet(&mut self) -> Option<String> {
        let number = self.rng.usize(..self.climate.proplets);
        (self.rng.u8(..4) == 0).then(|| world::name(number))
    }

    fn selector(&mut self) -> Option<LabelSelector> {
        let mut selector = LabelSelector::default();
        match self.rng.u8(..8) {
            0 => drop(selector.match_labels.insert(SITE.to_owned(), "lab".to_owned())),
            1 => selector.match_expressions.push(LabelRequirement {
                key: SITE.to_owned(),
                operator: LabelOperator::Exists,
                values: vec![],
            }),
            _ => return None,
        }
        Some(selector)
    }

    fn retry_policy(&mut self) -> Option<RetryPolicy> {
        let retry_on = vec![FailureKind::Lost, FailureKind::Unavailable, FailureKind::Trap];
        self.rng.bool().then_some(RetryPolicy { retry_on })
    }
}
