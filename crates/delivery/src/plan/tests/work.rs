//! Commands, grants, and what an attempt used.

use propeller_api::{Command, EnvVar, Grants, Service};
use propeller_protocol::requires;

use super::*;

fn command() -> TaskSpec {
    TaskSpec {
        command: Some(Command {
            args: vec!["-v".into()],
        }),
        ..TaskSpec::default()
    }
}

#[test]
fn a_start_requires_what_must_not_be_ignored() {
    let check = |spec: TaskSpec, grants: Option<Grants>, expected: &[&str]| {
        let spec = TaskSpec { grants, ..spec };
        let actions = World::of(spec).with_proplet("edge").step();
        let Some(Action::Publish(_, start)) = actions.first() else {
            panic!("{actions:?}")
        };
        assert_eq!(start.requires, expected);
        assert_eq!(start.grants.is_some(), expected.contains(&requires::GRANTS));
    };
    let call = World::new().task.spec;
    let service = TaskSpec {
        service: Some(Service::default()),
        ..TaskSpec::default()
    };
    let variable = EnvVar {
        name: "A".into(),
        value: String::new(),
    };
    let grants = Grants {
        env: vec![variable],
        ..Grants::default()
    };
    check(call.clone(), None, &[]);
    check(call.clone(), Some(Grants::default()), &[]);
    check(call, Some(grants.clone()), &["grants"]);
    check(command(), None, &["command"]);
    check(service, Some(grants), &["service", "grants"]);
}

#[test]
fn a_program_that_exits_with_0_has_completed() {
    let mut world = World::of(command()).with_proplet("edge");
    world.step();
    let usage = Usage {
        cpu_millis: 12,
        bytes_out: u64::MAX,
        ..Usage::default()
    };
    let outcome = Outcome::Completed { results: None, usage };
    world.report("edge", 1, Stage::Finished { outcome });
    assert_eq!(acked(&world.step()), [(1, Verdict::Recorded)]);
    world.expect(Phase::Completed, types::FINISHED, "Completed");
    assert_eq!(world.message(types::FINISHED), "the program exited with 0");
    let status = world.status();
    assert_eq!(status.results, None);
    let usage = status.usage.unwrap();
    assert_eq!((usage.cpu_millis, usage.bytes_out), (12, i64::MAX as u64));
}

#[test]
fn a_program_that_exits_with_another_code_has_failed_with_it() {
    let mut world = World::of(command()).with_proplet("edge");
    world.step();
    world.report("edge", 1, failed("Exited", Some(json!({"exitCode": 3}))));
    assert_eq!(acked(&world.step()), [(1, Verdict::Recorded)]);
    world.expect(Phase::Failed, types::FINISHED, "Exited");
    assert_eq!(world.status().error, Some(json!({"exitCode": 3})));
    assert_eq!(world.status().usage, None, "none was told");
}

#[test]
fn what_waits_for_room_on_its_proplet_has_not_started() {
    let mut world = World::of(command()).with_proplet("edge");
    world.step();
    world.report("edge", 1, Stage::Accepted);
    world.heartbeat("edge", &[1]);
    let live = world.member("edge").live.as_mut().unwrap();
    live.inventory.values_mut().for_each(|state| *state = HeldState::Queued);
    world.pass(2);
    assert!(wakes(&world.step()));
    assert_eq!(world.status().phase, Phase::Dispatched);

    world.report(
        "edge",
        1,
        Stage::Started {
            address: None,
            problem: None,
        },
    );
    world.step();
    world.expect(Phase::Running, types::STARTED, "Accepted");
}

#[test]
fn what_fits_no_message_is_not_sent() {
    let mut world = World::new().with_proplet("edge");
    let mut args = |length: usize| {
        let call = Call {
            function: "add".into(),
            args: json!(["x".repeat(length)]),
        };
        world.resolution.as_mut().unwrap().work = Work::Call(call.clone());
        world.task.spec.call = Some(call);
        world.plan()
    };
    assert_eq!(published(&args(1_000_000).actions), [("edge", 1)]);
    assert_eq!(args(1_050_000).actions, []);
    world.step();
    world.expect(Phase::Failed, types::FINISHED, "StartTooLarge");
}
