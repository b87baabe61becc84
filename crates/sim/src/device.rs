//! A proplet's process on its machine: the ledger behind its desk, a disk that takes its time, and runs that end when they like.

use std::collections::{BTreeMap, BTreeSet};

use propeller_api::{Capacity, HostInfo, JournalId, Memory};
use propeller_delivery::{
    desk::{Desk, Inventory},
    lease::LeaseClock,
    ledger::{Entry, Key, Ledger, Record, Started, Terms},
};
use propeller_protocol::{Alive, Boot, ControllerId, Outcome, Presence, Sender, Start, requires};

use crate::clock::{Clock, Time};

/// What is on a device's disk.
#[derive(Debug, Clone)]
pub struct Disk {
    pub journal: JournalId,
    pub records: Vec<Record>,
}

/// A machine with a proplet. Several may have the identity of one proplet: clones.
#[derive(Debug)]
pub struct Device {
    /// Which proplet it claims to be.
    pub proplet: usize,
    pub clock: Clock,
    pub disk: Disk,
    /// An older state of the disk, which a restart may bring back.
    pub saved: Disk,
    pub is_full: bool,
    /// Runs nothing until then.
    pub frozen_until: Option<Time>,
    /// Counts its lives, so that what was meant for an earlier one is known.
    pub life: u32,
    pub process: Option<Process>,
    /// It is there in this world: a clone that was found out is gone.
    pub exists: bool,
}

/// One life of the process.
#[derive(Debug)]
pub struct Process {
    pub boot: Boot,
    pub sequence: u64,
    pub desk: Desk,
    pub lease: LeaseClock,
    pub leased: BTreeSet<ControllerId>,
    pub needs_lease: bool,
    pub beaten: Time,
    /// What the disk is about to take.
    pub committing: Vec<Record>,
    /// What was answered is being done.
    pub is_telling: bool,
    pub waits: BTreeMap<Key, Box<Start>>,
    pub runs: BTreeMap<Key, Run>,
}

/// A guest that runs.
#[derive(Debug, Clone)]
pub struct Run {
    pub start: Box<Start>,
    pub outcome: Outcome,
    /// Someone wants it to end.
    pub is_ending: bool,
}

pub const TASKS: u32 = 2;

fn terms() -> Terms {
    let memory = Memory::from_bytes(1 << 30);
    Terms {
        capacity: capacity(),
        queue: 2,
        memory: Memory::from_bytes(1 << 20),
        max_memory: memory,
    }
}

fn capacity() -> Capacity {
    Capacity {
        tasks: TASKS,
        memory: Memory::from_bytes(1 << 30),
        task_memory: Some(Memory::from_bytes(1 << 20)),
        max_task_memory: None,
    }
}

impl Disk {
    pub fn new(journal: JournalId) -> Self {
        Self {
            journal,
            records: Vec::new(),
        }
    }

    /// What ended and was acknowledged, or was refused, might never have been.
    pub fn forget_tombstones(&mut self) {
        let mut buried = BTreeSet::new();
        for record in &self.records {
            if let Record::Put(key, entry) = record
                && matches!(**entry, Entry::Tombstone { .. })
            {
                buried.insert(key.clone());
            }
        }
        self.records
            .retain(|record| !matches!(record, Record::Put(key, _) if buried.contains(key)));
    }

    /// The ledger that its records make.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new(self.journal.clone(), terms());
        self.records.iter().cloned().for_each(|record| ledger.apply(record));
        ledger
    }
}

impl Device {
    /// How an attempt ended that it holds.
    pub fn outcome(&self, key: &Key) -> Option<Outcome> {
        match &self.process {
            Some(process) => process.desk.ledger().outcome(key).cloned(),
            None => self.disk.ledger().outcome(key).cloned(),
        }
    }
}

impl Process {
    pub fn new(boot: Boot, desk: Desk) -> Self {
        Self {
            boot,
            sequence: 0,
            desk,
            lease: LeaseClock::default(),
            leased: BTreeSet::new(),
            needs_lease: false,
            beaten: Time::ZERO,
            committing: Vec::new(),
            is_telling: false,
            waits: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Who speaks next.
    pub fn sender(&mut self, journal: &JournalId) -> Sender {
        self.sequence += 1;
        Sender {
            journal: journal.clone(),
            boot: self.boot.clone(),
            sequence: self.sequence,
        }
    }

    /// What the broker says if it is cut off.
    pub fn will(&self, journal: &JournalId) -> Alive {
        let sender = Sender {
            journal: journal.clone(),
            boot: self.boot.clone(),
            sequence: 0,
        };
        Alive {
            sender,
            presence: Presence::Offline,
        }
    }

    /// A heartbeat.
    pub fn alive(&mut self, journal: &JournalId, inventory: Inventory) -> Alive {
        let presence = Presence::Alive {
            interval_seconds: 10,
            capacity: capacity(),
            inventory: inventory.held,
            host: HostInfo::default(),
            labels: Default::default(),
            capabilities: requires::ALL.map(str::to_owned).into(),
            max_packet_bytes: 1 << 20,
            undecodable: 0,
            draining: inventory.draining,
        };
        let sender = self.sender(journal);
        Alive { sender, presence }
    }

    /// That a service listens.
    pub fn started(start: &Start) -> Option<Started> {
        let is_service = matches!(start.work, propeller_api::Work::Service(_));
        is_service.then(|| Started {
            address: Some("http://device".to_owned()),
            problem: None,
        })
    }
}
