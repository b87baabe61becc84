//! Proplets say no.

use super::*;

fn refused(reason: Refusal, message: &str) -> Stage {
    let rejection = Rejection {
        reason,
        message: message.into(),
    };
    Stage::Rejected {
        rejection,
        newest: None,
    }
}

#[test]
fn another_proplet_is_asked_at_once_and_in_the_same_write() {
    let mut world = World::new().with_proplet("a").with_proplet("b");
    world.step();
    world.report("a", 1, refused(Refusal::Busy, "2 of 2 tasks are running"));
    assert_eq!(published(&world.step()), [("b", 2)]);
    world.expect(Phase::Dispatched, types::SCHEDULED, "Placed");
    assert_eq!(world.status().refusals[0].proplet, "a");

    world.report("b", 2, refused(Refusal::Busy, "full too"));
    assert_eq!(published(&world.step()), [], "neither is asked again at once");
    world.expect(Phase::Pending, types::SCHEDULED, "Busy");
    assert_eq!(
        world.message(types::SCHEDULED),
        "0 of 2 proplets fit: 2 refused as Busy; a: 2 of 2 tasks are running; b: full too"
    );
}

#[test]
fn a_busy_proplet_is_asked_again_after_pauses_that_grow() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    for (attempt, pause) in [
        (1, 10),
        (2, 20),
        (3, 40),
        (4, 80),
        (5, 160),
        (6, 320),
        (7, 360),
        (8, 360),
    ] {
        world.report("edge", attempt, refused(Refusal::Busy, "full"));
        assert!(wakes(&world.step()), "{attempt}");
        world.expect(Phase::Pending, types::SCHEDULED, "Busy");
        world.pass(pause - 1);
        assert_eq!(published(&world.step()), [], "{attempt}");
        world.pass(1 + pause / 4);
        assert_eq!(published(&world.step()), [("edge", attempt + 1)]);
    }
}

/// The store was restored from a backup, and the proplet wasn't.
#[test]
fn the_next_attempt_follows_the_newest_that_a_proplet_knows() {
    let check = |newest: u32, expected: u32| {
        let mut world = World::new().with_proplet("edge");
        world.step();
        let Stage::Rejected { rejection, .. } = refused(Refusal::Superseded, "attempt 7 was here first") else {
            unreachable!()
        };
        let newest = Some(newest);
        world.report("edge", 1, Stage::Rejected { rejection, newest });
        assert_eq!(
            published(&world.step()),
            [],
            "it's asked again after a pause all the same"
        );
        world.pass(13);
        assert_eq!(published(&world.step()), [("edge", expected)]);
    };
    check(7, 8);
    // Numbers that nobody counted up to leave some for those that are.
    check(u32::MAX, 2);
}

#[test]
fn a_policy_is_asked_again_rarely() {
    for reason in [Refusal::NotGranted, Refusal::TooLarge, Refusal::Unsupported] {
        let mut world = World::new().with_proplet("edge");
        world.step();
        world.report(
            "edge",
            1,
            refused(reason, "directories: /etc isn't below an allowed root"),
        );
        world.step();
        world.expect(Phase::Pending, types::SCHEDULED, &format!("{reason:?}"));
        assert!(
            world
                .message(types::SCHEDULED)
                .ends_with("edge: directories: /etc isn't below an allowed root")
        );
        world.pass(599);
        assert_eq!(published(&world.step()), []);
        world.pass(1);
        assert_eq!(published(&world.step()), [("edge", 2)]);
    }
}

#[test]
fn a_proplet_that_comes_later_is_asked() {
    let mut world = World::new().with_proplet("edge");
    world.step();
    world.report("edge", 1, refused(Refusal::NotGranted, "env"));
    world.step();
    world.add_proplet("other").load.tasks = 2;
    world.step();
    world.expect(Phase::Pending, types::SCHEDULED, "Unschedulable");
    assert_eq!(
        world.message(types::SCHEDULED),
        "0 of 2 proplets fit: 1 full, 1 refused as NotGranted; edge: env"
    );
    world.member("other").load.tasks = 0;
    assert_eq!(published(&world.step()), [("other", 2)]);
    world.report("other", 2, Stage::Accepted);
    world.pass(2);
    world.step();
    assert!(world.status().refusals.is_empty(), "it runs");
}

#[test]
fn a_fleet_that_refuses_is_remembered_within_bounds() {
    let mut world = World::new();
    for number in 0..100 {
        world.add_proplet(&format!("edge-{number}"));
    }
    let mut actions = world.step();
    for _ in 0..100 {
        let (proplet, attempt) = published(&actions)[0];
        let proplet = proplet.to_owned();
        world.report(&proplet, attempt, refused(Refusal::NotGranted, &"x".repeat(10_000)));
        actions = world.step();
        if published(&actions).is_empty() {
            break;
        }
    }
    assert_eq!(world.status().refusals.len(), 32);
    assert!(world.status().refusals[31].message.len() == 256);
}
