//! The store was restored from a backup: proplets know of attempts that it has forgotten.

use propeller_api::Phase;
use propeller_protocol::{Held, Verdict};

use super::{
    fixtures::{self, attempt, dispatched, finished, held, report, task},
    world::{World, key},
};

/// Task `a` is dispatched to `edge-1` as its first attempt, and `edge-2` is there too.
fn world() -> World {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    world.start();
    world.join("edge-2", &[]);
    world
}

#[test]
fn a_number_that_somebody_holds_is_not_given_again() {
    let mut world = World::new();
    world.store.holds_reads = true;
    world.apply(task("a"));
    // The heartbeat that makes room for the task is the one that tells of the attempt.
    world.store.put_proplet(fixtures::proplet("edge-1", &[]));
    world.settle();
    world.beat("edge-1", vec![held("a", 4)]);
    world.quiet();
    world.store.holds_reads = false;
    assert_eq!(world.start().1.attempt, attempt("a", 5));
}

#[test]
fn what_runs_elsewhere_under_a_later_number_is_stopped() {
    let mut world = world();
    world.beat("edge-2", vec![held("a", 3)]);
    world.beat("edge-2", vec![held("a", 3)]);
    let (proplet, stop) = world.stop();
    assert_eq!((proplet.as_str(), stop.attempt), ("edge-2", attempt("a", 3)));
    assert_eq!(world.status("a").attempt, 1, "what the store knows goes on");
}

#[test]
fn what_runs_elsewhere_under_the_same_number_is_stopped() {
    let mut world = world();
    world.beat("edge-2", vec![held("a", 1)]);
    let (proplet, stop) = world.stop();
    assert_eq!((proplet.as_str(), stop.attempt), ("edge-2", attempt("a", 1)));
    world.beat("edge-1", vec![held("a", 1)]);
    world.quiet();
}

#[test]
fn an_outcome_that_nobody_waits_for_is_acknowledged() {
    let check = |mut world: World| {
        let phase = world.status("a").phase;
        world.report("edge-2", report(attempt("a", 3), finished()));
        let (proplet, ack) = world.ack();
        assert_eq!(
            (proplet.as_str(), ack.attempt, ack.verdict),
            ("edge-2", attempt("a", 3), Verdict::Superseded)
        );
        assert_eq!(world.status("a").phase, phase, "only what the status names counts");
    };
    check(world());
    let mut ended = world();
    ended.report("edge-1", report(attempt("a", 1), finished()));
    ended.ack();
    ended.phase("a", Phase::Completed);
    check(ended);
}

/// Whoever ran a task knows its uid, and can say any name and any number beside it.
#[test]
fn what_a_peer_makes_up_takes_no_task_away() {
    let mut world = world();
    let mut made_up = held("a", 400);
    made_up.attempt.task.name = "nope".into();
    world.beat("edge-2", vec![made_up.clone()]);
    world.beat("edge-2", vec![made_up, held("a", u32::MAX)]);
    let (proplet, stop) = world.stop();
    assert_eq!((proplet.as_str(), stop.attempt.attempt), ("edge-2", 400));
    world.report("edge-1", report(attempt("a", 1), finished()));
    world.ack();
    world.phase("a", Phase::Completed);
}

/// A cache may be behind the store: another replica dispatched it.
#[test]
fn what_only_the_cache_does_not_know_is_not_forgotten() {
    let mut world = world();
    world.store.is_silent = true;
    let mut newer = world.store.tasks[&key("a")].clone();
    newer.status = Some(dispatched("edge-2", 2));
    world.store.put_task(newer);
    world.beat("edge-2", vec![held("a", 2)]);
    world.beat("edge-2", vec![held("a", 2)]);
    world.phase("a", Phase::Running);
    assert_eq!(world.status("a").attempt, 2);
}

#[test]
fn another_control_planes_attempts_say_nothing() {
    let mut world = world();
    let theirs = Held {
        controller: "controller-2".parse().unwrap(),
        ..held("a", 3)
    };
    world.beat("edge-2", vec![theirs]);
    world.quiet();
}
