//! The loop: one event after the other, none of which waits for anything.

use std::{collections::VecDeque, time::Duration};

use propeller_bus::{self as bus, Events, Publisher, Qos};
use propeller_delivery::{
    self as delivery,
    ledger::{Action, Holding},
};
use propeller_protocol::{AttemptRef, Outcome, Stage};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{
    ending::Ending,
    event::Event,
    figures::Figures,
    inbound::{Heard, Inbound},
    keeper::{Answer, Inventory, Keeper, Request},
    supervisor::Supervisor,
    voice::{Profile, Voice},
};

/// What the control plane didn't acknowledge is told again this often.
const REPEAT: Duration = Duration::from_secs(30);
/// Between two messages of figures.
const METRICS: Duration = Duration::from_secs(60);
/// Requests to the keeper that wait for their answer. While there are more, the broker keeps its messages.
const UNANSWERED: usize = 1024;

/// A running proplet.
pub struct Proplet {
    pub(super) parts: Parts,
    figures: Figures,
    pub(super) connected: bool,
    /// With which quality the inventories that the keeper was asked for are to be told.
    asked: VecDeque<Qos>,
    pub(super) ending: Option<Ending>,
    heartbeat: Interval,
    repeat: Interval,
    metrics: Interval,
}

/// What a proplet is put together from.
pub(super) struct Parts {
    pub(super) publisher: Publisher,
    pub(super) events: Events,
    pub(super) keeper: Keeper,
    pub(super) supervisor: Supervisor,
    pub(super) inbound: Inbound,
    pub(super) voice: Voice,
    pub(super) profile: Profile,
    pub(super) drain: Duration,
}

/// How a proplet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// In order: what ran has ended and was told.
    Drained,
    /// At once, on a second signal. The journal knows what ran.
    Forced,
}

/// A part without which nothing goes on has died. It is a defect of the proplet.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(&'static str);

impl Proplet {
    /// Must be called inside a Tokio runtime.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            heartbeat: every(parts.profile.heartbeat),
            parts,
            figures: Figures::new(),
            connected: false,
            asked: VecDeque::new(),
            ending: None,
            repeat: every(REPEAT),
            metrics: every(METRICS),
        }
    }

    /// Goes on until a signal comes, and then until what runs has ended. A second signal ends it at once.
    pub async fn run(mut self, mut signals: mpsc::Receiver<()>) -> Result<Ended, Broken> {
        loop {
            match self.next(&mut signals).await {
                Event::Signal if self.ending.is_some() => return Ok(Ended::Forced),
                Event::Broken(part) => return Err(Broken(part)),
                event => self.handle(event),
            }
            if self.ending.as_ref().is_some_and(|ending| ending.idle) {
                self.say_goodbye().await;
                return Ok(Ended::Drained);
            }
        }
    }

    async fn next(&mut self, signals: &mut mpsc::Receiver<()>) -> Event {
        let Parts {
            events,
            keeper,
            supervisor,
            ..
        } = &mut self.parts;
        let has_room = keeper.unanswered() < UNANSWERED;
        let deadline = self.ending.as_ref().map(|ending| ending.deadline);
        tokio::select! {
            event = events.next(), if has_room => event.map_or(Event::Broken("the MQTT session ended"), Event::Bus),
            answer = keeper.answer() => answer.map_or(Event::Broken("the journal's thread died"), Event::Answer),
            Some((attempt, outcome)) = supervisor.ended() => Event::Ended(attempt, outcome),
            _ = self.heartbeat.tick() => Event::Heartbeat,
            _ = self.repeat.tick() => Event::Repeat,
            _ = self.metrics.tick() => Event::Metrics,
            Some(()) = signals.recv() => Event::Signal,
            () = until(deadline) => Event::TimeUp,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Bus(event) => self.bus(event),
            Event::Answer(Answer::Actions(actions)) => actions.into_iter().for_each(|action| self.act(action)),
            Event::Answer(Answer::Inventory(inventory)) => self.tell_presence(inventory),
            Event::Ended(attempt, outcome) => self.ended(attempt, outcome),
            Event::Heartbeat => self.ask_inventory(Qos::AtMostOnce),
            Event::Repeat => self.repeat(),
            Event::Metrics => self.tell_figures(),
            Event::Signal => self.drain(),
            Event::TimeUp => self.time_up(),
            Event::Broken(_) => {}
        }
    }

    fn bus(&mut self, event: bus::Event) {
        match event {
            bus::Event::Connected { .. } => {
                self.connected = true;
                // The first presence must arrive: a control plane that is new, or lost its state, starts nothing before it.
                self.ask_inventory(Qos::AtLeastOnce);
                self.ask(delivery::ledger::Event::Repeat);
                self.tell_figures();
                self.heartbeat.reset();
                self.repeat.reset();
            }
            bus::Event::Disconnected { .. } | bus::Event::TakenOver => self.connected = false,
            // The session tells the log, and goes on trying.
            bus::Event::Refused { .. } => {}
            bus::Event::Message { topic, payload, .. } => match self.parts.inbound.read(&topic, &payload) {
                Heard::Event(event) => self.ask(event),
                Heard::Malformed(holding, rejection) => self.report(holding, Stage::Rejected { rejection }),
                Heard::Undecodable => {}
            },
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run(start) => {
                let (task, attempt, component) = (&start.attempt.task, start.attempt.attempt, &start.component);
                tracing::info!(%task, attempt, %component, work = %start.work, "accepted");
                self.figures.accepted();
                self.parts.supervisor.run(*start);
            }
            Action::Cancel(attempt) => self.parts.supervisor.cancel(&attempt),
            Action::Report(holding, stage) => self.report(holding, stage),
        }
    }

    fn ended(&mut self, attempt: AttemptRef, outcome: Outcome) {
        let (task, number) = (&attempt.task, attempt.attempt);
        match &outcome {
            Outcome::Completed { usage, .. } => {
                tracing::info!(%task, attempt = number, millis = usage.wall_millis, "completed");
            }
            Outcome::Failed { failure, usage } => {
                let (reason, detail) = (&failure.reason, &failure.message);
                tracing::info!(%task, attempt = number, millis = usage.wall_millis, reason, detail, "failed");
            }
        }
        self.figures.ended(&outcome);
        self.ask(delivery::ledger::Event::Ended(attempt, outcome));
        if self.ending.is_some() {
            self.ask_inventory(Qos::AtMostOnce);
        }
    }

    /// While the broker is away, and when the outbox is full, what will be told again anyway is not queued: however long that lasts, the
    /// outbox holds each outcome once.
    fn report(&mut self, holding: Holding, stage: Stage) {
        match &stage {
            Stage::Rejected { rejection } => {
                let (task, attempt, reason) = (&holding.attempt.task, holding.attempt.attempt, rejection.reason);
                tracing::info!(%task, attempt, ?reason, detail = rejection.message, "rejected");
                self.figures.rejected();
            }
            _ if !self.connected => return,
            _ => {}
        }
        let report = self.parts.voice.report(holding, stage);
        if self.parts.publisher.try_publish(report) != Ok(true) {
            tracing::debug!("the outbox is full, a report will be told again later");
        }
    }

    fn repeat(&mut self) {
        if self.connected && self.parts.publisher.is_empty() {
            self.ask(delivery::ledger::Event::Repeat);
        }
    }

    fn ask(&mut self, event: delivery::ledger::Event) {
        self.parts.keeper.ask(Request::Event(event));
    }

    pub(super) fn ask_inventory(&mut self, qos: Qos) {
        self.asked.push_back(qos);
        self.parts.keeper.ask(Request::Inventory);
    }

    fn tell_presence(&mut self, inventory: Inventory) {
        let qos = self.asked.pop_front().unwrap_or(Qos::AtMostOnce);
        if let Some(ending) = &mut self.ending {
            // One that was asked for before the signal says nothing about starts that were accepted since.
            ending.idle = inventory.draining && inventory.is_idle();
        }
        if !self.connected {
            return;
        }
        let Parts {
            publisher,
            voice,
            profile,
            inbound,
            ..
        } = &mut self.parts;
        let alive = voice.alive(profile, inventory, inbound.undecodable(), qos);
        let told = match qos {
            Qos::AtLeastOnce => publisher.try_publish(alive) == Ok(true),
            Qos::AtMostOnce => publisher.offer(alive),
        };
        if !told {
            tracing::debug!("presence was not told: the connection is far behind");
        }
    }

    fn tell_figures(&mut self) {
        let Parts {
            publisher,
            voice,
            inbound,
            supervisor,
            ..
        } = &mut self.parts;
        let figures = self.figures.by_name(supervisor.running(), inbound.undecodable());
        // Figures that are late are of no use to anybody.
        let _ = publisher.offer(voice.metrics(figures));
    }
}

/// The first tick comes after a whole period: everything is told on connect.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval.reset();
    interval
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
