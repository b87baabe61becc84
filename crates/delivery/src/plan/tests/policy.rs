//! Retries, deadlines, suspension, cancelling, and proplets that are away.

use propeller_api::{FailureKind, OnDisconnect, RetryPolicy};

use super::*;

/// Dispatched to `edge`, with another proplet beside it.
fn dispatched(spec: TaskSpec) -> World {
    let spec = TaskSpec {
        call: World::new().task.spec.call,
        ..spec
    };
    let mut world = World::of(spec).with_proplet("edge").with_proplet("other");
    assert_eq!(published(&world.step()), [("edge", 1)]);
    world
}

fn on(kinds: &[FailureKind]) -> Option<RetryPolicy> {
    Some(RetryPolicy {
        retry_on: kinds.to_vec(),
    })
}

fn stops(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Stop(..)))
}

impl World {
    fn away(&mut self, name: &str) {
        let elapsed = self.elapsed;
        let member = self.member(name);
        (member.live, member.away_since) = (None, Some(elapsed));
    }

    fn edit(&mut self, edit: impl FnOnce(&mut TaskSpec)) {
        edit(&mut self.task.spec);
    }
}

#[test]
fn what_is_retried_is_what_the_policy_says() {
    let check = |policy: Option<RetryPolicy>, reason: &str, retried: bool| {
        let mut world = dispatched(TaskSpec {
            retry_policy: policy.clone(),
            ..TaskSpec::default()
        });
        world.report("edge", 1, failed(reason, None));
        world.step();
        let phase = if retried { Phase::Pending } else { Phase::Failed };
        assert_eq!(world.status().phase, phase, "{policy:?} {reason}");
    };
    for reason in ["Interrupted", "LeaseExpired", "RegistryUnreachable", "HostFailure"] {
        check(None, reason, true);
        check(on(&[FailureKind::Trap]), reason, false);
    }
    for (reason, kind) in [
        ("Trap", FailureKind::Trap),
        ("ErrResult", FailureKind::ErrResult),
        ("Exited", FailureKind::ErrResult),
        ("OutOfMemory", FailureKind::OutOfMemory),
    ] {
        check(None, reason, false);
        check(on(&[kind]), reason, true);
    }
    for reason in ["DeadlineExceeded", "CompileFailed", "ResultTooLarge", "SomethingNew"] {
        check(on(&[FailureKind::Lost, FailureKind::Trap]), reason, false);
    }
}

#[test]
fn a_retry_follows_a_pause_elsewhere_and_the_last_failure_ends_the_task() {
    let mut world = dispatched(TaskSpec {
        backoff_limit: Some(2),
        ..TaskSpec::default()
    });
    for (attempt, proplet, next, pause) in [(1, "edge", "other", 10), (2, "other", "edge", 20)] {
        world.report(proplet, attempt, failed("Interrupted", None));
        assert_eq!(acked(&world.step()), [(attempt, Verdict::Recorded)]);
        world.expect(Phase::Pending, types::SCHEDULED, "Interrupted");
        assert_eq!(world.status().failures, attempt);
        world.pass(pause - 1);
        assert_eq!(published(&world.step()), []);
        world.pass(1 + pause / 4);
        assert_eq!(published(&world.step()), [(next, attempt + 1)]);
    }
    world.report("edge", 3, failed("Interrupted", None));
    assert_eq!(acked(&world.step()), [(3, Verdict::Recorded)]);
    world.expect(Phase::Failed, types::FINISHED, "Interrupted");
    assert!(
        world
            .message(types::FINISHED)
            .ends_with("(and backoffLimit: 2 is reached)")
    );
}

#[test]
fn the_deadline_is_one_over_all_attempts() {
    let mut world = dispatched(TaskSpec {
        active_deadline_seconds: Some(30),
        ..TaskSpec::default()
    });
    world.report("edge", 1, Stage::Accepted);
    world.step();
    world.pass(5);
    world.report("edge", 1, failed("Interrupted", None));
    world.step();
    world.pass(13);
    let actions = world.step();
    let start = actions.iter().find_map(|action| match action {
        Action::Publish(_, start) => Some(start.limits.deadline_seconds),
        _ => None,
    });
    assert_eq!(start, Some(Some(12)));
    world.report("other", 2, failed("Interrupted", None));
    world.step();
    assert_eq!(world.status().phase, Phase::Pending);
    world.pass(14);
    world.step();
    world.expect(Phase::Failed, types::FINISHED, "DeadlineExceeded");
}

#[test]
fn who_waits_too_long_for_a_place_has_failed() {
    let mut world = World::new();
    world.task.metadata.creation_timestamp = Some(world.now);
    world.edit(|spec| spec.start_deadline_seconds = Some(60));
    world.pass(59);
    assert!(wakes(&world.step()));
    world.expect(Phase::Pending, types::SCHEDULED, "Unschedulable");
    world.pass(1);
    world.step();
    world.expect(Phase::Failed, types::FINISHED, "StartDeadlineExceeded");

    let mut world = dispatched(TaskSpec::default());
    world.task.metadata.creation_timestamp = Some(world.now);
    world.edit(|spec| spec.start_deadline_seconds = Some(10));
    world.pass(10);
    assert!(stops(&world.step()), "what nobody answered is stopped too");
    world.expect(Phase::Failed, types::FINISHED, "StartDeadlineExceeded");

    let mut world = dispatched(TaskSpec::default());
    world.task.metadata.creation_timestamp = Some(world.now);
    world.edit(|spec| spec.start_deadline_seconds = Some(10));
    world.report("edge", 1, Stage::Accepted);
    world.pass(10);
    world.step();
    assert_eq!(world.status().phase, Phase::Running, "it was accepted in time");
}

#[test]
fn a_cancelled_task_ends_at_once_and_its_attempt_is_stopped() {
    let mut world = World::new();
    world.edit(|spec| spec.cancel = true);
    assert!(!stops(&world.step()));
    world.expect(Phase::Cancelled, types::FINISHED, "Cancelled");

    let mut world = dispatched(TaskSpec::default());
    world.edit(|spec| spec.cancel = true);
    assert!(stops(&world.step()));
    world.expect(Phase::Cancelled, types::FINISHED, "Cancelled");
    world.report("edge", 1, completed(json!(42)));
    assert_eq!(acked(&world.step()), [(1, Verdict::Superseded)]);
    assert_eq!(world.status().results, None);
}

#[test]
fn a_suspended_task_waits_and_what_was_stopped_for_it_is_no_failure() {
    let mut world = dispatched(TaskSpec {
        backoff_limit: Some(0),
        ..TaskSpec::default()
    });
    world.report("edge", 1, Stage::Accepted);
    world.pass(2);
    world.step();
    world.edit(|spec| spec.suspend = true);
    assert!(stops(&world.step()));
    assert!(!stops(&world.step()), "once; inventories tell the rest");
    world.report("edge", 1, failed("Cancelled", None));
    assert_eq!(acked(&world.step()), [(1, Verdict::Recorded)]);
    world.expect(Phase::Pending, types::SCHEDULED, "Suspended");
    world.pass(100);
    assert_eq!(published(&world.step()), []);
    assert_eq!((world.status().failures, world.status().start_time), (0, None));

    world.edit(|spec| spec.suspend = false);
    assert_eq!(published(&world.step()), [("edge", 2)]);
    world.expect(Phase::Dispatched, types::SUSPENDED, "Resumed");
    world.report("edge", 2, completed(json!(42)));
    world.step();
    assert_eq!(world.status().phase, Phase::Completed);
}

#[test]
fn a_suspended_task_that_completes_anyway_has_completed() {
    let mut world = dispatched(TaskSpec::default());
    world.edit(|spec| spec.suspend = true);
    world.step();
    world.report("edge", 1, completed(json!(42)));
    world.step();
    assert_eq!(world.status().results, Some(json!(42)));
}

#[test]
fn an_attempt_whose_proplet_stays_away_is_tried_elsewhere_and_either_may_complete() {
    for late in [true, false] {
        let mut world = dispatched(TaskSpec::default());
        world.report("edge", 1, Stage::Accepted);
        world.pass(2);
        world.step();
        world.away("edge");
        world.pass(299);
        world.step();
        assert_eq!(world.status().phase, Phase::Running);
        world.pass(1);
        assert!(stops(&world.step()));
        world.expect(Phase::Pending, types::SCHEDULED, "Lost");
        world.pass(13);
        assert_eq!(published(&world.step()), [("other", 2)]);

        let (proplet, attempt) = if late { ("edge", 1) } else { ("other", 2) };
        world.report(proplet, attempt, completed(json!(42)));
        let actions = world.step();
        assert_eq!(world.status().results, Some(json!(42)));
        assert_eq!(stops(&actions), late, "the other one is stopped");
        world.report("edge", 1, failed("Cancelled", None));
        world.step();
        assert_eq!(world.status().phase, Phase::Completed);
    }
}

#[test]
fn a_failure_of_a_lost_attempt_changes_nothing() {
    let mut world = dispatched(TaskSpec::default());
    world.report("edge", 1, Stage::Accepted);
    world.step();
    world.away("edge");
    world.pass(300);
    world.step();
    world.pass(13);
    world.step();
    world.report("edge", 1, failed("Trap", None));
    assert_eq!(acked(&world.step()), [(1, Verdict::Superseded)]);
    assert_eq!((world.status().phase, world.status().attempt), (Phase::Dispatched, 2));
}

#[test]
fn a_start_that_nobody_answers_waits_for_its_proplet_but_not_for_ever() {
    let mut world = dispatched(TaskSpec::default());
    world.away("edge");
    world.pass(299);
    assert_eq!(published(&world.step()), []);
    world.pass(1);
    assert_eq!(published(&world.step()), [("other", 2)]);
    assert_eq!(world.status().failures, 0);
    world.report("edge", 1, completed(json!(42)));
    world.step();
    assert_eq!(world.status().results, Some(json!(42)), "it had run, and nobody knew");
}

#[test]
fn with_stop_nothing_follows_before_the_attempt_must_have_ended() {
    let spec = || TaskSpec {
        on_disconnect: Some(OnDisconnect::Stop),
        lost_after_seconds: Some(1),
        ..TaskSpec::default()
    };
    let mut world = dispatched(spec());
    let elapsed = world.elapsed;
    world.member("edge").heard = Some(elapsed);
    world.report("edge", 1, Stage::Accepted);
    world.step();
    world.away("edge");
    // The window of its start, one lease and two seconds.
    world.pass(91);
    world.step();
    assert_ne!(world.status().phase, Phase::Pending);
    world.pass(1);
    world.step();
    world.expect(Phase::Pending, types::SCHEDULED, "Lost");

    // One that runs for long: a lease and two seconds after the newest heartbeat.
    let mut world = dispatched(spec());
    world.report("edge", 1, Stage::Accepted);
    world.pass(1000);
    let elapsed = world.elapsed;
    world.member("edge").heard = Some(elapsed);
    world.step();
    world.away("edge");
    world.pass(31);
    world.step();
    assert_eq!(world.status().phase, Phase::Running);
    world.pass(1);
    world.step();
    assert_eq!(world.status().phase, Phase::Pending);

    // An inventory without it doesn't say enough while a start of it may still be accepted.
    let mut world = dispatched(spec());
    is_followed_shortly_after(&mut world, 91);
}

/// Inventories lack the attempt all the time.
fn is_followed_shortly_after(world: &mut World, seconds: i64) {
    world.pass(seconds);
    world.heartbeat("edge", &[]);
    world.step();
    assert_eq!(world.status().attempt, 1);
    world.pass(2);
    world.heartbeat("edge", &[]);
    world.step();
    assert_eq!(world.status().attempt, 2);
}

/// An inventory that was made before the proplet accepted may arrive late, and the clock may be set forward just then.
#[test]
fn with_stop_a_clock_that_is_set_ends_no_window() {
    let mut world = dispatched(TaskSpec {
        on_disconnect: Some(OnDisconnect::Stop),
        ..TaskSpec::default()
    });
    world.now = after(world.now, SignedDuration::from_secs(200));
    world.clock_set = Some(world.now);
    is_followed_shortly_after(&mut world, 31);
}

/// The store was restored from a backup, and a proplet runs an attempt that it has forgotten.
#[test]
fn with_stop_nothing_is_placed_while_a_forgotten_attempt_runs() {
    let mut world = World::new().with_proplet("edge").with_proplet("other");
    world.edit(|spec| spec.on_disconnect = Some(OnDisconnect::Stop));
    world.heartbeat("edge", &[3]);
    let waits = world.step();
    assert_eq!(published(&waits), []);
    assert!(wakes(&waits));
    world.expect(Phase::Pending, types::SCHEDULED, "StillRunning");
    assert_eq!(
        world.message(types::SCHEDULED),
        "attempt 3, of which the store doesn't know, hasn't ended on edge yet"
    );
    world.heartbeat("edge", &[]);
    assert_eq!(published(&world.step()).len(), 1);
}

#[test]
fn an_attempt_on_a_proplet_that_was_deleted_is_lost() {
    let mut world = dispatched(TaskSpec::default());
    world.report("edge", 1, Stage::Accepted);
    world.step();
    let elapsed = world.elapsed;
    world.fleet.members.retain(|member| member.name != "edge");
    world.fleet.gone.insert(id("edge"), elapsed);
    assert!(stops(&world.step()));
    world.expect(Phase::Pending, types::SCHEDULED, "Lost");
}

#[test]
fn an_ended_task_is_deleted_when_its_time_is_over() {
    let mut world = dispatched(TaskSpec {
        ttl_seconds_after_finished: Some(60),
        ..TaskSpec::default()
    });
    world.report("edge", 1, completed(json!(42)));
    // The plan that ends it sees to that: there may be no other one until then.
    assert!(wakes(&world.step()));
    world.pass(59);
    assert!(wakes(&world.step()));
    world.pass(1);
    assert_eq!(world.step(), [Action::Delete]);
}

#[test]
fn placement_asks_for_what_a_start_requires() {
    let mut world = World::new().with_proplet("edge");
    world
        .member("edge")
        .live
        .as_mut()
        .unwrap()
        .capabilities
        .retain(|word| word != requires::LEASE);
    world.edit(|spec| spec.on_disconnect = Some(OnDisconnect::Stop));
    world.step();
    assert_eq!(
        world.message(types::SCHEDULED),
        "0 of 1 proplets fit: 1 without capability lease"
    );
    world.edit(|spec| spec.on_disconnect = None);
    assert_eq!(published(&world.step()), [("edge", 1)]);
}

/// With `backoffLimit: 0` this is what at most once means.
#[test]
fn with_stop_an_attempt_that_may_have_run_unheard_has_failed() {
    let spec = || TaskSpec {
        on_disconnect: Some(OnDisconnect::Stop),
        lost_after_seconds: Some(1),
        backoff_limit: Some(0),
        ..TaskSpec::default()
    };
    let mut gone = dispatched(spec());
    gone.away("edge");
    gone.pass(93);
    gone.step();
    gone.expect(Phase::Failed, types::FINISHED, "Lost");

    let mut wiped = dispatched(spec());
    wiped.member("edge").live.as_mut().unwrap().journal = "another".parse().unwrap();
    wiped.pass(93);
    wiped.heartbeat("edge", &[]);
    wiped.step();
    wiped.expect(Phase::Failed, types::FINISHED, "Lost");

    let mut never_heard_it = dispatched(spec());
    never_heard_it.pass(93);
    never_heard_it.heartbeat("edge", &[]);
    never_heard_it.step();
    assert_eq!(
        (never_heard_it.status().phase, never_heard_it.status().attempt),
        (Phase::Dispatched, 2)
    );
}
