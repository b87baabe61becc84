//! Connections, and messages on their way through the broker.

use std::time::Duration;

use propeller_api::Task;
use propeller_delivery::{
    brain::{Bus, Event, Outgoing},
    desk::Request,
    ledger,
};
use propeller_protocol::{Alive, AttemptRef, Presence};

use crate::{
    Sabotage,
    broker::{Client, Message, Waiting},
    world::{Actor, Connection, Sent, What, World, name},
};

impl World {
    pub fn client(&self, actor: Actor) -> Client {
        match actor {
            Actor::Device(device) => Client::Proplet(self.devices[device].proplet),
            Actor::Replica(replica) => Client::Plane(self.replicas[replica].plane),
        }
    }

    pub fn life(&self, actor: Actor) -> u32 {
        match actor {
            Actor::Device(device) => self.devices[device].life,
            Actor::Replica(replica) => self.replicas[replica].life,
        }
    }

    /// Whether this actor has the connection of its client id.
    pub fn connection(&self, actor: Actor) -> Option<u64> {
        let connection = self.connections.get(&self.client(actor))?;
        (connection.actor == actor).then_some(connection.number)
    }

    pub fn connect_soon(&mut self, actor: Actor) {
        let (delay, life) = (self.millis(200..3_000), self.life(actor));
        self.after(delay, What::Connect(actor, life));
    }

    pub fn connect(&mut self, actor: Actor, life: u32) {
        if self.life(actor) != life || !self.wants_connection(actor) || self.connection(actor).is_some() {
            return;
        }
        let isolated = matches!(actor, Actor::Device(device) if self.isolated.contains(&device));
        if isolated || !self.broker.is_up || self.is_frozen(actor) {
            return self.connect_soon(actor);
        }
        let client = self.client(actor);
        self.disconnect(client);
        let number = self.number();
        self.connections.insert(client, Connection { number, actor });
        self.broker.state.sessions.entry(client).or_default();
        self.note(|| format!("{actor:?} connects"));
        self.connected(actor, client, number);
        for sent in self.unacknowledged.remove(&actor).unwrap_or_default() {
            self.transmit(actor, number, sent);
        }
        let waiting = self
            .broker
            .state
            .sessions
            .get(&client)
            .map(|session| session.waiting.clone());
        for waiting in waiting.unwrap_or_default() {
            self.deliver(client, number, waiting, false);
        }
    }

    fn wants_connection(&self, actor: Actor) -> bool {
        match actor {
            Actor::Device(device) => self.devices[device].exists && self.devices[device].process.is_some(),
            Actor::Replica(replica) => {
                let brain = self.replicas[replica].brain.as_ref();
                brain.is_some_and(propeller_delivery::brain::Brain::is_in_sync)
            }
        }
    }

    fn connected(&mut self, actor: Actor, client: Client, number: u64) {
        match actor {
            Actor::Device(device) => {
                self.ask(device, Request::Inventory);
                self.ask(device, Request::Event(ledger::Event::Repeat));
            }
            Actor::Replica(replica) => {
                self.feed(replica, Event::Bus(Bus::Connected));
                for (proplet, alive) in self.retained() {
                    let waiting = self.broker.keep(client, proplet, Message::Alive(Box::new(alive)), None);
                    self.deliver(client, number, waiting, true);
                }
            }
        }
    }

    /// The connection of that client id ends, if there is one.
    pub fn disconnect(&mut self, client: Client) {
        let Some(Connection { actor, .. }) = self.connections.remove(&client) else {
            return;
        };
        self.note(|| format!("{actor:?} is disconnected"));
        match actor {
            Actor::Device(device) => self.last_will(device),
            Actor::Replica(replica) => {
                self.feed(replica, Event::Bus(Bus::Disconnected));
                self.replicas[replica].must_confirm = true;
            }
        }
        self.connect_soon(actor);
    }

    fn last_will(&mut self, device: usize) {
        let Device { proplet, will } = self.will(device);
        if let Some(will) = will {
            self.broker.state.retained.insert(proplet, will.clone());
            self.for_planes(proplet, Message::Alive(Box::new(will)));
        }
    }

    fn will(&self, device: usize) -> Device {
        let device = &self.devices[device];
        let (proplet, journal) = (device.proplet, &device.disk.journal);
        let will = device.process.as_ref().map(|process| process.will(journal));
        Device { proplet, will }
    }

    /// Says something, if there is a connection. What is delivered at least once is said again until the broker has it.
    pub fn say(&mut self, actor: Actor, proplet: usize, message: Message, expires: Option<Duration>) {
        let Some(number) = self.connection(actor) else { return };
        let retain = matches!(message, Message::Alive(_));
        let expires = expires.map(|after| self.now + after);
        let id = self.number();
        let sent = Sent {
            id,
            proplet,
            message,
            expires,
            retain,
        };
        self.transmit(actor, number, sent);
    }

    fn transmit(&mut self, actor: Actor, number: u64, sent: Sent) {
        let (loss, repeats) = (self.climate.loss, self.climate.repeats);
        if sent.message.is_kept() {
            self.unacknowledged.entry(actor).or_default().push(sent.clone());
        } else if self.chance(loss) {
            return;
        }
        for _ in 0..=u8::from(self.chance(repeats)) {
            let way = self.way(actor, true);
            self.after(way, What::AtBroker(actor, number, sent.clone()));
        }
    }

    pub fn at_broker(&mut self, actor: Actor, number: u64, sent: Sent) {
        if self.connection(actor) != Some(number) {
            return;
        }
        let repeats = self.climate.repeats;
        // An acknowledgement that gets lost with its connection makes the client say it again.
        if !self.chance(repeats)
            && let Some(unacknowledged) = self.unacknowledged.get_mut(&actor)
        {
            unacknowledged.retain(|waiting| waiting.id != sent.id);
        }
        let Sent {
            proplet,
            message,
            expires,
            retain,
            ..
        } = sent;
        if let Message::Alive(alive) = &message
            && retain
        {
            self.broker.state.retained.insert(proplet, Alive::clone(alive));
        }
        match message {
            Message::Alive(_) | Message::Report(_) => self.for_planes(proplet, message),
            message => self.publish(Client::Proplet(proplet), proplet, message, expires),
        }
    }

    fn for_planes(&mut self, proplet: usize, message: Message) {
        for plane in 0..self.planes.len() {
            self.publish(Client::Plane(plane), proplet, message.clone(), None);
        }
    }

    fn publish(&mut self, client: Client, proplet: usize, message: Message, expires: Option<Duration>) {
        if !self.broker.state.sessions.contains_key(&client) {
            return;
        }
        let waiting = self.broker.keep(client, proplet, message, expires);
        if let Some(connection) = self.connections.get(&client).copied() {
            self.deliver(client, connection.number, waiting, false);
        }
    }

    fn deliver(&mut self, client: Client, number: u64, waiting: Waiting, retained: bool) {
        let (loss, repeats) = (self.climate.loss, self.climate.repeats);
        if !waiting.message.is_kept() && !retained && self.chance(loss) {
            return;
        }
        let Some(actor) = self.connections.get(&client).map(|connection| connection.actor) else {
            return;
        };
        for _ in 0..=u8::from(self.chance(repeats)) {
            let way = self.way(actor, false);
            self.after(way, What::AtClient(client, number, waiting.clone(), retained));
        }
    }

    pub fn at_client(&mut self, client: Client, number: u64, waiting: Waiting, retained: bool) {
        let Some(connection) = self
            .connections
            .get(&client)
            .copied()
            .filter(|now| now.number == number)
        else {
            return;
        };
        if let Some(until) = self.frozen_until(connection.actor) {
            return self.at(until, What::AtClient(client, number, waiting, retained));
        }
        let has_expired = waiting
            .expires
            .is_some_and(|expires| self.climate.expires && expires < self.now);
        let repeats = self.climate.repeats;
        if has_expired || !self.chance(repeats) {
            self.broker.delivered(client, waiting.id);
        }
        if has_expired {
            return;
        }
        match connection.actor {
            Actor::Device(device) => self.device_hears(device, waiting.message),
            Actor::Replica(replica) => {
                if self.sabotage == Some(Sabotage::HideForgotten) && self.is_of_forgotten(replica, &waiting.message) {
                    return;
                }
                let proplet = name(waiting.proplet).parse().expect("a proplet id");
                let bus = match waiting.message {
                    Message::Alive(alive) => Bus::Alive {
                        proplet,
                        alive,
                        retained,
                    },
                    Message::Report(report) => Bus::Report { proplet, report },
                    _ => return,
                };
                self.feed(replica, Event::Bus(bus));
            }
        }
    }

    /// Whether it is about an attempt of a task that is there, and is later than any that the store knows of.
    fn is_of_forgotten(&self, replica: usize, message: &Message) -> bool {
        let store = &self.planes[self.replicas[replica].plane].store;
        let is_forgotten = |attempt: &AttemptRef| {
            let task = store.by_uid(&attempt.task.uid);
            let newest = |task: &Task| task.status.as_ref().map_or(0, |status| status.attempt);
            task.is_some_and(|task| newest(task) < attempt.attempt)
        };
        match message {
            Message::Report(report) => is_forgotten(&report.attempt),
            Message::Alive(alive) => match &alive.presence {
                Presence::Alive { inventory, .. } => inventory.iter().any(|held| is_forgotten(&held.attempt)),
                Presence::Offline => false,
            },
            _ => false,
        }
    }

    fn device_hears(&mut self, device: usize, message: Message) {
        let event = match message {
            Message::Start(start) => ledger::Event::Start(start),
            Message::Stop(stop) => ledger::Event::Stop(stop),
            Message::Ack(ack) => ledger::Event::Ack(ack),
            Message::Lease(lease) => return self.echoed(device, lease),
            Message::Alive(_) | Message::Report(_) => return,
        };
        self.ask(device, Request::Event(event));
    }

    /// What the brain says goes to a proplet.
    pub fn outgoing(&mut self, replica: usize, outgoing: Outgoing) {
        let (id, message, expires) = match outgoing {
            Outgoing::Start(id, start) => {
                let window = Duration::from_secs(start.window_seconds.into());
                (id, Message::Start(start), Some(window))
            }
            Outgoing::Stop(id, stop) => (id, Message::Stop(stop), None),
            Outgoing::Ack(id, ack) => (id, Message::Ack(ack), None),
            Outgoing::Lease(id, lease) => (id, Message::Lease(lease), None),
        };
        let Some(proplet) = (0..self.climate.proplets).find(|proplet| name(*proplet) == id.as_str()) else {
            return;
        };
        self.note(|| format!("replica {replica} says to {id}: {}", words(&message)));
        self.say(Actor::Replica(replica), proplet, message, expires);
    }
}

struct Device {
    proplet: usize,
    will: Option<Alive>,
}

/// A message in a few words.
pub fn words(message: &Message) -> String {
    match message {
        Message::Start(start) => format!("start {}#{}", start.attempt.task.uid, start.attempt.attempt),
        Message::Stop(stop) => format!("stop {}#{}", stop.attempt.task.uid, stop.attempt.attempt),
        Message::Ack(ack) => format!("ack {}#{} {:?}", ack.attempt.task.uid, ack.attempt.attempt, ack.verdict),
        Message::Lease(lease) => format!("echo {}", lease.sequence),
        Message::Alive(alive) => match &alive.presence {
            Presence::Alive { inventory, .. } => format!("alive with {} held", inventory.len()),
            Presence::Offline => "offline".to_owned(),
        },
        Message::Report(report) => format!(
            "{}#{} {}",
            report.attempt.task.uid,
            report.attempt.attempt,
            serde_json::to_string(&report.stage).unwrap_or_default()
        ),
    }
}
