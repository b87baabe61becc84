//! What the proplet says: each message numbered, encoded and handed to the bus.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use propeller_api::{Capacity, HostInfo, Labels, PropletId};
use propeller_bus::{Publication, Qos};
use propeller_delivery::ledger::Holding;
use propeller_protocol::{
    Alive, Base, Boot, Channel, JournalId, Logs, Message, Metrics, Presence, Report, Sender, Stage, encode, requires,
};

use super::{keeper::Inventory, logs::Batch};

/// Who speaks, and how far its count is.
#[derive(Debug)]
pub struct Voice {
    base: Base,
    id: PropletId,
    journal: JournalId,
    boot: Boot,
    sequence: u64,
}

/// What presence says, besides what is held.
#[derive(Debug)]
pub struct Profile {
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// What the proplet takes.
    pub capacity: Capacity,
    /// What it says of its machine.
    pub host: HostInfo,
    /// For the Proplet resource that may be made for it.
    pub labels: Labels,
    /// Largest packet that it takes.
    pub max_packet_bytes: u32,
}

impl Voice {
    /// The first message will have the number 1.
    pub fn new(base: Base, id: PropletId, journal: JournalId, boot: Boot) -> Self {
        Self {
            base,
            id,
            journal,
            boot,
            sequence: 0,
        }
    }

    /// What the broker says for us if we are cut off. It is written before all other messages of this boot, so its number is 0.
    pub fn will(&self) -> Publication {
        let sender = Sender {
            journal: self.journal.clone(),
            boot: self.boot.clone(),
            sequence: 0,
        };
        self.retained(
            &Alive {
                sender,
                presence: Presence::Offline,
            },
            Qos::AtLeastOnce,
        )
    }

    /// Presence with inventory, retained, so that a control plane that has just come knows what there is.
    pub fn alive(&mut self, profile: &Profile, inventory: Inventory, undecodable: u64, qos: Qos) -> Publication {
        let presence = Presence::Alive {
            interval_seconds: u32::try_from(profile.heartbeat.as_secs()).unwrap_or(u32::MAX),
            capacity: profile.capacity,
            inventory: inventory.held,
            host: profile.host.clone(),
            labels: profile.labels.clone(),
            capabilities: requires::ALL.map(str::to_owned).into(),
            max_packet_bytes: profile.max_packet_bytes,
            undecodable,
            draining: inventory.draining,
        };
        let sender = self.next();
        self.retained(&Alive { sender, presence }, qos)
    }

    /// Number of the message that was made last.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The goodbye.
    pub fn offline(&mut self) -> Publication {
        let sender = self.next();
        self.retained(
            &Alive {
                sender,
                presence: Presence::Offline,
            },
            Qos::AtLeastOnce,
        )
    }

    /// What became of an attempt.
    pub fn report(&mut self, holding: Holding, stage: Stage) -> Publication {
        let Holding {
            attempt, controller, ..
        } = holding;
        let report = Report {
            sender: self.next(),
            controller,
            attempt,
            stage,
        };
        self.publication(Channel::Results, &report, Qos::AtLeastOnce)
    }

    /// Lines that a task wrote.
    pub fn logs(&mut self, batch: Batch) -> Publication {
        let Batch { attempt, stream, lines } = batch;
        let logs = Logs {
            sender: self.next(),
            attempt,
            stream,
            lines,
        };
        self.publication(Channel::Logs, &logs, Qos::AtMostOnce)
    }

    /// Figures of the process.
    pub fn metrics(&mut self, figures: BTreeMap<String, u64>) -> Publication {
        let sender = self.next();
        self.publication(Channel::Metrics, &Metrics { sender, figures }, Qos::AtMostOnce)
    }

    fn next(&mut self) -> Sender {
        self.sequence += 1;
        Sender {
            journal: self.journal.clone(),
            boot: self.boot.clone(),
            sequence: self.sequence,
        }
    }

    fn retained(&self, alive: &Alive, qos: Qos) -> Publication {
        Publication {
            retain: true,
            ..self.publication(Channel::Alive, alive, qos)
        }
    }

    fn publication<M: Message>(&self, channel: Channel, message: &M, qos: Qos) -> Publication {
        let topic = self.base.topic(channel, &self.id);
        let payload = encode(message).unwrap_or_else(|error| {
            // `encode` promises that this can't be. An empty message would be counted as undecodable by whoever gets it.
            tracing::error!(topic, %error, "a message can't be encoded");
            Vec::new()
        });
        Publication {
            topic,
            payload: Bytes::from(payload),
            qos,
            retain: false,
            expiry: None,
        }
    }
}
