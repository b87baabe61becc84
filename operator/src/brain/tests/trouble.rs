//! The store says no.

use std::time::Duration;

use propeller_api::{Phase, types};
use propeller_protocol::Verdict;

use super::{
    fixtures::{attempt, finished, report, task},
    world::World,
};
use crate::brain::{Outgoing, WriteError};

#[tokio::test(start_paused = true)]
async fn on_a_conflict_nothing_is_published_and_the_task_is_planned_again() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.ready("edge-1", "Heartbeats").await;
    let store = world.store.clone();
    store.writes.forget_permits(usize::MAX);
    world.apply(task("a")).await;
    world.quiet().await;
    // Somebody labels the task while its dispatch is being written, and the cache is slow to tell.
    store.state().watch = None;
    let mut labelled = task("a");
    labelled.metadata.labels.insert("team".into(), "blue".into());
    world.apply(labelled).await;
    store.writes.add_permits(1);
    let (_, start) = world.start().await;
    assert_eq!(start.attempt, attempt("a", 1));
    let state = store.state();
    let stored = state.tasks.values().next().unwrap();
    assert_eq!((stored.metadata.labels.len(), state.task_writes), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_asked_again() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    for _ in 0..3 {
        let trouble = WriteError::Failed("connection refused".into());
        world.store.state().troubles.push_back(trouble);
    }
    let before = world.now();
    world.apply(task("a")).await;
    assert_eq!(world.start().await.1.attempt, attempt("a", 1));
    let took = world.now().duration_since(before).as_secs();
    assert!(
        (7..=9).contains(&took),
        "1, 2 and 4 seconds and some jitter, not {took}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_the_end_of_the_task() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    world
        .store
        .state()
        .troubles
        .push_back(WriteError::Refused("too large".into()));
    world.report("edge-1", report(start.attempt, finished())).await;
    assert_eq!(world.ack().await.1.verdict, Verdict::Superseded);
    let message = world.reason("a", types::FINISHED, "StatusRefused").await;
    assert!(message.contains("too large"), "{message}");
    let status = world.status("a");
    assert_eq!((status.phase, status.results), (Phase::Failed, None));
}

#[tokio::test(start_paused = true)]
async fn a_task_deleted_while_it_is_dispatched_is_not_started() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.ready("edge-1", "Heartbeats").await;
    let store = world.store.clone();
    store.writes.forget_permits(usize::MAX);
    world.apply(task("a")).await;
    world.quiet().await;
    world.delete("a").await;
    store.writes.add_permits(1);
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_only_told_holds_up_no_result() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.ready("edge-1", "Heartbeats").await;
    world.store.state().slowness = Duration::from_secs(1);
    for number in 0..200 {
        world.apply(task(&number.to_string())).await;
    }
    // Two are placed; why the others aren't takes twelve seconds to write.
    let (_, start) = world.start().await;
    let before = world.now();
    world.report("edge-1", report(start.attempt, finished())).await;
    while !matches!(world.outgoing().await, Outgoing::Ack(..)) {}
    assert!(world.now().duration_since(before).as_secs() <= 2);
    world.reason("199", types::SCHEDULED, "Unschedulable").await;
}
