//! One brain with everything around it, and sentences to write tests in. The time is virtual: it passes while a test waits.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};
use propeller_api::{NamespacedName, Phase, Proplet, PropletStatus, Task, TaskStatus, Work, condition};
use propeller_protocol::{Ack, Alive, AttemptRef, Held, Logs, Report, Start, Stop, Stream};

use super::{fixtures, store::Store};
use crate::{
    brain::{Brain, Bus, Change, Config, Done, Event, Job, Moment, Outgoing, Output, Trouble, WRITES, WriteError},
    plan::{Pace, Resolved},
};

/// Longer than anything takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(600);
/// How finely the time passes.
const STEP: Duration = Duration::from_millis(10);

pub(super) struct World {
    pub(super) store: Store,
    pub(super) resolver: FakeResolver,
    pub(super) register_in: Option<String>,
    elapsed: Duration,
    /// How far somebody set the wall clock.
    skew: SignedDuration,
    brain: Brain,
    outgoing: VecDeque<Outgoing>,
    /// What the brain wants done, and when it will be.
    jobs: VecDeque<(Duration, Job)>,
    resolutions: VecDeque<(String, String, Work)>,
    sequence: u64,
}

/// Answers the same for every reference, after the troubles that it was given.
#[derive(Default)]
pub(super) struct FakeResolver {
    pub(super) troubles: VecDeque<Trouble>,
    pub(super) calls: usize,
}

impl FakeResolver {
    fn resolve(&mut self) -> Result<Resolved, Trouble> {
        self.calls += 1;
        match self.troubles.pop_front() {
            Some(trouble) => Err(trouble),
            None => Ok(Resolved {
                image: "registry.lab/add@sha256:1".into(),
                component: fixtures::component(),
            }),
        }
    }
}

impl World {
    /// A brain that is in sync with an empty store and connected to the broker.
    pub(super) fn new() -> Self {
        let mut world = Self::unconnected(Store::default(), None);
        world.connect();
        world
    }

    /// A brain whose task `a` is dispatched to its one proplet, `edge-1`, which hasn't answered yet.
    pub(super) fn dispatched() -> (Self, Start) {
        let mut world = Self::new();
        world.join("edge-1", &[]);
        world.apply(fixtures::task("a"));
        let (_, start) = world.start();
        (world, start)
    }

    /// A brain that is in sync with `store`.
    pub(super) fn unconnected(store: Store, register_in: Option<&str>) -> Self {
        Self::since(Duration::ZERO, store, register_in)
    }

    fn since(elapsed: Duration, mut store: Store, register_in: Option<&str>) -> Self {
        let config = Config {
            controller: fixtures::controller(),
            register_in: register_in.map(str::to_owned),
            pace: Pace::default(),
        };
        // What it hasn't heard of it lists.
        store.news.clear();
        let mut world = Self {
            store,
            resolver: FakeResolver::default(),
            register_in: register_in.map(str::to_owned),
            elapsed,
            skew: SignedDuration::ZERO,
            brain: Brain::new(config, moment(elapsed, SignedDuration::ZERO)),
            outgoing: VecDeque::new(),
            jobs: VecDeque::new(),
            resolutions: VecDeque::new(),
            sequence: 0,
        };
        world.list();
        assert!(world.brain.is_in_sync());
        world
    }

    fn list(&mut self) {
        let tasks: Vec<_> = self.store.tasks.values().cloned().collect();
        let proplets: Vec<_> = self.store.proplets.values().cloned().collect();
        self.send(Event::Task(Change::Listing));
        for task in tasks {
            self.send(Event::Task(Change::Is(Box::new(task))));
        }
        self.send(Event::Task(Change::Listed));
        self.send(Event::Proplet(Change::Listing));
        for proplet in proplets {
            self.send(Event::Proplet(Change::Is(Box::new(proplet))));
        }
        self.send(Event::Proplet(Change::Listed));
    }

    pub(super) fn send(&mut self, event: Event) {
        for output in self.brain.handle(event, moment(self.elapsed, self.skew)) {
            match output {
                Output::Send(message) => self.outgoing.push_back(message),
                Output::Resolve { uid, image, work } => self.resolutions.push_back((uid, image, work)),
                Output::Tell(notice) => self.store.notices.push(notice),
                Output::Keep(logs) => self.store.lines.extend(logs.lines),
                Output::Forget(uid) => self.store.forgotten.push(uid),
                Output::ForgetOthers(uids) => self.store.remembered.push(uids),
                Output::Do(job) => {
                    let rounds = u32::try_from(1 + self.jobs.len() / WRITES).unwrap();
                    self.jobs.push_back((self.elapsed + self.store.slowness * rounds, job));
                }
            }
        }
    }

    /// Does what is to be done now, and lets the time pass a little.
    fn step(&mut self) {
        self.settle();
        self.elapsed += STEP;
        self.send(Event::Tick);
        self.settle();
    }

    /// Everything that happens without time passing.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(event) = self.store.news.pop_front() {
                self.send(event);
            } else if let Some(done) = self.next_resolution() {
                self.send(Event::Done(Box::new(done)));
            } else if let Some(job) = self.next_job() {
                let done = self.perform(job);
                let first = if self.store.tells_first {
                    self.store.news.len()
                } else {
                    0
                };
                let first: Vec<_> = self.store.news.drain(..first).collect();
                first.into_iter().for_each(|event| self.send(event));
                self.send(Event::Done(Box::new(done)));
            } else {
                return;
            }
        }
    }

    fn next_resolution(&mut self) -> Option<Done> {
        let (uid, image, work) = self.resolutions.pop_front()?;
        Some(Done::Resolved {
            uid,
            image,
            work,
            result: self.resolver.resolve(),
        })
    }

    fn next_job(&mut self) -> Option<Job> {
        let due = |(at, job): &(Duration, Job)| {
            let is_held = match job {
                Job::WriteTask(_) => self.store.holds_writes,
                Job::ReadTask { .. } => self.store.holds_reads,
                _ => false,
            };
            *at <= self.elapsed && !is_held
        };
        let next = self.jobs.iter().position(due)?;
        self.jobs.remove(next).map(|(_, job)| job)
    }

    fn perform(&mut self, job: Job) -> Done {
        match job {
            Job::WriteTask(task) => Done::TaskWritten {
                result: self.store.write_task(&task),
                uid: task.metadata.uid,
            },
            Job::ReadTask { uid, key } => Done::TaskRead {
                uid,
                result: Ok(self.store.tasks.get(&key).cloned()),
            },
            Job::DeleteTask(task) => Done::TaskDeleted {
                result: self.store.remove_task(&task),
                uid: task.metadata.uid,
            },
            Job::WriteProplet(proplet) => Done::PropletWritten {
                result: self.store.write_proplet(&proplet),
                uid: proplet.metadata.uid,
            },
            Job::CreateProplet(proplet) => {
                self.store.create_proplet(&proplet);
                Done::PropletCreated {
                    id: proplet.spec.connection_config.client_id,
                    result: Ok(()),
                }
            }
        }
    }

    pub(super) fn connect(&mut self) {
        self.send(Event::Bus(Bus::Connected));
    }

    /// The brain ends, and another takes over with nothing but the store.
    pub(super) fn restart(self) -> Self {
        let mut world = Self::since(self.elapsed, self.store, self.register_in.as_deref());
        world.connect();
        world
    }

    /// The next write fails.
    pub(super) fn fail_a_write(&mut self) {
        let failed = WriteError::Failed("connection refused".into());
        self.store.troubles.push_back(failed);
    }

    /// The time passes with nothing but what it brings.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while self.elapsed < end {
            self.step();
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        moment(self.elapsed, self.skew).time
    }

    /// The process stands still for that long, and what is sent to it waits.
    pub(super) fn freeze(&mut self, time: Duration) {
        self.elapsed += time;
    }

    /// Somebody sets the clock.
    pub(super) fn set_clock(&mut self, by: SignedDuration) {
        self.skew += by;
    }

    // What people do.

    pub(super) fn apply(&mut self, task: Task) {
        self.store.put_task(task);
        self.settle();
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.store.delete_task(&key(name));
        self.settle();
    }

    /// Makes a Proplet and lets its process send a heartbeat.
    pub(super) fn join(&mut self, name: &str, labels: &[(&str, &str)]) {
        self.store.put_proplet(fixtures::proplet(name, labels));
        self.settle();
        self.beat(name, vec![]);
    }

    // What proplets do.

    pub(super) fn beat(&mut self, name: &str, inventory: Vec<Held>) {
        self.sequence += 1;
        let alive = fixtures::alive("boot-1", self.sequence, inventory);
        self.alive(name, alive, false);
    }

    pub(super) fn alive(&mut self, name: &str, alive: Alive, retained: bool) {
        let alive = Box::new(alive);
        let proplet = fixtures::proplet_id(name);
        self.send(Event::Bus(Bus::Alive {
            proplet,
            alive,
            retained,
        }));
        self.settle();
    }

    pub(super) fn report(&mut self, name: &str, report: Report) {
        let report = Box::new(report);
        let proplet = fixtures::proplet_id(name);
        self.send(Event::Bus(Bus::Report { proplet, report }));
        self.settle();
    }

    /// The proplet says that its attempt wrote a line.
    pub(super) fn log(&mut self, name: &str, attempt: AttemptRef, line: &str) {
        let logs = Logs {
            sender: fixtures::sender("boot-1", 6),
            attempt,
            stream: Stream::Stdout,
            lines: vec![line.to_owned()],
        };
        let (proplet, logs) = (fixtures::proplet_id(name), Box::new(logs));
        self.send(Event::Bus(Bus::Logs { proplet, logs }));
    }

    /// How much is kept of what was heard of tasks and proplets that nobody knows.
    pub(super) fn kept_of_strangers(&self) -> usize {
        self.brain.sought.len() + self.brain.strangers.len() + self.brain.tasks.uids().len() + self.jobs.len()
    }

    pub(super) fn plans(&self) -> u64 {
        self.brain.plans()
    }

    // What comes of it.

    pub(super) fn outgoing(&mut self) -> Outgoing {
        let end = self.elapsed + PATIENCE;
        while self.outgoing.is_empty() {
            assert!(self.elapsed < end, "no message");
            self.step();
        }
        self.outgoing.pop_front().unwrap()
    }

    /// The next message, which must be a start.
    pub(super) fn start(&mut self) -> (String, Start) {
        match self.outgoing() {
            Outgoing::Start(proplet, start) => (proplet.to_string(), *start),
            other => panic!("{other:?} instead of a start"),
        }
    }

    pub(super) fn stop(&mut self) -> (String, Stop) {
        match self.outgoing() {
            Outgoing::Stop(proplet, stop) => (proplet.to_string(), stop),
            other => panic!("{other:?} instead of a stop"),
        }
    }

    pub(super) fn ack(&mut self) -> (String, Ack) {
        match self.outgoing() {
            Outgoing::Ack(proplet, ack) => (proplet.to_string(), ack),
            other => panic!("{other:?} instead of an acknowledgement"),
        }
    }

    /// Lets everything happen that happens without time passing, and says that no message came of it.
    pub(super) fn quiet(&mut self) {
        self.step();
        if let Some(message) = self.outgoing.pop_front() {
            panic!("{message:?} instead of nothing");
        }
    }

    pub(super) fn status(&self, name: &str) -> TaskStatus {
        self.store.tasks[&key(name)].status.clone().unwrap_or_default()
    }

    pub(super) fn phase(&mut self, name: &str, phase: Phase) {
        self.until(&format!("{name} to be {phase:?}"), |world| {
            world.status(name).phase == phase
        });
    }

    /// Until the task's condition has that reason. Returns its message.
    pub(super) fn reason(&mut self, name: &str, type_: &str, reason: &str) -> String {
        let said = |world: &Self| {
            let status = world.status(name);
            let condition = condition(&status.conditions, type_)?;
            (condition.reason == reason).then(|| condition.message.clone())
        };
        self.until(&format!("{name} to be {type_} {reason}"), |world| said(world).is_some());
        said(self).unwrap()
    }

    /// Until the Proplet is ready, or isn't, for that reason.
    pub(super) fn ready(&mut self, name: &str, reason: &str) {
        let said = |world: &Self| {
            let proplet = world.store.proplets.get(&key(name));
            let status = proplet.and_then(|proplet: &Proplet| proplet.status.clone());
            let conditions = status.unwrap_or_default().conditions;
            condition(&conditions, PropletStatus::READY).map(|ready| ready.reason.clone())
        };
        self.until(&format!("{name} to be {reason}"), |world| {
            said(world).as_deref() == Some(reason)
        });
    }

    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.elapsed + PATIENCE;
        while !holds(self) {
            assert!(self.elapsed < end, "waited for {what}");
            self.step();
        }
    }
}

fn moment(elapsed: Duration, skew: SignedDuration) -> Moment {
    let time = fixtures::time(100) + SignedDuration::try_from(elapsed).unwrap() + skew;
    Moment { time, elapsed }
}

pub(super) fn key(name: &str) -> NamespacedName {
    NamespacedName {
        namespace: fixtures::NAMESPACE.to_owned(),
        name: name.to_owned(),
    }
}
