//! One world, changed step by step; each test reads as what happens to a task.

mod policy;
mod refusals;
mod services;
mod work;

use jiff::{SignedDuration, Timestamp};
use propeller_api::{
    Call, Capacity, LabelSelector, Labels, Memory, Metadata, Phase, PropletId, Resources, Task, TaskSpec, condition,
    is_true, types,
};
use propeller_protocol::{
    AttemptRef, Boot, ControllerId, Failure, Held, HeldState, Outcome, Refusal, Rejection, Stage, TaskRef, Usage,
    Verdict, requires,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    fleet::{Live, Load, Member},
    inbox::{Accepted, Origin},
};

struct World {
    task: Task,
    fleet: Fleet,
    inbox: Inbox,
    resolution: Option<Resolution>,
    published: Option<Published>,
    refused: Option<(u32, String)>,
    now: Timestamp,
    elapsed: Duration,
    clock_set: Option<Timestamp>,
    sequence: u64,
}

impl World {
    fn new() -> Self {
        let call = Call {
            function: "add".into(),
            args: json!([20, 22]),
        };
        let spec = TaskSpec {
            image: "registry/addition:1".into(),
            call: Some(call.clone()),
            resources: Some(Resources {
                memory: Some(Memory::from_bytes(64 << 20)),
            }),
            active_deadline_seconds: Some(30),
            ..TaskSpec::default()
        };
        let metadata = Metadata {
            name: "addition".into(),
            namespace: "lab".into(),
            uid: "uid-1".into(),
            generation: Some(1),
            ..Metadata::default()
        };
        Self {
            resolution: Some(Resolution {
                image: spec.image.clone(),
                work: Work::Call(call),
                outcome: Ok(Resolved {
                    image: "registry/addition@sha256:aa".into(),
                    component: digest(),
                }),
            }),
            task: Task::new(metadata, spec),
            fleet: Fleet::default(),
            inbox: Inbox::default(),
            published: None,
            refused: None,
            now: Timestamp::from_second(1_000_000).unwrap(),
            elapsed: Duration::from_secs(1_000),
            clock_set: None,
            sequence: 0,
        }
    }

    /// A world whose task does that.
    fn of(spec: TaskSpec) -> Self {
        let mut world = Self::new();
        let spec = TaskSpec {
            image: world.task.spec.image.clone(),
            ..spec
        };
        if let (Some(work), Some(resolution)) = (spec.work(), &mut world.resolution) {
            resolution.work = work;
        }
        world.task.spec = spec;
        world
    }

    fn member(&mut self, name: &str) -> &mut Member {
        let mut members = self.fleet.members.iter_mut();
        members.find(|member| member.name == name).unwrap()
    }

    fn message(&self, type_: &str) -> &str {
        &condition(&self.status().conditions, type_).unwrap().message
    }

    fn with_proplet(mut self, name: &str) -> Self {
        self.add_proplet(name);
        self
    }

    fn add_proplet(&mut self, name: &str) -> &mut Member {
        let live = Live {
            journal: format!("journal-{name}").parse().unwrap(),
            boot: boot(),
            sequence: 0,
            heard_at: self.now,
            capacity: Capacity {
                tasks: 2,
                memory: Memory::from_bytes(1 << 30),
                task_memory: Some(Memory::from_bytes(64 << 20)),
                max_task_memory: Some(Memory::from_bytes(512 << 20)),
            },
            draining: false,
            max_packet_bytes: 1 << 20,
            inventory: Default::default(),
            capabilities: requires::ALL.map(str::to_owned).into(),
            labels: Labels::default(),
        };
        self.fleet.members.push(Member {
            is_contested: false,
            namespace: "lab".into(),
            name: name.into(),
            labels: Labels::from([("site".into(), name.into())]),
            id: name.parse().unwrap(),
            cordoned: false,
            live: Some(live),
            away_since: None,
            heard: None,
            load: Load::default(),
        });
        self.fleet.members.last_mut().unwrap()
    }

    fn plan(&self) -> Plan {
        plan(View {
            task: &self.task,
            controller: &controller(),
            resolution: self.resolution.as_ref(),
            fleet: &self.fleet,
            inbox: &self.inbox,
            published: self.published,
            refused: self.refused.as_ref(),
            now: self.now,
            elapsed: self.elapsed,
            begun: Duration::ZERO,
            clock_set: self.clock_set,
            pace: Pace::default(),
        })
    }

    /// Plans, and does what a shell does: write, then act.
    fn step(&mut self) -> Vec<Action> {
        let plan = self.plan();
        if let Some(status) = plan.status {
            self.inbox.forget_before(status.attempt);
            self.task.status = Some(status);
        }
        for action in &plan.actions {
            match action {
                Action::Publish(_, start) => {
                    self.published = Some(Published {
                        attempt: start.attempt.attempt,
                        at: self.now,
                    });
                }
                Action::Ack(proplet, ack) => self.inbox.forget(&Origin {
                    proplet: proplet.clone(),
                    journal: ack.journal.clone(),
                    attempt: ack.attempt.attempt,
                }),
                _ => {}
            }
        }
        plan.actions
    }

    fn pass(&mut self, seconds: i64) {
        self.now = after(self.now, SignedDuration::from_secs(seconds));
        self.elapsed += Duration::from_secs(seconds.unsigned_abs());
    }

    fn report(&mut self, proplet: &str, attempt: u32, stage: Stage) {
        self.sequence += 1;
        let origin = Origin {
            proplet: id(proplet),
            journal: format!("journal-{proplet}").parse().unwrap(),
            attempt,
        };
        self.inbox.take(
            origin,
            stage,
            Accepted {
                at: self.now,
                boot: boot(),
                sequence: self.sequence,
            },
        );
    }

    /// A heartbeat of that proplet, with what it holds of our task.
    fn heartbeat(&mut self, proplet: &str, attempts: &[u32]) {
        self.sequence += 1;
        let (now, sequence) = (self.now, self.sequence);
        let live = self.member(proplet).live.as_mut().unwrap();
        (live.heard_at, live.sequence) = (now, sequence);
        live.inventory = attempts
            .iter()
            .map(|attempt| (("uid-1".into(), *attempt), HeldState::Running))
            .collect();
    }

    fn status(&self) -> &TaskStatus {
        self.task.status.as_ref().unwrap()
    }

    #[track_caller]
    fn expect(&self, phase: Phase, type_: &str, reason: &str) {
        let said = condition(&self.status().conditions, type_).map(|condition| condition.reason.as_str());
        assert_eq!(
            (self.status().phase, said),
            (phase, Some(reason)),
            "{:#?}",
            self.status()
        );
    }
}

fn controller() -> ControllerId {
    "controller-1".parse().unwrap()
}

fn boot() -> Boot {
    "boot-1".parse().unwrap()
}

fn id(name: &str) -> PropletId {
    name.parse().unwrap()
}

fn digest() -> Digest {
    Digest::from_sha256([1; 32])
}

fn completed(results: Value) -> Stage {
    Stage::Finished {
        outcome: Outcome::Completed {
            results: Some(results),
            usage: Usage::default(),
        },
    }
}

fn failed(reason: &str, error: Option<Value>) -> Stage {
    let failure = Failure {
        reason: reason.into(),
        message: "what happened".into(),
        error,
    };
    Stage::Finished {
        outcome: Outcome::Failed {
            failure,
            usage: Usage::default(),
        },
    }
}

fn published(actions: &[Action]) -> Vec<(&str, u32)> {
    let starts = actions.iter().filter_map(|action| match action {
        Action::Publish(proplet, start) => Some((proplet.as_str(), start.attempt.attempt)),
        _ => None,
    });
    starts.collect()
}

fn acked(actions: &[Action]) -> Vec<(u32, Verdict)> {
    let acks = actions.iter().filter_map(|action| match action {
        Action::Ack(_, ack) => Some((ack.attempt.attempt, ack.verdict)),
        _ => None,
    });
    acks.collect()
}

fn wakes(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::WakeAt(_)))
}

#[test]
fn the_good_case_takes_two_writes() {
    let mut world = World::new().with_proplet("edge");
    let first = world.step();
    assert_eq!(published(&first), [("edge", 1)]);
    world.expect(Phase::Dispatched, types::SCHEDULED, "Placed");

    world.report("edge", 1, Stage::Accepted);
    assert_eq!(world.plan().status, None, "accepting is not worth a write");

    world.report("edge", 1, completed(json!(42)));
    let last = world.step();
    assert_eq!(acked(&last), [(1, Verdict::Recorded)]);
    world.expect(Phase::Completed, types::FINISHED, "Completed");
    assert_eq!(world.status().results, Some(json!(42)));
    assert_eq!(world.plan(), Plan::default(), "a finished task needs nothing more");
}

#[test]
fn a_start_carries_the_task() {
    let mut world = World::new().with_proplet("edge");
    let actions = world.step();
    let Some(Action::Publish(_, start)) = actions.first() else {
        panic!("{actions:?}")
    };
    assert_eq!(start.image, "registry/addition@sha256:aa");
    assert_eq!(start.component, digest());
    assert_eq!(start.journal.as_str(), "journal-edge");
    assert_eq!(start.issued_at, world.now);
    assert_eq!(
        (start.limits.memory, start.limits.deadline_seconds),
        (Some(Memory::from_bytes(64 << 20)), Some(30))
    );
    assert_eq!(
        (&start.work, start.attempt.task.uid.as_str()),
        (&world.task.spec.work().unwrap(), "uid-1")
    );
}

#[test]
fn nothing_is_published_for_a_call_that_does_not_fit() {
    let mut world = World::new().with_proplet("edge");
    let unresolved = Unresolved {
        reason: "UnknownExport".into(),
        message: "no sub".into(),
        retry_at: None,
    };
    world.resolution.as_mut().unwrap().outcome = Err(unresolved);
    assert_eq!(world.step(), []);
    world.expect(Phase::Failed, types::RESOLVED, "UnknownExport");
    world.expect(Phase::Failed, types::FINISHED, "UnknownExport");
}

#[test]
fn a_registry_that_is_away_is_tried_again() {
    let mut world = World::new().with_proplet("edge");
    let at = after(world.now, SignedDuration::from_secs(10));
    let unresolved = Unresolved {
        reason: "RegistryUnreachable".into(),
        message: String::new(),
        retry_at: Some(at),
    };
    world.resolution.as_mut().unwrap().outcome = Err(unresolved);
    assert_eq!(world.step(), [Action::WakeAt(at)]);
    world.expect(Phase::Pending, types::RESOLVED, "RegistryUnreachable");
    world.pass(10);
    assert_eq!(world.step(), [Action::Resolve]);
}

#[test]
fn what_was_resolved_for_another_call_does_not_count() {
    let mut world = World::new().with_proplet("edge");
    world.task.spec.call.as_mut().unwrap().function = "sub".into();
    assert_eq!(world.step(), [Action::Resolve]);
    assert_eq!(world.task.status, None);
}

#[test]
fn an_invalid_spec_ends_the_task() {
    let mut world = World::new().with_proplet("edge");
    world.task.spec.active_deadline_seconds = Some(0);
    assert_eq!(world.step(), []);
    world.expect(Phase::Failed, types::FINISHED, "InvalidSpec");
}

#[test]
fn a_task_waits_for_a_proplet_and_says_why() {
    let mut world = World::new();
    let message = |world: &World| {
        condition(&world.status().conditions, types::SCHEDULED)
            .unwrap()
            .message
            .clone()
    };
    world.step();
    world.expect(Phase::Pending, types::SCHEDULED, "Unschedulable");
    assert!(
        message(&world).starts_with("there is no Proplet in namespace lab"),
        "{}",
        message(&world)
    );

    world.add_proplet("away").live = None;
    world.add_proplet("busy").load.tasks = 2;
    world.add_proplet("going").live.as_mut().unwrap().draining = true;
    world.add_proplet("foreign").namespace = "other".into();
    world.add_proplet("kept").cordoned = true;
    world.step();
    assert_eq!(
        message(&world),
        "0 of 4 proplets fit: 1 cordoned, 1 draining, 1 full, 1 offline"
    );

    world.task.spec.proplet_selector = Some(LabelSelector {
        match_labels: [("site".into(), "x".into())].into(),
        ..LabelSelector::default()
    });
    world.step();
    assert_eq!(message(&world), "0 of 4 proplets fit: 4 without label site=x");

    world.task.spec.proplet_selector = None;
    world.task.spec.proplet = Some("edge".into());
    world.step();
    assert!(
        message(&world).starts_with("there is no Proplet edge in namespace lab"),
        "{}",
        message(&world)
    );

    world.add_proplet("edge");
    assert_eq!(published(&world.step()), [("edge", 1)]);
}

#[test]
fn memory_is_reserved() {
    let mut world = World::new();
    let wants = |memory| {
        Some(Resources {
            memory: Some(Memory::from_bytes(memory)),
        })
    };
    world.task.spec.resources = wants((512 << 20) + 1);
    world.add_proplet("small");
    world.step();
    assert_eq!(
        world.message(types::SCHEDULED),
        "0 of 1 proplets fit: 1 with less memory for a task"
    );

    world.task.spec.resources = wants(512 << 20);
    // What others ask for, and what the proplet gives one that asks for nothing.
    world.member("small").load = Load {
        tasks: 1,
        memory: 448 << 20,
        unsized_tasks: 1,
    };
    world.member("small").live.as_mut().unwrap().capacity.tasks = 9;
    world.pass(1);
    world.member("small").load.memory += 1;
    world.step();
    assert_eq!(
        world.message(types::SCHEDULED),
        "0 of 1 proplets fit: 1 short of memory"
    );
    world.member("small").load.memory -= 1;
    assert_eq!(published(&world.step()), [("small", 1)]);
}

#[test]
fn the_least_loaded_proplet_is_chosen() {
    let mut world = World::new().with_proplet("a").with_proplet("b");
    world.fleet.members[0].load.tasks = 1;
    assert_eq!(published(&world.step()), [("b", 1)]);
}

#[test]
fn a_start_is_published_again_until_it_is_answered() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    assert_eq!(published(&world.step()), [], "not at once");
    world.pass(5);
    assert_eq!(published(&world.step()), [("edge", 1)]);
    world.report("edge", 1, Stage::Accepted);
    world.pass(5);
    assert_eq!(published(&world.step()), []);
}

#[test]
fn a_control_plane_that_comes_back_publishes_the_same_start() {
    let mut world = World::new().with_proplet("edge");
    let first = world.step();
    world.published = None;
    world.resolution = None;
    world.pass(1);
    let again = world.step();
    assert_eq!(first.first(), again.first());
}

#[test]
fn an_unanswered_start_is_placed_anew_when_it_can_run_no_more() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.pass(61);
    assert!(
        wakes(&world.step()),
        "the proplet hasn't told what it holds since the window closed"
    );
    assert_eq!(world.status().attempt, 1);

    world.heartbeat("edge", &[1]);
    world.step();
    assert_eq!(world.status().attempt, 1, "it holds it");

    world.heartbeat("edge", &[]);
    assert_eq!(published(&world.step()), [("edge", 2)]);
    assert_eq!(world.status().phase, Phase::Dispatched);
}

#[test]
fn a_start_that_the_broker_does_not_take_is_told_and_published_again() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.refused = Some((1, "QuotaExceeded".into()));
    world.step();
    world.expect(Phase::Dispatched, types::SCHEDULED, "BrokerRefuses");
    assert_eq!(
        world.message(types::SCHEDULED),
        "attempt 1 on edge, whose start the broker doesn't take: QuotaExceeded"
    );
    assert!(world.plan().status.is_none(), "it's said once");
    world.pass(5);
    assert_eq!(published(&world.step()), [("edge", 1)]);
    world.pass(60);
    world.heartbeat("edge", &[]);
    assert_eq!(published(&world.step()), [("edge", 2)]);
    world.expect(Phase::Dispatched, types::SCHEDULED, "Placed");
}

#[test]
fn a_start_that_the_broker_took_after_all_is_placed() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.refused = Some((1, "QuotaExceeded".into()));
    world.step();
    world.expect(Phase::Dispatched, types::SCHEDULED, "BrokerRefuses");
    world.report("edge", 1, completed(json!(42)));
    world.step();
    world.expect(Phase::Completed, types::SCHEDULED, "Placed");
    assert_eq!(world.message(types::SCHEDULED), "attempt 1 on edge");
}

#[test]
fn a_rejection_after_the_accept_changes_nothing() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.report("edge", 1, Stage::Accepted);
    let rejection = Rejection {
        reason: Refusal::Malformed,
        message: "somebody sent nonsense".into(),
    };
    world.report(
        "edge",
        1,
        Stage::Rejected {
            rejection,
            newest: None,
        },
    );
    world.step();
    assert_eq!(world.status().phase, Phase::Dispatched);
    world.report("edge", 1, completed(json!(42)));
    world.step();
    assert_eq!(world.status().phase, Phase::Completed);
}

#[test]
fn a_task_that_runs_for_longer_is_said_to_have_started() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.report("edge", 1, Stage::Accepted);
    assert!(wakes(&world.step()));
    world.pass(2);
    world.step();
    world.expect(Phase::Running, types::STARTED, "Accepted");
    assert_eq!(world.status().start_time.map(|time| time.as_second()), Some(1_000_000));
}

#[test]
fn the_deadline_ends_a_task_and_stops_it() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.report("edge", 1, Stage::Accepted);
    world.heartbeat("edge", &[1]);
    world.pass(31);
    assert!(
        !world.step().iter().any(|action| matches!(action, Action::Stop(..))),
        "the proplet's own deadline is first"
    );
    world.pass(1);
    let actions = world.step();
    assert!(
        actions.iter().any(|action| matches!(action, Action::Stop(..))),
        "{actions:?}"
    );
    world.expect(Phase::Failed, types::FINISHED, "DeadlineExceeded");

    world.report("edge", 1, completed(json!(42)));
    assert_eq!(acked(&world.step()), [(1, Verdict::Superseded)]);
    world.expect(Phase::Failed, types::FINISHED, "DeadlineExceeded");
    assert_eq!(world.status().results, None);
}

#[test]
fn an_err_result_fails_with_its_value() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.report("edge", 1, failed("ErrResult", Some(json!({"code": 7}))));
    assert_eq!(acked(&world.step()), [(1, Verdict::Recorded)]);
    world.expect(Phase::Failed, types::FINISHED, "ErrResult");
    assert_eq!(world.status().error, Some(json!({"code": 7})));
}

#[test]
fn a_null_result_is_recorded_as_none() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.report("edge", 1, completed(Value::Null));
    assert_eq!(acked(&world.step()), [(1, Verdict::Recorded)]);
    assert_eq!(
        (world.status().phase, &world.status().results),
        (Phase::Completed, &None)
    );
    world.report("edge", 1, completed(Value::Null));
    assert_eq!(
        acked(&world.step()),
        [(1, Verdict::Recorded)],
        "also when it is repeated"
    );
}

#[test]
fn only_the_proplet_journal_and_attempt_of_the_status_count() {
    let mut world = World::new().with_proplet("edge").with_proplet("other");
    world.step();
    world.report("other", 1, completed(json!(1)));
    world.report("edge", 2, completed(json!(2)));
    let clone = Origin {
        proplet: id("edge"),
        journal: "journal-clone".parse().unwrap(),
        attempt: 1,
    };
    let sign = Accepted {
        at: world.now,
        boot: boot(),
        sequence: 9,
    };
    world.inbox.take(clone, completed(json!(3)), sign);
    let actions = world.step();
    assert_eq!(
        acked(&actions),
        [(1, Verdict::Superseded), (1, Verdict::Superseded)],
        "attempt 2 may be true later"
    );
    assert_eq!(world.status().phase, Phase::Dispatched);
}

#[test]
fn what_was_accepted_is_lost_only_when_a_later_inventory_lacks_it() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.heartbeat("edge", &[]);
    world.report("edge", 1, Stage::Accepted);
    world.step();
    assert_eq!(
        world.status().phase,
        Phase::Dispatched,
        "that inventory was before the accept"
    );
    world.heartbeat("edge", &[1]);
    world.step();
    assert_eq!(world.status().phase, Phase::Dispatched);
    world.heartbeat("edge", &[]);
    world.step();
    world.expect(Phase::Pending, types::SCHEDULED, "Lost");
}

#[test]
fn a_task_that_is_being_deleted_is_left_alone() {
    let mut world = World::new().with_proplet("edge");
    world.task.metadata.deletion_timestamp = Some(world.now);
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn what_nobody_wants_is_stopped() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    let task = TaskRef {
        namespace: "lab".into(),
        name: "addition".into(),
        uid: "uid-1".into(),
    };
    let held = |attempt, state, controller: ControllerId| Held {
        attempt: AttemptRef {
            task: task.clone(),
            attempt,
        },
        controller,
        state,
    };
    let mine = |attempt| held(attempt, HeldState::Running, controller());
    let queued = held(1, HeldState::Queued, controller());
    assert!(!is_unwanted(&queued, &controller(), Some(&world.task)));
    assert!(is_unwanted(&queued, &controller(), None));
    assert!(!is_unwanted(&mine(1), &controller(), Some(&world.task)));
    assert!(
        !is_unwanted(&mine(2), &controller(), Some(&world.task)),
        "our cache may be behind"
    );
    assert!(is_unwanted(&mine(0), &controller(), Some(&world.task)));
    assert!(is_unwanted(&mine(1), &controller(), None));
    assert!(!is_unwanted(
        &held(1, HeldState::Finished, controller()),
        &controller(),
        None
    ));
    assert!(!is_unwanted(
        &held(1, HeldState::Running, "another".parse().unwrap()),
        &controller(),
        None
    ));

    world.report("edge", 1, completed(json!(42)));
    world.step();
    assert!(is_unwanted(&mine(1), &controller(), Some(&world.task)), "it has ended");
    assert!(is_true(&world.status().conditions, types::FINISHED));
}
