//! The tasks: of every kind, spread over the time of the faults, each with what must have become of it in the end.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use anyhow::Result;
use fastrand::Rng;
use kube::{
    Api, Error,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use propeller_tests::{World, wait_for};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

type Tasks = Api<propeller_crd::Task>;

/// The API server may be away, and slow when it is back.
const API_PATIENCE: Duration = Duration::from_secs(120);
/// Where guests see the folder of the marks.
const MARKS: &str = "/marks";
/// Longer than any run of this program.
const FOR_EVER: u64 = 3_600_000;

/// A task, what its user does with it, and what must become of it.
#[derive(Debug, Clone)]
pub struct Planned {
    pub name: String,
    /// When it is created.
    pub at: Duration,
    pub spec: Value,
    /// What its user does later, each time so long after what was done before.
    pub acts: Vec<(Duration, Act)>,
    pub wanted: Wanted,
}

#[derive(Debug, Clone)]
pub enum Act {
    Suspend(bool),
    Cancel,
    Delete,
}

/// What must become of a task.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub end: End,
    /// How often it may have run, apart from never more often than it was dispatched. Absent for what leaves no marks.
    pub marks: Option<RangeInclusive<u64>>,
}

#[derive(Debug, Clone)]
pub enum End {
    /// It completes with that value, or one of these failures ends it.
    Value(Value, &'static [&'static str]),
    /// It ends for this reason, and with that value of an error.
    Reason(&'static str, Option<Value>),
    /// It isn't there any more.
    Gone,
    /// It serves HTTP.
    Serves,
}

/// What the tasks run, by reference.
pub struct Images {
    mark: String,
    program: String,
    service: String,
}

impl Images {
    pub async fn push(world: &World) -> Result<Self> {
        Ok(Self {
            mark: world.push("mark").await?,
            program: world.push("exit-code").await?,
            service: world.push("http-hello").await?,
        })
    }
}

/// The first ones are services, since each runs to the end.
const SERVICES: usize = 3;

/// `count` tasks, the last one created well before the end of `period`.
pub fn plan(rng: &mut Rng, period: Duration, count: usize, images: &Images, marks: &Path) -> Vec<Planned> {
    let spread = period.mul_f64(0.9);
    (0..count)
        .map(|index| {
            let name = format!("task-{index}");
            let at = spread.mul_f64(index as f64 / count as f64);
            let mut maker = Maker {
                rng,
                images,
                marks,
                name,
                at,
            };
            if index < SERVICES { maker.service() } else { maker.any() }
        })
        .collect()
}

/// Does to a task what its user does.
pub async fn play(planned: &Planned, tasks: &Tasks, begin: Instant) -> Result<()> {
    sleep_until(begin + planned.at).await;
    retried(&planned.name, async || create(planned, tasks).await).await?;
    for (pause, act) in &planned.acts {
        sleep(*pause).await;
        retried(&planned.name, async || apply(act, &planned.name, tasks).await).await?;
    }
    Ok(())
}

async fn retried(name: &str, act: impl AsyncFn() -> Result<(), Error>) -> Result<()> {
    wait_for(
        &format!("the API server, to do something with {name}"),
        API_PATIENCE,
        async || Ok(act().await?),
    )
    .await
}

async fn create(planned: &Planned, tasks: &Tasks) -> Result<(), Error> {
    let task = json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": planned.name}, "spec": planned.spec,
    });
    let task = serde_json::from_value(task).map_err(Error::SerdeError)?;
    match tasks.create(&PostParams::default(), &task).await {
        // The first request got through, its answer didn't.
        Err(Error::Api(status)) if status.is_already_exists() => Ok(()),
        done => done.map(drop),
    }
}

async fn apply(act: &Act, name: &str, tasks: &Tasks) -> Result<(), Error> {
    let patch = |spec: Value| Patch::Merge(json!({"spec": spec}));
    let done = match act {
        Act::Suspend(suspend) => tasks
            .patch(name, &PatchParams::default(), &patch(json!({"suspend": suspend})))
            .await
            .map(drop),
        Act::Cancel => tasks
            .patch(name, &PatchParams::default(), &patch(json!({"cancel": true})))
            .await
            .map(drop),
        Act::Delete => tasks.delete(name, &DeleteParams::default()).await.map(drop),
    };
    match done {
        Err(Error::Api(status)) if status.is_not_found() => Ok(()),
        done => done,
    }
}

/// Makes one task.
struct Maker<'a> {
    rng: &'a mut Rng,
    images: &'a Images,
    marks: &'a Path,
    name: String,
    at: Duration,
}

impl Maker<'_> {
    /// Any kind of task that ends, the usual ones more often.
    fn any(&mut self) -> Planned {
        match self.rng.u8(..20) {
            0..4 => self.value(),
            4..8 => self.at_most_once(),
            8 => self.never_two_at_a_time(),
            9 => self.trap(),
            10 => self.error(),
            11 => self.error_at_first(),
            12 => self.program(),
            13 => self.program_that_fails(),
            14 => self.deadline(),
            15 => self.suspended(),
            16 => self.cancelled(),
            17 => self.deleted(),
            18 => self.not_kept(),
            _ => self.for_nobody(),
        }
    }

    fn value(&mut self) -> Planned {
        let spec = self.mark("value");
        self.planned(spec, self.completes(&[]), Some(1..=u64::MAX))
    }

    /// Its proplet may be lost, and with it the task. It isn't tried again, so it never runs twice.
    fn at_most_once(&mut self) -> Planned {
        // Some run for longer than a lease.
        let longest = if self.rng.u8(..4) == 0 { 45_000 } else { 4_000 };
        let milliseconds = self.rng.u64(..longest);
        let mut spec = self.mark_for(milliseconds, "value");
        spec["onDisconnect"] = json!("Stop");
        spec["backoffLimit"] = json!(0);
        let end = self.completes(&["Lost", "Interrupted", "LeaseExpired"]);
        self.planned(spec, end, Some(0..=1))
    }

    fn never_two_at_a_time(&mut self) -> Planned {
        let mut spec = self.mark("value");
        spec["onDisconnect"] = json!("Stop");
        self.planned(spec, self.completes(&[]), Some(1..=u64::MAX))
    }

    fn trap(&mut self) -> Planned {
        let spec = self.mark("trap");
        self.planned(spec, End::Reason("Trap", None), Some(1..=u64::MAX))
    }

    fn error(&mut self) -> Planned {
        let spec = self.mark("error");
        let end = End::Reason("ErrResult", Some(json!(self.name)));
        self.planned(spec, end, Some(1..=u64::MAX))
    }

    fn error_at_first(&mut self) -> Planned {
        let mut spec = self.mark("error-at-first");
        spec["retryPolicy"] = json!({"retryOn": ["Lost", "Unavailable", "ErrResult"]});
        self.planned(spec, self.completes(&[]), Some(2..=u64::MAX))
    }

    fn program(&mut self) -> Planned {
        let spec = json!({"image": self.images.program, "command": {"args": ["0"]}});
        self.planned(spec, End::Reason("Completed", None), None)
    }

    fn program_that_fails(&mut self) -> Planned {
        let spec = json!({"image": self.images.program, "command": {"args": ["1"]}});
        let end = End::Reason("Exited", Some(json!({"exitCode": 1})));
        self.planned(spec, end, None)
    }

    fn deadline(&mut self) -> Planned {
        let mut spec = self.mark_for(FOR_EVER, "value");
        spec["activeDeadlineSeconds"] = json!(self.rng.u32(2..6));
        let end = End::Reason("DeadlineExceeded", None);
        self.planned(spec, end, Some(0..=u64::MAX))
    }

    fn suspended(&mut self) -> Planned {
        let spec = self.mark_for(4_000, "value");
        let mut planned = self.planned(spec, self.completes(&[]), Some(1..=u64::MAX));
        planned.acts = vec![
            (self.moment(), Act::Suspend(true)),
            (self.moment(), Act::Suspend(false)),
        ];
        planned
    }

    fn cancelled(&mut self) -> Planned {
        let spec = self.mark_for(FOR_EVER, "value");
        let end = End::Reason("Cancelled", None);
        let mut planned = self.planned(spec, end, Some(0..=u64::MAX));
        planned.acts = vec![(self.moment(), Act::Cancel)];
        planned
    }

    fn deleted(&mut self) -> Planned {
        let spec = self.mark_for(FOR_EVER, "value");
        let mut planned = self.planned(spec, End::Gone, Some(0..=u64::MAX));
        planned.acts = vec![(self.moment(), Act::Delete)];
        planned
    }

    /// Deleted by the control plane, once it has ended.
    fn not_kept(&mut self) -> Planned {
        let mut spec = self.mark("value");
        spec["ttlSecondsAfterFinished"] = json!(1);
        self.planned(spec, End::Gone, Some(1..=u64::MAX))
    }

    fn for_nobody(&mut self) -> Planned {
        let mut spec = self.mark("value");
        spec["propletSelector"] = json!({"matchLabels": {"site": "nowhere"}});
        spec["startDeadlineSeconds"] = json!(3);
        let end = End::Reason("StartDeadlineExceeded", None);
        self.planned(spec, end, Some(0..=0))
    }

    fn service(&mut self) -> Planned {
        let spec = json!({"image": self.images.service, "service": {}});
        self.planned(spec, End::Serves, None)
    }

    fn mark(&mut self, ending: &str) -> Value {
        let milliseconds = self.rng.u64(..4_000);
        self.mark_for(milliseconds, ending)
    }

    fn mark_for(&mut self, milliseconds: u64, ending: &str) -> Value {
        json!({
            "image": self.images.mark,
            "call": {"function": "mark", "args": [MARKS, self.name, milliseconds, ending]},
            "grants": {"directories": [{"hostPath": self.marks, "guestPath": MARKS}]},
            "priority": self.rng.i32(-5..5),
        })
    }

    fn moment(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(100..6_000))
    }

    fn completes(&self, or: &'static [&'static str]) -> End {
        End::Value(json!(self.name), or)
    }

    fn planned(&mut self, mut spec: Value, end: End, marks: Option<RangeInclusive<u64>>) -> Planned {
        spec["lostAfterSeconds"] = json!(self.rng.u32(10..20));
        Planned {
            name: self.name.clone(),
            at: self.at,
            spec,
            acts: Vec::new(),
            wanted: Wanted { end, marks },
        }
    }
}
