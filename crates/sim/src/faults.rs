//! What goes wrong in a world, and when. Each world has only some kinds of it, so that rare combinations of few get their turn.

use std::time::Duration;

use fastrand::Rng;

use crate::clock::Time;

/// Something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A proplet's process is killed, and starts again.
    KillProplet,
    /// Its connection breaks.
    CutProplet,
    /// Its connection breaks, and stays so for a while.
    IsolateProplet,
    /// Its machine is suspended for a while.
    SuspendProplet,
    /// Its disk is full for a while.
    FillDisk,
    /// It is restarted with an older copy of its disk.
    RollBackProplet,
    /// It is set up anew, with an empty disk.
    ReimageProplet,
    /// Another device comes up with a copy of its disk, for a while.
    CloneProplet,
    /// Its wall clock is set.
    SetPropletClock,
    /// A process of a control plane is killed, and starts again.
    KillReplica,
    /// It is stopped for a while, and goes on.
    SuspendReplica,
    /// Its connection to the broker breaks.
    CutReplica,
    /// Its wall clock is set.
    SetReplicaClock,
    /// It lists everything anew.
    Relist,
    /// The store can't be reached for a while.
    StoreAway,
    /// A control plane is stopped, its store restored from a backup, and it is started again: at once, or when every lease and start is over.
    RestoreStore,
    /// The broker is restarted with its state.
    RestartBroker,
    /// The broker is restarted without its state.
    ForgetBroker,
    /// The broker is restarted with an older state.
    RollBackBroker,
    /// A Proplet resource is deleted, and made again a while later.
    DeleteProplet,
}

const ALL: [Fault; 20] = [
    Fault::KillProplet,
    Fault::CutProplet,
    Fault::IsolateProplet,
    Fault::SuspendProplet,
    Fault::FillDisk,
    Fault::RollBackProplet,
    Fault::ReimageProplet,
    Fault::CloneProplet,
    Fault::SetPropletClock,
    Fault::KillReplica,
    Fault::SuspendReplica,
    Fault::CutReplica,
    Fault::SetReplicaClock,
    Fault::Relist,
    Fault::StoreAway,
    Fault::RestoreStore,
    Fault::RestartBroker,
    Fault::ForgetBroker,
    Fault::RollBackBroker,
    Fault::DeleteProplet,
];

/// How a world is.
#[derive(Debug, Clone)]
pub struct Climate {
    pub faults: Vec<(Time, Fault)>,
    /// Out of a hundred messages, how many are lost on a way that promises nothing.
    pub loss: u8,
    /// How many arrive twice.
    pub repeats: u8,
    /// How many are delayed by seconds.
    pub delays: u8,
    /// Whether messages of one connection may overtake each other.
    pub reorders: bool,
    /// Whether the broker drops what has expired.
    pub expires: bool,
    /// Out of a hundred writes, how many succeed and nobody hears of it.
    pub unheard_writes: u8,
    /// Whether control planes have their store in their own process, as `propeller up` does; else it's somebody else's, as on Kubernetes.
    pub embedded: bool,
    /// Whether two control planes share the bus.
    pub two_planes: bool,
    pub proplets: usize,
    pub tasks: usize,
    /// When everything works from.
    pub heals_at: Time,
}

impl Climate {
    pub fn of(rng: &mut Rng) -> Self {
        let kinds: Vec<_> = ALL.into_iter().filter(|_| rng.u8(..3) == 0).collect();
        let heals_at = Duration::from_secs(rng.u64(60..180));
        let count = if kinds.is_empty() { 0 } else { rng.usize(1..12) };
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                let at = Duration::from_millis(rng.u64(1_000..u64::try_from(heals_at.as_millis()).unwrap_or(60_000)));
                (at, kinds[rng.usize(..kinds.len())])
            })
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        let mut sometimes = |most: u8| if rng.bool() { 0 } else { rng.u8(..most) };
        let (loss, repeats, delays, unheard_writes) = (sometimes(20), sometimes(20), sometimes(20), sometimes(10));
        Self {
            faults,
            loss,
            repeats,
            delays,
            unheard_writes,
            reorders: rng.bool(),
            expires: rng.bool(),
            embedded: rng.u8(..3) == 0,
            two_planes: rng.u8(..8) == 0,
            proplets: rng.usize(1..4),
            tasks: rng.usize(1..7),
            heals_at,
        }
    }
}
