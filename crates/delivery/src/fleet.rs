//! The proplets, as a control plane sees them at one moment.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use propeller_api::{Capacity, Labels, Memory, Task};
use propeller_protocol::{Boot, HeldState, JournalId};

pub use propeller_api::PropletId;

/// Every proplet that has a Proplet resource.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// In no particular order.
    pub members: Vec<Member>,
    /// Proplets with tasks and without a Proplet resource, and since when, on the clock that nobody sets.
    pub gone: BTreeMap<PropletId, Duration>,
}

impl Fleet {
    /// The member with that identity.
    pub fn member(&self, id: &PropletId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }
}

/// A proplet with its resource.
#[derive(Debug, Clone)]
pub struct Member {
    /// Namespace of the Proplet resource: tasks of other namespaces aren't placed here.
    pub namespace: String,
    /// Name of the Proplet resource.
    pub name: String,
    /// Labels of the Proplet resource.
    pub labels: Labels,
    /// The identity on the message bus.
    pub id: PropletId,
    /// The Proplet resource says that nothing new is placed here.
    pub cordoned: bool,
    /// What the proplet says, while its heartbeats arrive.
    pub live: Option<Live>,
    /// Two processes use its identity in turns.
    pub is_contested: bool,
    /// Since when it is judged to be away, on the clock that nobody sets; nothing while it is there, and while nobody can say.
    pub away_since: Option<Duration>,
    /// When its newest heartbeat arrived, on that clock; nothing, if this process heard none.
    pub heard: Option<Duration>,
    /// What tasks' statuses place here and hasn't ended: what is on its way counts before any heartbeat tells of it.
    pub load: Load,
}

/// What tasks take of a proplet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// How many they are.
    pub tasks: u32,
    /// Bytes of memory that they ask for together.
    pub memory: u64,
    /// How many of them leave it to the proplet how much memory they get.
    pub unsized_tasks: u32,
}

impl Load {
    /// Takes in one more task.
    pub fn add(&mut self, task: &Task) {
        self.tasks = self.tasks.saturating_add(1);
        match wanted_memory(task) {
            Some(memory) => self.memory = self.memory.saturating_add(memory.bytes()),
            None => self.unsized_tasks = self.unsized_tasks.saturating_add(1),
        }
    }

    /// Bytes that are reserved on a proplet of that capacity.
    pub fn reserved(&self, capacity: &Capacity) -> u64 {
        let each = capacity.task_memory.map_or(0, Memory::bytes);
        self.memory
            .saturating_add(each.saturating_mul(self.unsized_tasks.into()))
    }
}

/// How much memory a task asks for, if it says so.
pub(crate) fn wanted_memory(task: &Task) -> Option<Memory> {
    task.spec.resources.as_ref()?.memory
}

/// What a proplet whose heartbeats arrive said last.
#[derive(Debug, Clone)]
pub struct Live {
    /// The journal that starts must name.
    pub journal: JournalId,
    /// This life of the process.
    pub boot: Boot,
    /// Sequence number of the heartbeat.
    pub sequence: u64,
    /// When the heartbeat arrived, on the control plane's clock.
    pub heard_at: Timestamp,
    /// How much it takes.
    pub capacity: Capacity,
    /// It accepts nothing new.
    pub draining: bool,
    /// What starts may require of it.
    pub capabilities: Vec<String>,
    /// Its operating system and processor, as labels that selectors may ask for.
    pub labels: Labels,
    /// Largest packet, in bytes, that it takes.
    pub max_packet_bytes: u32,
    /// Every attempt of this control plane's that it held, by task uid and attempt.
    pub inventory: BTreeMap<(String, u32), HeldState>,
}
