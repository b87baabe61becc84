//! What is done to whom, and when: a schedule that follows from a seed.

use std::{fmt, time::Duration};

use fastrand::Rng;
use serde::Serialize;

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Proplet(usize),
    Operator(usize),
    Broker,
    ApiServer,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// SIGTERM, and a start later.
    Ended,
    /// SIGKILL, and a start later. The broker has then what it last saved, which is little or nothing.
    Killed,
    /// SIGKILL, and what it kept on disk is removed.
    Wiped,
    /// SIGSTOP, and SIGCONT later: its connections stand still, and its clocks jump.
    Frozen,
    /// Its connections are cut, and no new one comes about.
    Cut,
}

/// One line of the schedule.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    pub at: Duration,
    pub target: Target,
    pub fault: Fault,
    pub lasts: Duration,
}

/// Faults within `period`, in the order of their times. Those of one target never overlap; those of several do.
pub fn plan(rng: &mut Rng, period: Duration, proplets: usize) -> Vec<Planned> {
    let mut targets: Vec<Target> = (0..proplets).map(Target::Proplet).collect();
    targets.extend([
        Target::Operator(0),
        Target::Operator(1),
        Target::Broker,
        Target::ApiServer,
    ]);
    let mut planned: Vec<Planned> = targets
        .into_iter()
        .flat_map(|target| plan_for(rng, period, target))
        .collect();
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn plan_for(rng: &mut Rng, period: Duration, target: Target) -> Vec<Planned> {
    let mut planned = Vec::new();
    let mut at = pause(rng, target);
    while at < period {
        let fault = target.faults()[rng.usize(..target.faults().len())];
        let lasts = duration(rng, target).min(period - at);
        planned.push(Planned {
            at,
            target,
            fault,
            lasts,
        });
        at += lasts + pause(rng, target);
    }
    planned
}

/// Short against what the tasks wait for, mostly. Some proplets stay away for longer than a lease, and than `lostAfterSeconds`.
fn duration(rng: &mut Rng, target: Target) -> Duration {
    let long = matches!(target, Target::Proplet(_)) && rng.u8(..5) == 0;
    Duration::from_millis(rng.u64(if long { 12_000..45_000 } else { 200..8_000 }))
}

/// How long the target is left alone.
fn pause(rng: &mut Rng, target: Target) -> Duration {
    let seconds = match target {
        Target::Proplet(_) => 3..12,
        Target::Operator(_) => 4..15,
        Target::Broker | Target::ApiServer => 6..20,
    };
    Duration::from_secs(rng.u64(seconds)) + Duration::from_millis(rng.u64(..1000))
}

impl Target {
    /// What may happen to it; what is listed twice does so twice as often.
    fn faults(self) -> &'static [Fault] {
        use Fault::{Cut, Ended, Frozen, Killed, Wiped};
        match self {
            Self::Proplet(_) => &[Killed, Killed, Killed, Frozen, Frozen, Cut, Cut, Ended, Wiped],
            Self::Operator(_) => &[Killed, Killed, Frozen, Frozen, Cut, Cut, Ended],
            Self::Broker => &[Ended, Ended, Killed, Killed, Frozen, Frozen, Wiped],
            Self::ApiServer => &[Killed, Frozen],
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proplet(index) => write!(f, "edge-{index}"),
            Self::Operator(index) => write!(f, "operator-{index}"),
            Self::Broker => f.write_str("broker"),
            Self::ApiServer => f.write_str("API server"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "ended",
            Self::Killed => "killed",
            Self::Wiped => "wiped",
            Self::Frozen => "frozen",
            Self::Cut => "cut",
        })
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            target,
            fault,
            lasts,
        } = self;
        write!(
            f,
            "{:6.1} s  {target} {fault} for {:.1} s",
            at.as_secs_f64(),
            lasts.as_secs_f64()
        )
    }
}
