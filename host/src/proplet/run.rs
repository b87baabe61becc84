//! The loop: one event after the other, none of which waits for anything.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use propeller_bus::{self as bus, Events, Publisher, Qos};
use propeller_delivery::{
    lease::LeaseClock,
    ledger::{self, Action},
};
use propeller_protocol::{ControllerId, LEASE, Stage, Start};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{
    ending::Ending,
    event::Event,
    gate::Gate,
    inbound::{Heard, Inbound},
    keeper::{Answer, Keeper, Request},
    logs::Batch,
    machine,
    metrics::Metrics,
    supervisor::{News, Supervisor},
    vitals::{Pulse, Question},
    voice::{Profile, Voice},
    withheld::Withheld,
};

/// What the control plane didn't acknowledge is told again this often.
const REPEAT: Duration = Duration::from_secs(30);
/// Between two messages of figures.
const METRICS: Duration = Duration::from_secs(60);
/// Between two looks at whether the lease is over. A timer wouldn't do: it doesn't run while the machine is suspended.
const LOOK: Duration = Duration::from_millis(250);
/// Requests to the keeper that wait for their answer. While there are more, the broker keeps its messages.
const UNANSWERED: usize = 1024;

/// A running proplet.
pub struct Proplet {
    pub(super) parts: Parts,
    pub(super) connected: bool,
    /// Whether the journal could be written the last time.
    pub(super) durable: bool,
    /// With which quality the inventories that the keeper was asked for are to be told.
    pub(super) asked: VecDeque<Qos>,
    pub(super) ending: Option<Ending>,
    /// Which control planes hear us, for what runs only then.
    pub(super) lease: LeaseClock,
    /// What the keeper was told of that.
    leased: BTreeSet<ControllerId>,
    /// Whether anything that is held runs only with a lease.
    pub(super) needs_lease: bool,
    /// When the newest heartbeat was sent, by the clock of leases.
    pub(super) beaten: Duration,
    /// What was accepted a moment ago, and isn't told yet.
    withheld: Withheld,
    heartbeat: Interval,
    look: Interval,
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
    pub(super) gate: Gate,
    pub(super) voice: Voice,
    pub(super) profile: Profile,
    pub(super) drain: Duration,
    pub(super) metrics: Metrics,
    /// What tasks write.
    pub(super) lines: mpsc::Receiver<Batch>,
    /// From whoever wants to know how the proplet is.
    pub(super) questions: mpsc::Receiver<Question>,
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
            connected: false,
            durable: true,
            asked: VecDeque::new(),
            ending: None,
            lease: LeaseClock::default(),
            leased: BTreeSet::new(),
            needs_lease: false,
            beaten: Duration::ZERO,
            withheld: Withheld::default(),
            look: every(LOOK),
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
            gate,
            lines,
            questions,
            ..
        } = &mut self.parts;
        let has_room = keeper.unanswered() < UNANSWERED;
        let deadline = self.ending.as_ref().map(|ending| ending.deadline);
        tokio::select! {
            event = events.next(), if has_room => event.map_or(Event::Broken("the MQTT session ended"), Event::Bus),
            answer = keeper.answer() => answer.map_or(Event::Broken("the journal's thread died"), Event::Answer),
            Some(event) = gate.checked() => Event::Checked(event),
            news = supervisor.news() => Event::News(news),
            Some(batch) = lines.recv() => Event::Lines(batch),
            Some(question) = questions.recv() => Event::Question(question),
            _ = self.heartbeat.tick() => Event::Heartbeat,
            _ = self.look.tick(), if !self.leased.is_empty() || self.needs_lease => Event::Look,
            _ = self.repeat.tick() => Event::Repeat,
            _ = self.metrics.tick() => Event::Metrics,
            Some(()) = signals.recv() => Event::Signal,
            () = until(self.withheld.due()) => Event::TellAccepts,
            () = until(deadline) => Event::TimeUp,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Bus(event) => self.bus(event),
            Event::Answer(Answer::Actions(actions)) => actions.into_iter().for_each(|action| self.act(action)),
            Event::Answer(Answer::Inventory(inventory)) => self.tell_presence(inventory),
            Event::Checked(event) => self.ask(event),
            Event::News(news) => self.news(news),
            Event::Lines(batch) => self.tell_lines(batch),
            Event::Question(question) => self.answer(question),
            Event::Heartbeat => self.ask_inventory(Qos::AtMostOnce),
            Event::Look => self.look_at_lease(),
            Event::Repeat => self.repeat(),
            Event::Metrics => self.tell_figures(),
            Event::Signal => self.drain(),
            Event::TellAccepts => self.tell_accepts(),
            Event::TimeUp => self.time_up(),
            Event::Broken(_) => {}
        }
    }

    fn bus(&mut self, event: bus::Event) {
        match event {
            bus::Event::Connected { .. } => {
                self.connected = true;
                self.parts.metrics.connected(true);
                // The first presence must arrive: a control plane that is new, or lost its state, starts nothing before it.
                self.ask_inventory(Qos::AtLeastOnce);
                self.ask(ledger::Event::Repeat);
                self.tell_figures();
                self.heartbeat.reset();
                self.repeat.reset();
            }
            bus::Event::Disconnected { .. } | bus::Event::TakenOver => {
                self.connected = false;
                self.parts.metrics.connected(false);
            }
            // The session tells the log, and goes on trying. An outcome that wasn't taken is told again.
            bus::Event::Refused { what, code, .. } => self.parts.metrics.broker_refused(what.label(), &code),
            bus::Event::Message { topic, payload, .. } => {
                let heard = self.parts.inbound.read(&topic, &payload);
                self.heard(heard);
            }
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Event(ledger::Event::Start(start)) => {
                if let Some(event) = self.parts.gate.pass(start) {
                    self.ask(event);
                }
            }
            Heard::Event(ledger::Event::Ack(ack)) => {
                if ack.journal == *self.parts.keeper.journal() {
                    self.parts.gate.acknowledged(&ack);
                }
                self.ask(ledger::Event::Ack(ack));
            }
            Heard::Event(ledger::Event::Echo(lease)) => {
                if lease.journal == *self.parts.keeper.journal() {
                    self.lease.echoed(&lease.controller, lease.sequence);
                }
                // First the time, by which a start that waited may be too old.
                self.ask(ledger::Event::Echo(lease));
                self.look_at_lease();
            }
            Heard::Event(ledger::Event::Stop(stop)) => {
                if stop.journal == *self.parts.keeper.journal() {
                    self.parts.supervisor.stop(&stop.controller, &stop.attempt);
                }
                self.ask(ledger::Event::Stop(stop));
            }
            Heard::Event(event) => self.ask(event),
            Heard::Malformed(holding, rejection) => {
                self.parts.metrics.undecodable();
                self.report(
                    holding,
                    Stage::Rejected {
                        rejection,
                        newest: None,
                    },
                );
            }
            Heard::Undecodable => self.parts.metrics.undecodable(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run(start) => {
                self.note_accept(&start, "accepted");
                self.want_lease(&start);
                self.parts.supervisor.run(start);
                self.revoke_late();
            }
            Action::Wait(start) => {
                self.note_accept(&start, "accepted, and waits for room or a lease");
                self.want_lease(&start);
                self.parts.supervisor.wait(start);
            }
            Action::Proceed(attempt) => {
                self.parts.supervisor.proceed(&attempt);
                self.revoke_late();
            }
            Action::Cancel(attempt) => self.parts.supervisor.cancel(&attempt),
            Action::Revoke(attempt) => self.parts.supervisor.revoke(&attempt),
            Action::Ended(holding, outcome) => {
                self.note_end(&holding, &outcome);
                self.withheld.forget(&holding.attempt);
                self.report(holding, Stage::Finished { outcome });
            }
            Action::Report(holding, Stage::Accepted) => self.withheld.hold(holding, Instant::now()),
            Action::Report(holding, stage) => self.report(holding, stage),
        }
    }

    fn tell_accepts(&mut self) {
        while let Some(holding) = self.withheld.take_due(Instant::now()) {
            self.report(holding, Stage::Accepted);
        }
    }

    fn news(&mut self, news: News) {
        match news {
            News::Started(attempt, started) => self.ask(ledger::Event::Started(attempt, started)),
            News::Overdue(attempt, outcome) => self.ask(ledger::Event::Overdue(attempt, outcome)),
            News::Ended(attempt, outcome) => self.ask(ledger::Event::Ended(attempt, outcome)),
        }
        if self.ending.is_some() {
            self.ask_inventory(Qos::AtMostOnce);
        }
    }

    /// Tells the ledger when the lease begins or is over, and sees to its being extended in time.
    fn look_at_lease(&mut self) {
        let now = machine::uptime();
        let leased = self.lease.holders(now);
        if self.leased != leased {
            self.leased.clone_from(&leased);
            self.parts.keeper.ask(Request::Leased(leased));
            self.revoke_late();
        }
        if self.needs_lease && now.saturating_sub(self.beaten) >= LEASE / 3 {
            self.beaten = now;
            self.ask_inventory(Qos::AtMostOnce);
        }
    }

    /// What was decided with a lease may be done without one: the machine may have been suspended in between.
    fn revoke_late(&mut self) {
        self.parts
            .supervisor
            .revoke_all_but(&self.lease.holders(machine::uptime()));
    }

    /// What runs only with a lease waits for an echo, so it's asked for at once.
    fn want_lease(&mut self, start: &Start) {
        if start.needs_lease() {
            self.needs_lease = true;
            self.ask_inventory(Qos::AtMostOnce);
        }
    }

    fn repeat(&mut self) {
        if self.connected && self.parts.publisher.is_empty() {
            self.ask(ledger::Event::Repeat);
        }
    }

    fn ask(&mut self, event: ledger::Event) {
        self.parts.keeper.ask(Request::Event(event));
    }

    pub(super) fn ask_inventory(&mut self, qos: Qos) {
        self.asked.push_back(qos);
        self.parts.keeper.ask(Request::Inventory);
    }

    fn answer(&self, question: Question) {
        let pulse = Pulse {
            connected: self.connected,
            durable: self.durable,
            draining: self.ending.is_some(),
        };
        // Who asked may have gone.
        let _ = question.send(pulse);
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
