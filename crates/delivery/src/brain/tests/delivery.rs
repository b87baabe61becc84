//! From a Task to its result, and what must not get in between.

use std::time::Duration;

use propeller_api::{Phase, types};
use propeller_protocol::{Failure, Outcome, Refusal, Rejection, Stage, Usage, Verdict};
use serde_json::json;

use super::{
    fixtures::{attempt, finished, held, report, task},
    world::World,
};
use crate::brain::{Bus, Event};

#[test]
fn a_task_completes_with_two_writes() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    let (proplet, start) = world.start();
    assert_eq!((proplet.as_str(), &start.attempt), ("edge-1", &attempt("a", 1)));
    world.report("edge-1", report(start.attempt.clone(), Stage::Accepted));
    world.report("edge-1", report(start.attempt.clone(), finished()));
    let (_, ack) = world.ack();
    assert_eq!((&ack.attempt, ack.verdict), (&start.attempt, Verdict::Recorded));
    let status = world.status("a");
    assert_eq!((status.phase, status.results), (Phase::Completed, Some(json!(42))));
    assert_eq!(world.store.task_writes, 2);
    let notices = world.store.notices.clone();
    let notices = notices.into_iter().filter(|notice| notice.about.kind == "Task");
    let notices: Vec<_> = notices.map(|notice| notice.reason).collect();
    assert_eq!(notices, ["Dispatched", "Completed"]);
}

#[test]
fn a_start_waits_for_its_write_and_an_acknowledgement_for_its() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    world.store.holds_writes = true;
    world.apply(task("a"));
    world.quiet();
    world.store.holds_writes = false;
    let (_, start) = world.start();
    assert_eq!(world.status("a").attempt, 1);

    world.store.holds_writes = true;
    world.report("edge-1", report(start.attempt.clone(), finished()));
    world.quiet();
    world.store.holds_writes = false;
    assert_eq!(world.ack().1.verdict, Verdict::Recorded);
    assert_eq!(world.status("a").phase, Phase::Completed);
}

#[test]
fn a_start_that_the_broker_does_not_take_is_told_and_sent_again() {
    let (mut world, start) = World::dispatched();
    let (attempt, reason) = (start.attempt.clone(), "QuotaExceeded".to_owned());
    world.send(Event::Bus(Bus::StartRefused { attempt, reason }));
    let said = world.reason("a", types::SCHEDULED, "BrokerRefuses");
    assert!(said.ends_with(": QuotaExceeded"), "{said}");
    assert_eq!(world.start().1, start);
}

#[test]
fn a_task_that_runs_for_a_while_says_so() {
    let (mut world, start) = World::dispatched();
    world.report("edge-1", report(start.attempt, Stage::Accepted));
    world.phase("a", Phase::Running);
    assert_eq!(world.store.task_writes, 2);
}

#[test]
fn an_inventory_is_as_good_as_an_accepted() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    world.start();
    world.beat("edge-1", vec![held("a", 1)]);
    world.phase("a", Phase::Running);
    world.quiet();
}

#[test]
fn what_an_inventory_lacks_was_lost() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    world.start();
    world.beat("edge-1", vec![held("a", 1)]);
    world.phase("a", Phase::Running);
    world.beat("edge-1", vec![]);
    world.reason("a", types::SCHEDULED, "Lost");
    world.beat("edge-1", vec![]);
    assert_eq!(world.start().1.attempt, attempt("a", 2));
}

#[test]
fn only_the_proplet_that_the_status_names_is_heard() {
    let (mut world, start) = World::dispatched();
    world.report("edge-2", report(start.attempt.clone(), finished()));
    let (proplet, ack) = world.ack();
    assert_eq!((proplet.as_str(), ack.verdict), ("edge-2", Verdict::Superseded));
    let mut cloned = report(start.attempt.clone(), finished());
    cloned.sender.journal = "journal-2".parse().unwrap();
    world.report("edge-1", cloned);
    assert_eq!(world.ack().1.verdict, Verdict::Superseded);
    assert_eq!(world.status("a").phase, Phase::Dispatched);
}

#[test]
fn only_lines_of_what_was_dispatched_are_kept() {
    let (mut world, start) = World::dispatched();
    world.log("edge-1", start.attempt.clone(), "one");
    world.log("edge-2", start.attempt.clone(), "of another proplet");
    world.log("edge-1", attempt("a", 2), "of another attempt");
    world.log("edge-1", attempt("z", 1), "of another task");
    world.report("edge-1", report(start.attempt.clone(), finished()));
    world.log("edge-1", start.attempt.clone(), "two");
    assert_eq!(world.store.lines, ["one", "two"]);
    world.delete("a");
    assert_eq!(world.store.forgotten, std::slice::from_ref(&start.attempt.task.uid));
    world.log("edge-1", start.attempt, "too late");
    assert_eq!(world.store.lines.len(), 2);
}

/// Who was deleted while no control plane ran is in no listing.
#[test]
fn lines_of_what_went_meanwhile_are_forgotten_with_the_first_listing() {
    let (mut world, start) = World::dispatched();
    world.apply(task("b"));
    world.store.is_silent = true;
    world.delete("b");
    world.store.is_silent = false;
    assert!(world.store.forgotten.is_empty());
    let world = world.restart();
    assert_eq!(world.store.remembered.last(), Some(&vec![start.attempt.task.uid]));
}

#[test]
fn a_report_for_another_control_plane_is_left_alone() {
    let (mut world, start) = World::dispatched();
    let mut foreign = report(start.attempt, finished());
    foreign.controller = "controller-2".parse().unwrap();
    world.report("edge-1", foreign);
    let mut unknown = report(attempt("z", 1), finished());
    unknown.controller = "controller-2".parse().unwrap();
    world.report("edge-1", unknown);
    world.quiet();
    assert_eq!(world.status("a").phase, Phase::Dispatched);
}

#[test]
fn a_start_that_nobody_answers_is_published_again() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    let (_, first) = world.start();
    let (_, second) = world.start();
    assert_eq!(first, second);
    assert_eq!(world.store.task_writes, 1);
}

#[test]
fn a_rejected_task_is_placed_again_later() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    // Later pauses are longer than a proplet may be silent, and nothing speaks in them here.
    for number in 1..4 {
        let (_, start) = world.start();
        assert_eq!(start.attempt.attempt, number);
        let rejection = Rejection {
            reason: Refusal::Busy,
            message: "2 of 2 tasks are running".into(),
        };
        world.report(
            "edge-1",
            report(
                start.attempt,
                Stage::Rejected {
                    rejection,
                    newest: None,
                },
            ),
        );
        world.reason("a", types::SCHEDULED, "Busy");
        world.beat("edge-1", vec![]);
    }
}

#[test]
fn a_deleted_task_stops_at_once_and_again_as_long_as_it_is_held() {
    let (mut world, start) = World::dispatched();
    world.delete("a");
    assert_eq!(world.stop().1.attempt, start.attempt);
    for _ in 0..2 {
        world.beat("edge-1", vec![held("a", 1)]);
        assert_eq!(world.stop().1.attempt, start.attempt);
    }
    world.beat("edge-1", vec![]);
    world.quiet();
}

#[test]
fn only_our_own_is_stopped() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    let mut foreign = held("z", 1);
    foreign.controller = "controller-2".parse().unwrap();
    world.beat("edge-1", vec![foreign]);
    world.quiet();
}

#[test]
fn what_cannot_be_read_is_not_stopped() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    let uid = "uid-z".to_owned();
    world.send(Event::Task(crate::brain::Change::Unreadable { uid }));
    world.beat("edge-1", vec![held("z", 1)]);
    world.report("edge-1", report(attempt("z", 1), finished()));
    world.quiet();
}

#[test]
fn a_restart_goes_on_from_the_status() {
    let (world, start) = World::dispatched();
    let mut world = world.restart();
    let (_, again) = world.start();
    assert_eq!(again, start);
    world.report("edge-1", report(start.attempt, finished()));
    assert_eq!(world.ack().1.verdict, Verdict::Recorded);
    assert_eq!(
        (world.status("a").results, world.store.task_writes),
        (Some(json!(42)), 2)
    );
}

#[test]
fn an_outcome_that_is_recorded_is_acknowledged_again() {
    let (mut world, start) = World::dispatched();
    world.report("edge-1", report(start.attempt.clone(), finished()));
    world.ack();
    let mut world = world.restart();
    world.report("edge-1", report(start.attempt, finished()));
    assert_eq!(world.ack().1.verdict, Verdict::Recorded);
    assert_eq!(world.store.task_writes, 2);
}

#[test]
fn an_outcome_is_discarded_only_when_the_store_says_that_its_task_is_gone() {
    let mut world = World::new();

    world.store.holds_reads = true;
    world.report("edge-1", report(attempt("z", 1), finished()));
    world.quiet();
    world.store.holds_reads = false;
    assert_eq!(world.ack().1.verdict, Verdict::Discarded);
}

#[test]
fn a_task_that_the_cache_does_not_know_yet_is_not_gone() {
    let mut world = World::new();
    world.store.is_silent = true;
    let mut unseen = task("a");
    unseen.status = Some(super::fixtures::dispatched("edge-1", 1));
    world.apply(unseen);
    world.report("edge-1", report(attempt("a", 1), finished()));
    assert_eq!(world.ack().1.verdict, Verdict::Recorded);
    assert_eq!(world.status("a").phase, Phase::Completed);
}

#[test]
fn while_the_broker_is_away_nothing_is_lost() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.pass(Duration::from_secs(1));
    world.send(Event::Bus(Bus::Disconnected));
    world.apply(task("a"));
    world.phase("a", Phase::Dispatched);
    world.quiet();
    world.connect();
    assert_eq!(world.start().1.attempt, attempt("a", 1));
}

#[test]
fn an_ended_task_is_deleted_in_time() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    let mut short = task("a");
    short.spec.ttl_seconds_after_finished = Some(1);
    world.apply(short);
    let (_, start) = world.start();
    world.report("edge-1", report(start.attempt, finished()));
    assert_eq!(world.ack().1.verdict, Verdict::Recorded);
    world.until("it to be gone", |world| world.store.tasks.is_empty());
}

#[test]
fn what_the_cache_brings_before_its_write_comes_back_is_told_too() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(task("a"));
    world.start();
    let told = |world: &World| {
        world
            .store
            .notices
            .iter()
            .filter(|notice| notice.reason == "Dispatched")
            .count()
    };
    assert_eq!(told(&world), 1);
    world.store.tells_first = true;
    world.apply(task("b"));
    world.start();
    assert_eq!(told(&world), 2);
}

#[test]
fn what_a_peer_makes_up_keeps_no_outcome_out() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.join("edge-2", &[]);
    world.apply(task("a"));
    let (proplet, start) = world.start();
    let other = if proplet == "edge-1" { "edge-2" } else { "edge-1" };
    // Whoever ran the task before knows its uid. It says of this attempt and of later ones whatever it likes, from as many journals as it likes.
    world.store.holds_writes = true;
    for number in 0..100 {
        for stage in [
            Stage::Accepted,
            Stage::Started {
                address: None,
                problem: None,
            },
            finished(),
        ] {
            let mut made_up = report(attempt("a", 1 + number % 3), stage);
            made_up.sender.journal = format!("journal-{number}").parse().unwrap();
            world.report(other, made_up);
        }
    }
    world.store.holds_writes = false;
    world.report(&proplet, report(start.attempt.clone(), finished()));
    let (_, ack) = std::iter::repeat_with(|| world.ack())
        .find(|(to, _)| *to == proplet)
        .unwrap();
    assert_eq!((ack.attempt, ack.verdict), (start.attempt, Verdict::Recorded));
    assert_eq!(world.status("a").phase, Phase::Completed);
}

#[test]
fn the_first_outcome_counts() {
    let (mut world, start) = World::dispatched();
    world.fail_a_write();
    world.report("edge-1", report(start.attempt.clone(), finished()));
    // It was killed before its result was on its disk, and all that it knows is that the attempt ran.
    let failure = Failure {
        reason: "Interrupted".into(),
        message: "the proplet restarted".into(),
        error: None,
    };
    let usage = Usage::default();
    let outcome = Outcome::Failed { failure, usage };
    world.report("edge-1", report(start.attempt.clone(), Stage::Finished { outcome }));
    world.phase("a", Phase::Completed);
    assert_eq!(world.status("a").results, Some(json!(42)));
}
