//! From a Task to its result, and what must not get in between.

use std::time::Duration;

use propeller_api::{Phase, types};
use propeller_protocol::{Refusal, Rejection, Stage, Verdict};
use serde_json::json;
use tokio::time::sleep;

use super::{
    fixtures::{attempt, finished, held, report, task},
    world::World,
};
use crate::brain::{Bus, Event};

#[tokio::test(start_paused = true)]
async fn a_task_completes_with_two_writes() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (proplet, start) = world.start().await;
    assert_eq!((proplet.as_str(), &start.attempt), ("edge-1", &attempt("a", 1)));
    world
        .report("edge-1", report(start.attempt.clone(), Stage::Accepted))
        .await;
    world.report("edge-1", report(start.attempt.clone(), finished())).await;
    let (_, ack) = world.ack().await;
    assert_eq!((&ack.attempt, ack.verdict), (&start.attempt, Verdict::Recorded));
    let status = world.status("a");
    assert_eq!((status.phase, status.results), (Phase::Completed, Some(json!(42))));
    assert_eq!(world.store.state().task_writes, 2);
    let notices = world.store.state().notices.clone();
    let notices = notices.into_iter().filter(|notice| notice.about.kind == "Task");
    let notices: Vec<_> = notices.map(|notice| notice.reason).collect();
    assert_eq!(notices, ["Dispatched", "Completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_its_write_and_an_acknowledgement_for_its() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.ready("edge-1", "Heartbeats").await;
    let gate = world.store.clone();
    gate.writes.forget_permits(usize::MAX);
    world.apply(task("a")).await;
    world.quiet().await;
    gate.writes.add_permits(1);
    let (_, start) = world.start().await;
    assert_eq!(world.status("a").attempt, 1);

    gate.writes.forget_permits(usize::MAX);
    world.report("edge-1", report(start.attempt.clone(), finished())).await;
    world.quiet().await;
    gate.writes.add_permits(1);
    assert_eq!(world.ack().await.1.verdict, Verdict::Recorded);
    assert_eq!(world.status("a").phase, Phase::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_runs_for_a_while_says_so() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    world.report("edge-1", report(start.attempt, Stage::Accepted)).await;
    world.phase("a", Phase::Running).await;
    assert_eq!(world.store.state().task_writes, 2);
}

#[tokio::test(start_paused = true)]
async fn an_inventory_is_as_good_as_an_accepted() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    world.start().await;
    world.beat("edge-1", vec![held("a", 1)]).await;
    world.phase("a", Phase::Running).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_inventory_lacks_was_lost() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    world.start().await;
    world.beat("edge-1", vec![held("a", 1)]).await;
    world.phase("a", Phase::Running).await;
    world.beat("edge-1", vec![]).await;
    world.reason("a", types::FINISHED, "Lost").await;
}

#[tokio::test(start_paused = true)]
async fn only_the_proplet_that_the_status_names_is_heard() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    world.report("edge-2", report(start.attempt.clone(), finished())).await;
    let (proplet, ack) = world.ack().await;
    assert_eq!((proplet.as_str(), ack.verdict), ("edge-2", Verdict::Superseded));
    let mut cloned = report(start.attempt.clone(), finished());
    cloned.sender.journal = "journal-2".parse().unwrap();
    world.report("edge-1", cloned).await;
    assert_eq!(world.ack().await.1.verdict, Verdict::Superseded);
    assert_eq!(world.status("a").phase, Phase::Dispatched);
}

#[tokio::test(start_paused = true)]
async fn a_report_for_another_control_plane_is_left_alone() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    let mut foreign = report(start.attempt, finished());
    foreign.controller = "controller-2".parse().unwrap();
    world.report("edge-1", foreign).await;
    let mut unknown = report(attempt("z", 1), finished());
    unknown.controller = "controller-2".parse().unwrap();
    world.report("edge-1", unknown).await;
    world.quiet().await;
    assert_eq!(world.status("a").phase, Phase::Dispatched);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_answers_is_published_again() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, first) = world.start().await;
    let (_, second) = world.start().await;
    assert_eq!(first, second);
    assert_eq!(world.store.state().task_writes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_task_is_placed_again_later() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    // Later pauses are longer than a proplet may be silent, and nothing speaks in them here.
    for number in 1..4 {
        let (_, start) = world.start().await;
        assert_eq!(start.attempt.attempt, number);
        let rejection = Rejection {
            reason: Refusal::Busy,
            message: "2 of 2 tasks are running".into(),
        };
        world
            .report("edge-1", report(start.attempt, Stage::Rejected { rejection }))
            .await;
        world.reason("a", types::SCHEDULED, "Busy").await;
        world.beat("edge-1", vec![]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_task_stops_at_once_and_again_as_long_as_it_is_held() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    world.delete("a").await;
    assert_eq!(world.stop().await.1.attempt, start.attempt);
    for _ in 0..2 {
        world.beat("edge-1", vec![held("a", 1)]).await;
        assert_eq!(world.stop().await.1.attempt, start.attempt);
    }
    world.beat("edge-1", vec![]).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn only_our_own_is_stopped() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    let mut foreign = held("z", 1);
    foreign.controller = "controller-2".parse().unwrap();
    world.beat("edge-1", vec![foreign]).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_stopped() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    let uid = "uid-z".to_owned();
    world.send(Event::Task(crate::brain::Change::Unreadable { uid })).await;
    world.beat("edge-1", vec![held("z", 1)]).await;
    world.report("edge-1", report(attempt("z", 1), finished())).await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_from_the_status() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    let mut world = world.restart().await;
    let (_, again) = world.start().await;
    assert_eq!(again, start);
    world.report("edge-1", report(start.attempt, finished())).await;
    assert_eq!(world.ack().await.1.verdict, Verdict::Recorded);
    assert_eq!(
        (world.status("a").results, world.store.state().task_writes),
        (Some(json!(42)), 2)
    );
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_recorded_is_acknowledged_again() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.apply(task("a")).await;
    let (_, start) = world.start().await;
    world.report("edge-1", report(start.attempt.clone(), finished())).await;
    world.ack().await;
    let mut world = world.restart().await;
    world.report("edge-1", report(start.attempt, finished())).await;
    assert_eq!(world.ack().await.1.verdict, Verdict::Recorded);
    assert_eq!(world.store.state().task_writes, 2);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_discarded_only_when_the_store_says_that_its_task_is_gone() {
    let mut world = World::new().await;
    let store = world.store.clone();
    store.reads.forget_permits(usize::MAX);
    world.report("edge-1", report(attempt("z", 1), finished())).await;
    world.quiet().await;
    store.reads.add_permits(1);
    assert_eq!(world.ack().await.1.verdict, Verdict::Discarded);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_the_cache_does_not_know_yet_is_not_gone() {
    let mut world = World::new().await;
    world.store.state().watch = None;
    let mut unseen = task("a");
    unseen.status = Some(super::fixtures::dispatched("edge-1", 1));
    world.apply(unseen).await;
    world.report("edge-1", report(attempt("a", 1), finished())).await;
    assert_eq!(world.ack().await.1.verdict, Verdict::Recorded);
    assert_eq!(world.status("a").phase, Phase::Completed);
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_nothing_is_lost() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    sleep(Duration::from_secs(1)).await;
    world.send(Event::Bus(Bus::Disconnected)).await;
    world.apply(task("a")).await;
    world.phase("a", Phase::Dispatched).await;
    world.quiet().await;
    world.connect().await;
    assert_eq!(world.start().await.1.attempt, attempt("a", 1));
}
