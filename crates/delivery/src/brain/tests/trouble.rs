//! The store says no.

use std::time::Duration;

use propeller_api::{Phase, types};
use propeller_protocol::Verdict;

use super::{
    fixtures::{attempt, finished, report, task},
    world::World,
};
use crate::brain::{Outgoing, WriteError};

#[test]
fn on_a_conflict_nothing_is_published_and_the_task_is_planned_again() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");

    world.store.holds_writes = true;
    world.apply(task("a"));
    world.quiet();
    // Somebody labels the task while its dispatch is being written, and the cache is slow to tell.
    world.store.is_silent = true;
    let mut labelled = task("a");
    labelled.metadata.labels.insert("team".into(), "blue".into());
    world.apply(labelled);
    world.store.holds_writes = false;
    let (_, start) = world.start();
    assert_eq!(start.attempt, attempt("a", 1));
    let stored = world.store.tasks.values().next().unwrap();
    assert_eq!((stored.metadata.labels.len(), world.store.task_writes), (1, 1));
}

#[test]
fn a_store_that_fails_is_asked_again() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    for _ in 0..3 {
        world.fail_a_write();
    }
    let before = world.now();
    world.apply(task("a"));
    assert_eq!(world.start().1.attempt, attempt("a", 1));
    let took = world.now().duration_since(before).as_secs();
    assert!(
        (7..=9).contains(&took),
        "1, 2 and 4 seconds and some jitter, not {took}"
    );
}

#[test]
fn what_the_store_refuses_is_the_end_of_the_task() {
    let (mut world, start) = World::dispatched();
    world.store.troubles.push_back(WriteError::Refused("too large".into()));
    world.report("edge-1", report(start.attempt, finished()));
    assert_eq!(world.ack().1.verdict, Verdict::Superseded);
    let message = world.reason("a", types::FINISHED, "StatusRefused");
    assert!(message.contains("too large"), "{message}");
    let status = world.status("a");
    assert_eq!((status.phase, status.results), (Phase::Failed, None));
}

#[test]
fn a_task_deleted_while_it_is_dispatched_is_not_started() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");

    world.store.holds_writes = true;
    world.apply(task("a"));
    world.quiet();
    world.delete("a");
    world.store.holds_writes = false;
    world.quiet();
}

#[test]
fn what_is_only_told_holds_up_no_result() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    world.store.slowness = Duration::from_secs(1);
    for number in 0..200 {
        world.apply(task(&number.to_string()));
    }
    // Two are placed; why the others aren't takes twelve seconds to write.
    let (_, start) = world.start();
    let before = world.now();
    world.report("edge-1", report(start.attempt, finished()));
    while !matches!(world.outgoing(), Outgoing::Ack(..)) {}
    assert!(world.now().duration_since(before).as_secs() <= 2);
    world.reason("199", types::SCHEDULED, "Unschedulable");
}

#[test]
fn a_million_made_up_tasks_leave_nothing_behind() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    world.store.holds_reads = true;
    for number in 0..1_000_000 {
        let made_up = report(attempt(&number.to_string(), 1), finished());
        world.report("edge-1", made_up);
    }
    assert!(world.kept_of_strangers() <= 128, "{}", world.kept_of_strangers());
}
