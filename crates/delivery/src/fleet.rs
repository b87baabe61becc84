//! The proplets, as a control plane sees them at one moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use propeller_api::{Capacity, Labels};
use propeller_protocol::{Boot, HeldState, JournalId};

pub use propeller_api::PropletId;

/// Every proplet that has a Proplet resource.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// In no particular order.
    pub members: Vec<Member>,
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
    /// What the proplet says, while its heartbeats arrive.
    pub live: Option<Live>,
    /// Attempts that tasks' statuses place here and that haven't ended: what is on its way counts before any heartbeat tells of it.
    pub assigned: u32,
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
    /// Every attempt that it held, by task uid and attempt.
    pub inventory: BTreeMap<(String, u32), HeldState>,
}
