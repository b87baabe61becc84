//! Control planes: two replicas each, of which one should lead, and the store between them; or one process with its store in it.

use std::time::Duration;

use propeller_delivery::{
    brain::{Brain, Config, Done, Event, Job, Moment, Output, Trouble},
    plan::{Pace, Resolved},
};
use propeller_protocol::ControllerId;

use crate::{
    Sabotage,
    clock::{Clock, Time},
    store::{Backup, News, Store},
    users::Deed,
    world::{Actor, What, World},
};

/// How long a replica leads without renewing.
const LEADS: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_secs(1);

/// What replicas share.
#[derive(Debug)]
pub struct Plane {
    pub store: Store,
    pub controller: ControllerId,
    /// The replica that leads, as the store has it.
    holder: Option<usize>,
    held_until: Time,
    /// The store can't be reached, or its disk takes nothing.
    pub is_away: bool,
    /// Its store is in its one process, with whatever waits for the disk.
    pub embedded: bool,
    pub waiting: Vec<Asked>,
    pub committing: Vec<Asked>,
    /// What a restore brings back.
    pub backup: Backup,
    /// Lives of the store: what was asked of an earlier one is lost.
    pub epoch: u32,
    /// Nobody starts it before that.
    pub stopped_until: Time,
}

/// Something that a store is asked to do.
#[derive(Debug)]
pub struct Asked {
    pub plane: usize,
    pub epoch: u32,
    pub what: Request,
}

#[derive(Debug)]
pub enum Request {
    /// Somebody's job, in that life of a replica.
    Job(usize, u32, Box<Job>),
    User(Deed),
}

impl Plane {
    pub fn new(number: usize, embedded: bool) -> Self {
        Self {
            store: Store::new(number),
            controller: format!("controller-{number}").parse().expect("a controller id"),
            holder: None,
            held_until: Time::ZERO,
            is_away: false,
            embedded,
            waiting: Vec::new(),
            committing: Vec::new(),
            backup: Backup::default(),
            epoch: 0,
            stopped_until: Time::ZERO,
        }
    }

    pub fn back_up(&mut self) {
        self.backup = self.store.back_up();
    }
}

/// A process of a control plane.
#[derive(Debug)]
pub struct Replica {
    pub plane: usize,
    pub clock: Clock,
    pub life: u32,
    /// While it leads, or thinks so.
    pub brain: Option<Brain>,
    /// Its connection broke: before it goes on it looks who leads.
    pub must_confirm: bool,
    pub frozen_until: Option<Time>,
    /// What arrived while it was stopped.
    deferred: Vec<Event>,
    /// The watch that its caches follow.
    watch: u32,
    hears_at: Time,
}

impl Replica {
    pub fn new(plane: usize, clock: Clock) -> Self {
        Self {
            plane,
            clock,
            life: 0,
            brain: None,
            must_confirm: false,
            frozen_until: None,
            deferred: Vec::new(),
            watch: 0,
            hears_at: Time::ZERO,
        }
    }
}

/// Everything faster than in life, so that more happens in a world.
fn pace() -> Pace {
    let seconds = jiff::SignedDuration::from_secs;
    Pace {
        start_window: seconds(20),
        backoff: seconds(2),
        longest_backoff: seconds(20),
        after_policy: seconds(30),
        lost_after: seconds(20),
        service_lost_after: seconds(20),
        ..Pace::default()
    }
}

impl World {
    pub fn boot_replica(&mut self, replica: usize, life: u32) {
        let me = &self.replicas[replica];
        let plane = &self.planes[me.plane];
        if me.life != life || (plane.embedded && replica != me.plane * 2) {
            return;
        }
        if plane.stopped_until > self.now {
            return self.at(plane.stopped_until, What::Boot(Actor::Replica(replica), life));
        }
        self.after(TICK, What::ReplicaTick(replica, life));
    }

    pub fn kill_replica(&mut self, replica: usize) {
        self.note(|| format!("replica {replica} ends"));
        let actor = Actor::Replica(replica);
        let client = self.client(actor);
        let is_connected = self.connection(actor).is_some();
        self.lose_what_waits(self.replicas[replica].plane);
        let dead = &mut self.replicas[replica];
        dead.brain = None;
        dead.life += 1;
        dead.must_confirm = false;
        dead.deferred.clear();
        let life = dead.life;
        if is_connected {
            self.disconnect(client);
        }
        self.unacknowledged.remove(&actor);
        let delay = self.millis(500..8_000);
        self.after(delay, What::Boot(actor, life));
    }

    pub fn replica_tick(&mut self, replica: usize, life: u32) {
        if self.replicas[replica].life != life {
            return;
        }
        if let Some(until) = self.frozen_until(Actor::Replica(replica)) {
            return self.at(until, What::ReplicaTick(replica, life));
        }
        if self.rng.u8(..40) == 0 {
            self.planes[self.replicas[replica].plane].back_up();
        }
        if !self.lead(replica) {
            return self.kill_replica(replica);
        }
        for event in std::mem::take(&mut self.replicas[replica].deferred) {
            self.feed(replica, event);
        }
        self.feed(replica, Event::Tick);
        let patience = self.replicas[replica].brain.as_ref().map_or(TICK, Brain::patience);
        self.after(patience.clamp(TICK / 10, TICK), What::ReplicaTick(replica, life));
    }

    /// Renews, or takes, or sees that another one leads. Returns whether the process may go on.
    fn lead(&mut self, replica: usize) -> bool {
        let now = self.now;
        let me = &mut self.replicas[replica];
        let plane = &mut self.planes[me.plane];
        let leads = me.brain.is_some();
        if plane.is_away {
            return true;
        }
        let is_holder = plane.holder == Some(replica);
        if leads && !is_holder {
            return false;
        }
        me.must_confirm = false;
        if is_holder || plane.held_until < now {
            plane.holder = Some(replica);
            plane.held_until = now + LEADS;
            if !leads {
                self.begin(replica);
            }
        }
        true
    }

    fn begin(&mut self, replica: usize) {
        self.note(|| format!("replica {replica} leads"));
        let now = self.moment(replica);
        let me = &mut self.replicas[replica];
        let config = Config {
            controller: self.planes[me.plane].controller.clone(),
            register_in: None,
            pace: pace(),
        };
        me.brain = Some(Brain::new(config, now));
        let life = me.life;
        self.relist(replica, life);
        self.connect_soon(Actor::Replica(replica));
    }

    fn moment(&self, replica: usize) -> Moment {
        let clock = &self.replicas[replica].clock;
        Moment {
            time: clock.wall(self.now),
            elapsed: clock.elapsed(self.now),
        }
    }

    /// Something happens to a brain, and what follows is begun.
    pub fn feed(&mut self, replica: usize, event: Event) {
        // A process that has ended hears nothing any more, also none that stood still then.
        if self.replicas[replica].brain.is_none() {
            return;
        }
        if self.frozen_until(Actor::Replica(replica)).is_some() {
            return self.replicas[replica].deferred.push(event);
        }
        let moment = self.moment(replica);
        let Some(brain) = &mut self.replicas[replica].brain else {
            return;
        };
        let outputs = brain.handle(event, moment);
        let life = self.replicas[replica].life;
        for output in outputs {
            match output {
                Output::Send(outgoing) => self.send(replica, outgoing),
                Output::Do(job) => self.ask_store(replica, life, Box::new(job)),
                Output::Resolve { uid, image, work } => {
                    let result = self.resolve();
                    let done = Done::Resolved {
                        uid,
                        image,
                        work,
                        result,
                    };
                    let delay = self.millis(5..300);
                    self.after(delay, What::JobDone(replica, life, Box::new(done)));
                }
                Output::Tell(_) | Output::Keep(_) | Output::Forget(_) | Output::ForgetOthers(_) => {}
            }
        }
    }

    fn send(&mut self, replica: usize, mut outgoing: propeller_delivery::brain::Outgoing) {
        use propeller_delivery::brain::Outgoing;
        match &mut outgoing {
            Outgoing::Start(_, start) if self.sabotage == Some(Sabotage::ReuseAttempt) => start.attempt.attempt = 1,
            Outgoing::Ack(_, ack) => self.check_ack(replica, ack),
            _ => {}
        }
        self.outgoing(replica, outgoing);
    }

    /// What is acknowledged is what the proplet with that journal holds: after that it may forget it.
    fn check_ack(&mut self, replica: usize, ack: &propeller_protocol::Ack) {
        let key = (ack.attempt.task.uid.clone(), ack.attempt.attempt);
        let mut theirs = (0..self.devices.len()).filter(|device| self.devices[*device].disk.journal == ack.journal);
        // Two devices with one journal, or one with two pasts, may report two ends of one attempt, of which one counts.
        if let Some(device) = theirs.next().filter(|device| self.promises.has_one_past(*device))
            && let Some(outcome) = self.devices[device].outcome(&key)
        {
            let store = &self.planes[self.replicas[replica].plane].store;
            self.promises.acknowledged(store, &key, &outcome, ack.verdict);
        }
    }

    fn resolve(&mut self) -> Result<Resolved, Trouble> {
        if self.chance(5) {
            return Err(Trouble {
                reason: "RegistryUnreachable".to_owned(),
                message: "the registry is away".to_owned(),
                is_transient: true,
            });
        }
        Ok(Resolved {
            image: "registry.lab/task@sha256:1".to_owned(),
            component: propeller_api::Digest::from_sha256([7; 32]),
        })
    }

    pub fn job_done(&mut self, replica: usize, life: u32, done: Box<Done>) {
        if self.replicas[replica].life == life {
            self.feed(replica, Event::Done(done));
        }
    }

    /// What changed in a store is on its way to those who watch it, in order.
    pub fn spread_news(&mut self, plane: usize) {
        for news in std::mem::take(&mut self.planes[plane].store.news) {
            for replica in plane * 2..plane * 2 + 2 {
                if self.replicas[replica].brain.is_none() {
                    continue;
                }
                let delays = self.climate.delays;
                let delay = if self.chance(delays) {
                    self.millis(500..5_000)
                } else {
                    self.millis(1..50)
                };
                let me = &mut self.replicas[replica];
                me.hears_at = me.hears_at.max(self.now + delay);
                let (at, watch) = (me.hears_at, me.watch);
                self.at(at, What::Hears(replica, watch, Box::new(news.clone())));
            }
        }
    }

    pub fn hears(&mut self, replica: usize, watch: u32, news: News) {
        if self.replicas[replica].watch == watch && !self.planes[self.replicas[replica].plane].is_away {
            self.feed(replica, news.event());
        }
    }

    /// The caches are listed anew, and follow a new watch.
    pub fn relist(&mut self, replica: usize, life: u32) {
        let me = &mut self.replicas[replica];
        if me.life != life || me.brain.is_none() {
            return;
        }
        me.watch += 1;
        let plane = me.plane;
        for event in self.planes[plane].store.list() {
            self.feed(replica, event);
        }
    }
}
