//! What the loop says: to the broker, to the log, and to whoever counts.

use propeller_bus::Qos;
use propeller_delivery::ledger::Holding;
use propeller_protocol::{HeldState, Outcome, Stage, Start};

use super::{Proplet, keeper::Inventory, logs::Batch, machine, run::Parts};

impl Proplet {
    pub(super) fn note_accept(&self, start: &Start, what: &str) {
        let (task, attempt, component) = (&start.attempt.task, start.attempt.attempt, &start.component);
        tracing::info!(%task, attempt, %component, work = %start.work, "{what}");
        self.parts.metrics.accepted();
    }

    pub(super) fn note_end(&self, holding: &Holding, outcome: &Outcome) {
        let (task, attempt) = (&holding.attempt.task, holding.attempt.attempt);
        match outcome {
            Outcome::Completed { usage, .. } => {
                tracing::info!(%task, attempt, millis = usage.wall_millis, "completed");
            }
            Outcome::Failed { failure, usage } => {
                let (reason, detail) = (&failure.reason, &failure.message);
                tracing::info!(%task, attempt, millis = usage.wall_millis, reason, detail, "failed");
            }
        }
        self.parts.metrics.ended(outcome);
    }

    /// While the broker is away, and when the outbox is full, what will be told again anyway is not queued: however long that lasts, the
    /// outbox holds each outcome once.
    pub(super) fn report(&mut self, holding: Holding, stage: Stage) {
        match &stage {
            Stage::Rejected { rejection, .. } => {
                let (task, attempt, reason) = (&holding.attempt.task, holding.attempt.attempt, rejection.reason);
                tracing::info!(%task, attempt, ?reason, detail = rejection.message, "rejected");
                self.parts.metrics.rejected(reason);
            }
            Stage::Finished {
                outcome: Outcome::Completed { .. },
            } => self.parts.gate.completed(&holding.attempt),
            _ => {}
        }
        if !self.connected && !matches!(stage, Stage::Rejected { .. }) {
            return;
        }
        let report = self.parts.voice.report(holding, stage);
        if self.parts.publisher.try_publish(report) != Ok(true) {
            tracing::debug!("the outbox is full, a report will be told again later");
        }
    }

    pub(super) fn tell_presence(&mut self, inventory: Inventory) {
        let qos = self.asked.pop_front().unwrap_or(Qos::AtMostOnce);
        self.durable = inventory.durable;
        let (running, queued) = (inventory.count(HeldState::Running), inventory.count(HeldState::Queued));
        self.parts.metrics.held(running, queued);
        if let Some(ending) = &mut self.ending {
            // One that was asked for before the signal says nothing about starts that were accepted since.
            ending.idle = inventory.draining && inventory.is_idle();
        }
        self.needs_lease = inventory.needs_lease;
        if !self.connected {
            return;
        }
        let sent = machine::uptime();
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
        self.lease.sent(self.parts.voice.sequence(), sent);
        self.beaten = sent;
        if !told {
            tracing::debug!("presence was not told: the connection is far behind");
        }
    }

    pub(super) fn tell_figures(&mut self) {
        let figures = self.parts.metrics.by_name();
        // Figures that are late are of no use to anybody.
        let _ = self.parts.publisher.offer(self.parts.voice.metrics(figures));
    }

    /// Lines go as they come or not at all: the outbox is for results.
    pub(super) fn tell_lines(&mut self, batch: Batch) {
        let lines = batch.lines.len();
        let told = self.parts.publisher.offer(self.parts.voice.logs(batch));
        self.parts.metrics.lines(lines, told);
    }
}
