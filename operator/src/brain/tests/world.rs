//! One brain with everything around it, and sentences to write tests in.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::SignedDuration;
use propeller_api::{NamespacedName, Phase, Proplet, PropletStatus, Task, TaskStatus, Work, condition};
use propeller_delivery::plan::{Pace, Resolved};
use propeller_protocol::{Ack, Alive, Held, Report, Start, Stop};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{fixtures, store::MemoryStore};
use crate::{
    brain::{Brain, Bus, Change, Clock, Died, Event, Outgoing, Parts, Resolver, Trouble},
    metrics::Metrics,
};

/// Longer than anything takes that a test waits for. The time is virtual.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct World {
    pub(super) store: Arc<MemoryStore>,
    pub(super) resolver: Arc<FakeResolver>,
    pub(super) register_in: Option<String>,
    clock: Clock,
    events: mpsc::Sender<Event>,
    outgoing: mpsc::Receiver<Outgoing>,
    brain: JoinHandle<Result<(), Died>>,
    shutdown: CancellationToken,
    sequence: u64,
}

/// Answers the same for every reference, after the troubles that it was given.
#[derive(Default)]
pub(super) struct FakeResolver {
    pub(super) troubles: Mutex<VecDeque<Trouble>>,
    pub(super) calls: Mutex<usize>,
}

impl Resolver for FakeResolver {
    async fn resolve(&self, _: &str, _: &Work) -> Result<Resolved, Trouble> {
        *self.calls.lock().unwrap() += 1;
        match self.troubles.lock().unwrap().pop_front() {
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
    pub(super) async fn new() -> Self {
        let mut world = Self::unconnected(Arc::default(), None).await;
        world.connect().await;
        world
    }

    /// A brain that is in sync with `store`.
    pub(super) async fn unconnected(store: Arc<MemoryStore>, register_in: Option<&str>) -> Self {
        let begin = Instant::now();
        let clock: Clock = Arc::new(move || fixtures::time(100) + SignedDuration::try_from(begin.elapsed()).unwrap());
        let (events, receiver) = mpsc::channel(10_000);
        let (outbox, outgoing) = mpsc::channel(1_000);
        let (in_sync, mut is_in_sync) = watch::channel(false);
        let resolver = Arc::<FakeResolver>::default();
        let brain = Brain::new(Parts {
            controller: fixtures::controller(),
            register_in: register_in.map(str::to_owned),
            pace: Pace::default(),
            store: store.clone(),
            resolver: resolver.clone(),
            outbox,
            in_sync,
            clock: clock.clone(),
            metrics: Metrics::default(),
        });
        let shutdown = CancellationToken::new();
        let brain = tokio::spawn(brain.run(receiver, shutdown.clone()));
        let world = Self {
            store,
            resolver,
            register_in: register_in.map(str::to_owned),
            clock,
            events,
            outgoing,
            brain,
            shutdown,
            sequence: 0,
        };
        world.list().await;
        is_in_sync.wait_for(|in_sync| *in_sync).await.unwrap();
        world
    }

    async fn list(&self) {
        let (tasks, proplets) = {
            let mut state = self.store.state();
            state.watch = Some(self.events.clone());
            let tasks: Vec<_> = state.tasks.values().cloned().collect();
            (tasks, state.proplets.values().cloned().collect::<Vec<_>>())
        };
        self.send(Event::Task(Change::Listing)).await;
        for task in tasks {
            self.send(Event::Task(Change::Is(Box::new(task)))).await;
        }
        self.send(Event::Task(Change::Listed)).await;
        self.send(Event::Proplet(Change::Listing)).await;
        for proplet in proplets {
            self.send(Event::Proplet(Change::Is(Box::new(proplet)))).await;
        }
        self.send(Event::Proplet(Change::Listed)).await;
    }

    pub(super) async fn send(&self, event: Event) {
        self.events.send(event).await.unwrap();
    }

    pub(super) async fn connect(&mut self) {
        self.send(Event::Bus(Bus::Connected)).await;
    }

    /// The brain ends, and another takes over with nothing but the store.
    pub(super) async fn restart(self) -> Self {
        self.shutdown.cancel();
        self.brain.await.unwrap().unwrap();
        let mut world = Self::unconnected(self.store, self.register_in.as_deref()).await;
        world.connect().await;
        world
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        (self.clock)()
    }

    // What people do.

    pub(super) async fn apply(&self, task: Task) {
        self.store.state().put_task(task);
    }

    pub(super) async fn delete(&self, name: &str) {
        self.store.state().delete_task(&key(name));
    }

    /// Makes a Proplet and lets its process send a heartbeat.
    pub(super) async fn join(&mut self, name: &str, labels: &[(&str, &str)]) {
        self.store.state().put_proplet(fixtures::proplet(name, labels));
        self.beat(name, vec![]).await;
    }

    // What proplets do.

    pub(super) async fn beat(&mut self, name: &str, inventory: Vec<Held>) {
        self.sequence += 1;
        let alive = fixtures::alive("boot-1", self.sequence, inventory);
        self.alive(name, alive, false).await;
    }

    pub(super) async fn alive(&self, name: &str, alive: Alive, retained: bool) {
        let alive = Box::new(alive);
        let proplet = fixtures::proplet_id(name);
        self.send(Event::Bus(Bus::Alive {
            proplet,
            alive,
            retained,
        }))
        .await;
    }

    pub(super) async fn report(&self, name: &str, report: Report) {
        let report = Box::new(report);
        let proplet = fixtures::proplet_id(name);
        self.send(Event::Bus(Bus::Report { proplet, report })).await;
    }

    // What comes of it.

    pub(super) async fn outgoing(&mut self) -> Outgoing {
        timeout(PATIENCE, self.outgoing.recv())
            .await
            .expect("no message")
            .unwrap()
    }

    /// The next message, which must be a start.
    pub(super) async fn start(&mut self) -> (String, Start) {
        match self.outgoing().await {
            Outgoing::Start(proplet, start) => (proplet.to_string(), *start),
            other => panic!("{other:?} instead of a start"),
        }
    }

    pub(super) async fn stop(&mut self) -> (String, Stop) {
        match self.outgoing().await {
            Outgoing::Stop(proplet, stop) => (proplet.to_string(), stop),
            other => panic!("{other:?} instead of a stop"),
        }
    }

    pub(super) async fn ack(&mut self) -> (String, Ack) {
        match self.outgoing().await {
            Outgoing::Ack(proplet, ack) => (proplet.to_string(), ack),
            other => panic!("{other:?} instead of an acknowledgement"),
        }
    }

    /// Lets everything happen that happens without time passing, and says that no message came of it.
    pub(super) async fn quiet(&mut self) {
        sleep(Duration::from_millis(1)).await;
        if let Ok(message) = self.outgoing.try_recv() {
            panic!("{message:?} instead of nothing");
        }
    }

    pub(super) fn status(&self, name: &str) -> TaskStatus {
        let state = self.store.state();
        state.tasks[&key(name)].status.clone().unwrap_or_default()
    }

    pub(super) async fn phase(&self, name: &str, phase: Phase) {
        self.until(&format!("{name} to be {phase:?}"), || self.status(name).phase == phase)
            .await;
    }

    /// Until the task's condition has that reason. Returns its message.
    pub(super) async fn reason(&self, name: &str, type_: &str, reason: &str) -> String {
        let said = || {
            let status = self.status(name);
            let condition = condition(&status.conditions, type_)?;
            (condition.reason == reason).then(|| condition.message.clone())
        };
        self.until(&format!("{name} to be {type_} {reason}"), || said().is_some())
            .await;
        said().unwrap()
    }

    /// Until the Proplet is ready, or isn't, for that reason.
    pub(super) async fn ready(&self, name: &str, reason: &str) {
        let said = || {
            let state = self.store.state();
            let status = state
                .proplets
                .get(&key(name))
                .and_then(|proplet: &Proplet| proplet.status.clone());
            let conditions = status.unwrap_or_default().conditions;
            condition(&conditions, PropletStatus::READY).map(|ready| ready.reason.clone())
        };
        self.until(&format!("{name} to be {reason}"), || said().as_deref() == Some(reason))
            .await;
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "waited for {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(super) fn key(name: &str) -> NamespacedName {
    NamespacedName {
        namespace: fixtures::NAMESPACE.to_owned(),
        name: name.to_owned(),
    }
}
