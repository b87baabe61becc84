//! One world: everything in it, and what happens next.
//!
//! Whatever happens is in one queue by time. What was meant for an earlier life of a process, or for a connection that broke, means nothing when its
//! turn comes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use fastrand::Rng;
use propeller_api::{JournalId, Proplet, PropletSpec};
use propeller_delivery::{brain::Done, ledger::Key};
use propeller_protocol::Alive;

use crate::{
    Sabotage,
    broker::{Broker, Client, Message, Waiting},
    clock::{Clock, Time},
    device::{Device, Disk},
    faults::{Climate, Fault},
    plane::{Asked, Plane, Replica},
    promises::Promises,
    store::News,
    users::{self, Deed},
};

/// After everything was mended, everything must have ended within this time.
const PATIENCE: Time = Duration::from_secs(2 * 60 * 60);
/// How often it's looked whether everything has ended.
const LOOK: Duration = Duration::from_secs(5);

/// Who holds a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    Device(usize),
    Replica(usize),
}

/// One thing that happens.
#[derive(Debug)]
pub enum What {
    /// A process begins.
    Boot(Actor, u32),
    /// A process tries to connect.
    Connect(Actor, u32),
    /// A message reaches the broker.
    AtBroker(Actor, u64, Sent),
    /// A message reaches a client.
    AtClient(Client, u64, Waiting, bool),
    /// Heartbeats, leases, repetitions.
    DeviceTick(usize, u32),
    /// The disk has taken, or not, what it was given.
    Committed(usize, u32),
    /// A guest ends.
    RunEnds(usize, u32, Key),
    /// Leadership, and whatever a brain does by itself.
    ReplicaTick(usize, u32),
    /// The store does what it was asked.
    StoreDoes(Asked),
    /// What waited for a plane's own disk is on it.
    StoreCommits(usize, u32),
    /// A job has come back.
    JobDone(usize, u32, Box<Done>),
    /// A cache hears of a change.
    Hears(usize, u32, Box<News>),
    Fault(Fault),
    Mend(Mend),
    User(Deed),
    /// Everything is mended.
    Heal,
    Look,
}

/// A message on its way to the broker.
#[derive(Debug, Clone)]
pub struct Sent {
    pub id: u64,
    pub proplet: usize,
    pub message: Message,
    pub expires: Option<Time>,
    pub retain: bool,
}

/// Something is in order again.
#[derive(Debug, Clone, Copy)]
pub enum Mend {
    Disk(usize),
    Link(usize),
    Clone(usize),
    Store(usize),
    Broker,
    Proplet(usize, usize),
}

/// A connection to the broker.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    pub number: u64,
    pub actor: Actor,
}

/// A world.
pub struct World {
    pub rng: Rng,
    pub now: Time,
    pub climate: Climate,
    pub sabotage: Option<Sabotage>,
    pub promises: Promises,
    pub broker: Broker,
    pub devices: Vec<Device>,
    pub replicas: Vec<Replica>,
    pub planes: Vec<Plane>,
    pub connections: BTreeMap<Client, Connection>,
    /// What a client sent and the broker hasn't acknowledged: it is sent again.
    pub unacknowledged: HashMap<Actor, Vec<Sent>>,
    /// Links that are down.
    pub isolated: Vec<usize>,
    pub healed: bool,
    queue: BTreeMap<(Time, u64), What>,
    /// On a connection in order, nothing overtakes what was sent before.
    last: HashMap<(Actor, bool), Time>,
    numbers: u64,
    pub values: i64,
    /// Lines of what happened, if they are wanted.
    pub trace: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>, trace: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let climate = Climate::of(&mut rng);
        let mut world = Self {
            rng,
            now: Time::ZERO,
            sabotage,
            promises: Promises::default(),
            broker: Broker::default(),
            devices: Vec::new(),
            replicas: Vec::new(),
            planes: Vec::new(),
            connections: BTreeMap::new(),
            unacknowledged: HashMap::new(),
            isolated: Vec::new(),
            healed: false,
            queue: BTreeMap::new(),
            last: HashMap::new(),
            numbers: 0,
            values: 0,
            trace: trace.then(Vec::new),
            climate,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.broker.is_up = true;
        for plane in 0..=usize::from(self.climate.two_planes) {
            self.planes.push(Plane::new(plane, self.climate.embedded));
            for _ in 0..2 {
                let clock = self.clock();
                self.replicas.push(Replica::new(plane, clock));
            }
        }
        for proplet in 0..self.climate.proplets {
            let device = self.device(proplet);
            self.devices.push(device);
            for plane in 0..self.planes.len() {
                self.make_proplet(plane, proplet);
            }
        }
        self.planes.iter_mut().for_each(Plane::back_up);
        for replica in 0..self.replicas.len() {
            let at = self.millis(0..2_000);
            self.at(at, What::Boot(Actor::Replica(replica), 0));
        }
        for device in 0..self.devices.len() {
            let at = self.millis(0..2_000);
            self.at(at, What::Boot(Actor::Device(device), 0));
        }
        for (at, fault) in self.climate.faults.clone() {
            self.at(at, What::Fault(fault));
        }
        self.plan_users();
        self.at(self.climate.heals_at, What::Heal);
    }

    fn clock(&mut self) -> Clock {
        Clock {
            drift: self.rng.i32(-5_000..5_000),
            ahead: jiff::SignedDuration::from_secs(self.rng.i64(-30..30)),
            suspended: Duration::ZERO,
        }
    }

    pub fn device(&mut self, proplet: usize) -> Device {
        let disk = Disk::new(self.journal());
        Device {
            proplet,
            clock: self.clock(),
            saved: disk.clone(),
            disk,
            is_full: false,
            frozen_until: None,
            life: 0,
            process: None,
            exists: true,
        }
    }

    pub fn journal(&mut self) -> JournalId {
        let number = self.number();
        format!("journal-{number}").parse().expect("a journal id")
    }

    pub fn make_proplet(&mut self, plane: usize, proplet: usize) {
        let now = self.replicas[plane * 2].clock.wall(self.now);
        let name = name(proplet);
        let client_id = name.parse().expect("a proplet id");
        let store = &mut self.planes[plane].store;
        if !store.proplets.contains_key(&crate::store::key(&name)) {
            let metadata = store.metadata(&name, now);
            let mut proplet = Proplet::new(metadata, PropletSpec::new(client_id));
            users::tidy(&mut proplet);
            store.put_proplet(proplet);
            self.spread_news(plane);
        }
    }

    /// A number that nothing else has.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn millis(&mut self, range: std::ops::Range<u64>) -> Time {
        Duration::from_millis(self.rng.u64(range))
    }

    /// Whether it happens, of a hundred.
    pub fn chance(&mut self, percent: u8) -> bool {
        !self.healed && percent > 0 && self.rng.u8(..100) < percent
    }

    pub fn at(&mut self, at: Time, what: What) {
        let number = self.number();
        self.queue.insert((at.max(self.now), number), what);
    }

    pub fn after(&mut self, delay: Duration, what: What) {
        self.at(self.now + delay, what);
    }

    /// For how long a message is on its way.
    pub fn way(&mut self, actor: Actor, outward: bool) -> Duration {
        let delays = self.climate.delays;
        let delay = if self.chance(delays) {
            self.millis(1_000..15_000)
        } else {
            self.millis(1..50)
        };
        if self.climate.reorders && !self.healed {
            return delay;
        }
        let arrives = (self.now + delay).max(self.last.get(&(actor, outward)).copied().unwrap_or_default());
        self.last.insert((actor, outward), arrives);
        arrives - self.now
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:10.3}  {}", self.now.as_secs_f64(), what()));
        }
    }

    /// Lets everything happen until a promise is broken, or everything has ended.
    pub fn run(&mut self) -> Result<(), Broken> {
        while let Some(((at, _), what)) = self.queue.pop_first() {
            self.now = at;
            if matches!(what, What::Look) && self.has_ended() {
                break;
            }
            self.happens(what);
            if let Some(promise) = self.promises.violation.take() {
                let at = self.now;
                return Err(Broken { promise, at });
            }
        }
        Ok(())
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Boot(Actor::Device(device), life) => self.boot_device(device, life),
            What::Boot(Actor::Replica(replica), life) => self.boot_replica(replica, life),
            What::Connect(actor, life) => self.connect(actor, life),
            What::AtBroker(actor, connection, sent) => self.at_broker(actor, connection, sent),
            What::AtClient(client, connection, waiting, retained) => {
                self.at_client(client, connection, waiting, retained)
            }
            What::DeviceTick(device, life) => self.device_tick(device, life),
            What::Committed(device, life) => self.committed(device, life),
            What::RunEnds(device, life, key) => self.run_ends(device, life, &key),
            What::ReplicaTick(replica, life) => self.replica_tick(replica, life),
            What::StoreDoes(asked) => self.store_does(asked),
            What::StoreCommits(plane, epoch) => self.store_commits(plane, epoch),
            What::JobDone(replica, life, done) => self.job_done(replica, life, done),
            What::Hears(replica, life, news) => self.hears(replica, life, *news),
            What::Fault(fault) => self.fault(fault),
            What::Mend(mend) => self.mend(mend),
            What::User(deed) => self.wanted(deed),
            What::Heal => {
                self.heal();
                self.after(LOOK, What::Look);
            }
            What::Look => {
                if self.now > self.climate.heals_at + PATIENCE {
                    let problem = self.unfinished();
                    self.promises.at_the_end(problem);
                } else {
                    self.after(LOOK, What::Look);
                }
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.healed && self.unfinished().is_none()
    }

    /// What hasn't ended, if anything.
    fn unfinished(&self) -> Option<String> {
        for plane in &self.planes {
            for task in plane.store.tasks.values() {
                let phase = task.status.as_ref().map(|status| status.phase).unwrap_or_default();
                if !phase.is_terminal() {
                    let uid = &task.metadata.uid;
                    return Some(format!("{uid} hasn't ended: {:#?}", task.status));
                }
            }
        }
        for (number, device) in self.devices.iter().enumerate().filter(|(_, device)| device.exists) {
            let held = device.disk.ledger().inventory();
            if let Some(held) = held.first() {
                return Some(format!("device {number} still holds {held:?}"));
            }
        }
        None
    }

    /// The retained presence, as the broker would send it now.
    pub fn retained(&self) -> Vec<(usize, Alive)> {
        let retained = &self.broker.state.retained;
        retained
            .iter()
            .map(|(proplet, alive)| (*proplet, alive.clone()))
            .collect()
    }
}

/// The id and the name of a proplet.
pub fn name(proplet: usize) -> String {
    format!("edge-{proplet}")
}

/// A promise wasn't kept.
#[derive(Debug)]
pub struct Broken {
    /// Which, and how.
    pub promise: String,
    /// When.
    pub at: Time,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:.3} s: {}", self.at.as_secs_f64(), self.promise)
    }
}
