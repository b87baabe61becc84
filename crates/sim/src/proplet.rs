//! What a proplet's process does with what its ledger says.

use std::{mem, time::Duration};

use propeller_api::Work;
use propeller_delivery::{
    desk::{Answer, Desk, Inventory, Request},
    ledger::{Action, Event, Holding, Key},
};
use propeller_protocol::{AttemptRef, Failure, LEASE, Lease, Outcome, Report, Stage, Start, Usage};
use serde_json::json;

use crate::{
    Sabotage,
    broker::Message,
    clock::Time,
    device::{Process, Run},
    world::{Actor, What, World},
};

const TICK: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(250);
const HEARTBEAT: Duration = Duration::from_secs(10);

impl World {
    pub fn frozen_until(&self, actor: Actor) -> Option<Time> {
        let until = match actor {
            Actor::Device(device) => self.devices[device].frozen_until,
            Actor::Replica(replica) => self.replicas[replica].frozen_until,
        };
        until.filter(|until| *until > self.now)
    }

    pub fn is_frozen(&self, actor: Actor) -> bool {
        self.frozen_until(actor).is_some()
    }

    pub fn boot_device(&mut self, device: usize, life: u32) {
        let forgets = self.sabotage == Some(Sabotage::ForgetTombstones);
        let number = self.number();
        let machine = &mut self.devices[device];
        if machine.life != life || !machine.exists || machine.process.is_some() {
            return;
        }
        if machine.is_full {
            // It can't say what was interrupted, and so doesn't start.
            return self.after(TICK, What::Boot(Actor::Device(device), life));
        }
        if forgets {
            machine.disk.forget_tombstones();
        }
        let mut ledger = machine.disk.ledger();
        for record in ledger.decide(Event::Booted).records {
            ledger.apply(record.clone());
            machine.disk.records.push(record);
        }
        let boot = format!("boot-{number}").parse().expect("a boot id");
        machine.process = Some(Process::new(boot, Desk::new(ledger)));
        self.note(|| format!("device {device} starts"));
        self.connect_soon(Actor::Device(device));
        self.after(TICK, What::DeviceTick(device, life));
    }

    /// The process is gone, with everything that it hadn't made durable.
    pub fn kill_device(&mut self, device: usize) {
        self.note(|| format!("device {device} ends"));
        let actor = Actor::Device(device);
        if self.connection(actor).is_some() {
            let client = self.client(actor);
            self.disconnect(client);
        }
        self.unacknowledged.remove(&actor);
        let machine = &mut self.devices[device];
        machine.process = None;
        machine.life += 1;
        let life = machine.life;
        let delay = self.millis(200..10_000);
        self.after(delay, What::Boot(actor, life));
    }

    pub fn ask(&mut self, device: usize, request: Request) {
        if let Some(process) = &mut self.devices[device].process {
            process.desk.ask(request);
            self.work(device);
        }
    }

    /// Gives the disk what it is to take next, and does what was answered.
    fn work(&mut self, device: usize) {
        let life = self.devices[device].life;
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        if let Some(records) = process.desk.commit() {
            process.committing = records;
            let delay = if self.chance(5) {
                self.millis(100..1_000)
            } else {
                self.millis(1..20)
            };
            self.after(delay, What::Committed(device, life));
        }
        self.tell(device);
    }

    pub fn committed(&mut self, device: usize, life: u32) {
        if let Some(until) = self.frozen_until(Actor::Device(device)) {
            return self.at(until, What::Committed(device, life));
        }
        let skips = self.sabotage == Some(Sabotage::SkipJournal);
        let machine = &mut self.devices[device];
        let Some(process) = machine.process.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        let records = mem::take(&mut process.committing);
        if machine.is_full {
            process.desk.not_written(records, "no space left on device");
            return self.tell(device);
        }
        if !skips {
            machine.disk.records.extend(records);
        }
        process.desk.written();
        self.work(device);
    }

    /// One answer after the other, also where doing one asks for the next.
    fn tell(&mut self, device: usize) {
        if let Some(process) = &mut self.devices[device].process
            && mem::replace(&mut process.is_telling, true)
        {
            return;
        }
        while let Some(process) = &mut self.devices[device].process {
            let Some(answer) = process.desk.take_answer() else {
                process.is_telling = false;
                return;
            };
            self.answered(device, answer);
        }
    }

    fn answered(&mut self, device: usize, answer: Answer) {
        match answer {
            Answer::Actions(actions) => actions.into_iter().for_each(|action| self.act(device, action)),
            Answer::Inventory(inventory) => self.heartbeat(device, inventory),
        }
    }

    fn act(&mut self, device: usize, action: Action) {
        match action {
            Action::Run(start) => {
                self.want_lease(device, &start);
                self.begin_run(device, start);
            }
            Action::Wait(start) => {
                self.want_lease(device, &start);
                if let Some(process) = &mut self.devices[device].process {
                    process.waits.insert(key(&start.attempt), start);
                }
            }
            Action::Proceed(attempt) => {
                let process = self.devices[device].process.as_mut();
                if let Some(start) = process.and_then(|process| process.waits.remove(&key(&attempt))) {
                    self.begin_run(device, start);
                }
            }
            Action::Cancel(attempt) => self.end_run(device, &attempt, "Cancelled"),
            Action::Revoke(_) if self.sabotage == Some(Sabotage::IgnoreLease) => {}
            Action::Revoke(attempt) => self.end_run(device, &attempt, "LeaseExpired"),
            Action::Ended(holding, outcome) => self.report(device, holding, Stage::Finished { outcome }),
            Action::Report(holding, stage) => self.report(device, holding, stage),
        }
    }

    fn begin_run(&mut self, device: usize, start: Box<Start>) {
        let (life, attempt) = (self.devices[device].life, start.attempt.clone());
        let (uid, number) = (attempt.task.uid.clone(), attempt.attempt);
        self.note(|| format!("device {device} runs {uid}#{number}"));
        self.promises
            .runs(device, &self.devices[device].disk.journal, &uid, number);
        let mut tasks = self.planes.iter().filter_map(|plane| plane.store.by_uid(&uid));
        let at_most_once = |task: &propeller_api::Task| {
            let is_exclusive = task.spec.on_disconnect == Some(propeller_api::OnDisconnect::Stop);
            is_exclusive && task.spec.backoff_limit == Some(0)
        };
        if tasks.any(at_most_once) {
            self.promises.runs_once(&uid);
        }
        // What was decided before the machine was suspended is done after it: then the lease is over by now.
        let uptime = self.devices[device].clock.uptime(self.now);
        let process = self.devices[device].process.as_ref();
        let is_held = process.is_some_and(|process| process.lease.holders(uptime).contains(&start.controller));
        let is_late = start.needs_lease() && !is_held && self.sabotage != Some(Sabotage::IgnoreLease);
        if start.needs_lease() && !is_late && self.runs_elsewhere(&uid) {
            self.promises.twice_at_a_time(&uid);
        }
        let (mut lasts, mut outcome) = (self.lasts(), self.outcome());
        if let Some(deadline) = start
            .limits
            .deadline_seconds
            .map(|seconds| Duration::from_secs(seconds.into()))
            && lasts > deadline
        {
            (lasts, outcome) = (deadline, failure("DeadlineExceeded"));
        }
        let key = key(&attempt);
        if let Some(started) = Process::started(&start) {
            self.ask(device, Request::Event(Event::Started(attempt.clone(), started)));
        }
        if !matches!(start.work, Work::Service(_)) {
            self.after(lasts, What::RunEnds(device, life, key.clone()));
        }
        if let Some(process) = &mut self.devices[device].process {
            process.runs.insert(
                key,
                Run {
                    start,
                    outcome,
                    is_ending: false,
                },
            );
        }
        if is_late {
            self.end_run(device, &attempt, "LeaseExpired");
        }
    }

    /// Most guests are done soon, and some outlast a lease.
    fn lasts(&mut self) -> Duration {
        let most = if self.rng.u8(..5) == 0 { 150_000 } else { 15_000 };
        self.millis(20..most)
    }

    fn runs_elsewhere(&self, uid: &str) -> bool {
        // On a machine that is suspended nothing runs; when it wakes up, what has no lease any more ends within a moment.
        let awake = self
            .devices
            .iter()
            .filter(|device| device.frozen_until.is_none_or(|until| until <= self.now));
        let processes = awake.filter_map(|device| device.process.as_ref());
        let mut runs = processes.flat_map(|process| &process.runs);
        runs.any(|((running, _), run)| running == uid && !run.is_ending)
    }

    fn outcome(&mut self) -> Outcome {
        match self.rng.u8(..10) {
            0 => failure("Trap"),
            1 => failure("ErrResult"),
            2 => failure("HostFailure"),
            _ => {
                self.values += 1;
                Outcome::Completed {
                    results: Some(json!(self.values)),
                    usage: Usage::default(),
                }
            }
        }
    }

    /// Has a guest end, which takes it a moment; or what waits is forgotten.
    fn end_run(&mut self, device: usize, attempt: &AttemptRef, reason: &str) {
        let (life, key) = (self.devices[device].life, key(attempt));
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        if process.waits.remove(&key).is_some() {
            return;
        }
        if let Some(run) = process.runs.get_mut(&key).filter(|run| !run.is_ending) {
            run.is_ending = true;
            run.outcome = failure(reason);
            let delay = self.millis(1..500);
            self.after(delay, What::RunEnds(device, life, key));
        }
    }

    pub fn run_ends(&mut self, device: usize, life: u32, key: &Key) {
        if let Some(until) = self.frozen_until(Actor::Device(device)) {
            return self.at(until, What::RunEnds(device, life, key.clone()));
        }
        let machine = &mut self.devices[device];
        let Some(process) = machine.process.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        let Some(Run { start, outcome, .. }) = process.runs.remove(key) else {
            return;
        };
        if matches!(outcome, Outcome::Completed { .. }) {
            self.promises.produced(&key.0, &outcome);
        }
        self.ask(device, Request::Event(Event::Ended(start.attempt, outcome)));
    }

    fn report(&mut self, device: usize, holding: Holding, stage: Stage) {
        let machine = &mut self.devices[device];
        let (proplet, journal) = (machine.proplet, machine.disk.journal.clone());
        let Some(process) = &mut machine.process else { return };
        let Holding {
            attempt, controller, ..
        } = holding;
        let report = Report {
            sender: process.sender(&journal),
            controller,
            attempt,
            stage,
        };
        let message = Message::Report(Box::new(report));
        self.note(|| format!("device {device} says {}", crate::network::words(&message)));
        self.say(Actor::Device(device), proplet, message, None);
    }

    fn heartbeat(&mut self, device: usize, inventory: Inventory) {
        let is_connected = self.connection(Actor::Device(device)).is_some();
        let now = self.devices[device].clock.uptime(self.now);
        let machine = &mut self.devices[device];
        let (proplet, journal) = (machine.proplet, machine.disk.journal.clone());
        let Some(process) = &mut machine.process else { return };
        process.needs_lease = inventory.needs_lease;
        process.beaten = now;
        if !is_connected {
            return;
        }
        let alive = process.alive(&journal, inventory);
        process.lease.sent(process.sequence, now);
        self.say(Actor::Device(device), proplet, Message::Alive(Box::new(alive)), None);
    }

    fn want_lease(&mut self, device: usize, start: &Start) {
        if start.needs_lease()
            && let Some(process) = &mut self.devices[device].process
        {
            process.needs_lease = true;
            self.ask(device, Request::Inventory);
        }
    }

    pub fn echoed(&mut self, device: usize, lease: Lease) {
        let machine = &mut self.devices[device];
        if let Some(process) = machine
            .process
            .as_mut()
            .filter(|_| lease.journal == machine.disk.journal)
        {
            process.lease.echoed(&lease.controller, lease.sequence);
        }
        self.ask(device, Request::Event(Event::Echo(lease)));
        self.look_at_lease(device);
    }

    fn look_at_lease(&mut self, device: usize) {
        let now = self.devices[device].clock.uptime(self.now);
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        let leased = process.lease.holders(now);
        let changed = process.leased != leased;
        process.leased.clone_from(&leased);
        let must_beat = process.needs_lease && now.saturating_sub(process.beaten) >= LEASE / 3;
        if changed {
            self.ask(device, Request::Leased(leased));
        }
        if must_beat {
            self.ask(device, Request::Inventory);
        }
    }

    pub fn device_tick(&mut self, device: usize, life: u32) {
        if let Some(until) = self.frozen_until(Actor::Device(device)) {
            return self.at(until, What::DeviceTick(device, life));
        }
        let machine = &mut self.devices[device];
        if machine.life != life || machine.process.is_none() {
            return;
        }
        if self.rng.u8(..50) == 0 {
            machine.saved = machine.disk.clone();
        }
        self.look_at_lease(device);
        let now = self.devices[device].clock.uptime(self.now);
        let Some(process) = &mut self.devices[device].process else {
            return;
        };
        let fast = !process.leased.is_empty() || process.needs_lease;
        let must_beat = now.saturating_sub(process.beaten) >= HEARTBEAT;
        if must_beat {
            process.beaten = now;
            self.ask(device, Request::Inventory);
        }
        if self.rng.u8(..30) == 0 {
            self.ask(device, Request::Event(Event::Repeat));
        }
        self.after(if fast { LOOK } else { TICK }, What::DeviceTick(device, life));
    }
}

fn key(attempt: &AttemptRef) -> Key {
    (attempt.task.uid.clone(), attempt.attempt)
}

fn failure(reason: &str) -> Outcome {
    Outcome::Failed {
        failure: Failure {
            reason: reason.to_owned(),
            message: "as the world wants it".to_owned(),
            error: None,
        },
        usage: Usage::default(),
    }
}
