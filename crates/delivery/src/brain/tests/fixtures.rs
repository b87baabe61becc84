//! Resources and messages to start from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use propeller_api::{
    Call, Capacity, Digest, Dispatch, HostInfo, JournalId, Memory, Metadata, Phase, Proplet, PropletId, PropletSpec,
    Task, TaskSpec, TaskStatus,
};
use propeller_protocol::{
    Alive, AttemptRef, ControllerId, Held, HeldState, Outcome, Presence, Report, Sender, Stage, TaskRef, Usage,
};
use serde_json::json;

pub(crate) const NAMESPACE: &str = "lab";

/// That many seconds after the tests' begin of time.
pub(crate) fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn controller() -> ControllerId {
    "controller-1".parse().unwrap()
}

pub(crate) fn proplet_id(id: &str) -> PropletId {
    id.parse().unwrap()
}

/// The journal that the fixtures' proplets write.
pub(crate) fn journal() -> JournalId {
    "journal-1".parse().unwrap()
}

pub(crate) fn metadata(name: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        namespace: NAMESPACE.to_owned(),
        uid: format!("uid-{name}"),
        generation: Some(1),
        resource_version: Some("1".to_owned()),
        creation_timestamp: Some(time(0)),
        ..Metadata::default()
    }
}

pub(crate) fn task(name: &str) -> Task {
    let spec = TaskSpec {
        image: "registry.lab/add:1".to_owned(),
        call: Some(Call {
            function: "add".to_owned(),
            args: json!([20, 22]),
        }),
        ..TaskSpec::default()
    };
    Task::new(metadata(name), spec)
}

pub(crate) fn proplet(name: &str, labels: &[(&str, &str)]) -> Proplet {
    let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let metadata = Metadata {
        labels: labels.collect(),
        ..metadata(name)
    };
    Proplet::new(metadata, PropletSpec::new(proplet_id(name)))
}

pub(crate) fn component() -> Digest {
    Digest::from_sha256([7; 32])
}

pub(crate) fn dispatched(proplet: &str, attempt: u32) -> TaskStatus {
    TaskStatus {
        phase: Phase::Dispatched,
        image: Some("registry.lab/add@sha256:1".to_owned()),
        component: Some(component()),
        proplet: Some(proplet.to_owned()),
        attempt,
        dispatch: Some(Dispatch {
            proplet_id: proplet_id(proplet),
            journal: journal(),
            time: time(0),
            accepted: None,
        }),
        ..TaskStatus::default()
    }
}

pub(crate) fn sender(boot: &str, sequence: u64) -> Sender {
    Sender {
        journal: journal(),
        boot: boot.parse().unwrap(),
        sequence,
    }
}

/// A heartbeat of a proplet that takes two tasks and sends one every ten seconds.
pub(crate) fn alive(boot: &str, sequence: u64, inventory: Vec<Held>) -> Alive {
    let presence = Presence::Alive {
        interval_seconds: 10,
        capacity: Capacity {
            tasks: 2,
            memory: Memory::from_bytes(1 << 30),
            task_memory: None,
            max_task_memory: None,
        },
        inventory,
        host: HostInfo::default(),
        labels: BTreeMap::new(),
        capabilities: propeller_protocol::requires::ALL.map(str::to_owned).into(),
        max_packet_bytes: 1 << 20,
        undecodable: 0,
        draining: false,
    };
    Alive {
        sender: sender(boot, sequence),
        presence,
    }
}

pub(crate) fn attempt(name: &str, attempt: u32) -> AttemptRef {
    let task = TaskRef {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    };
    AttemptRef { task, attempt }
}

pub(crate) fn held(name: &str, number: u32) -> Held {
    Held {
        attempt: attempt(name, number),
        controller: controller(),
        state: HeldState::Running,
    }
}

pub(crate) fn report(attempt: AttemptRef, stage: Stage) -> Report {
    Report {
        sender: sender("boot-1", 5),
        controller: controller(),
        attempt,
        stage,
    }
}

/// The outcome of `add(20, 22)`.
pub(crate) fn finished() -> Stage {
    let outcome = Outcome::Completed {
        results: Some(json!(42)),
        usage: Usage::default(),
    };
    Stage::Finished { outcome }
}
