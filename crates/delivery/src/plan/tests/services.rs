//! Services: one placement after the other, until the Task is deleted.

use propeller_api::Service;

use super::*;

/// A service that `edge` has accepted as attempt 1.
fn accepted() -> World {
    let spec = TaskSpec {
        service: Some(Service::default()),
        ..TaskSpec::default()
    };
    let mut world = World::of(spec).with_proplet("edge");
    world.step();
    world.report("edge", 1, Stage::Accepted);
    world.heartbeat("edge", &[1]);
    world
}

/// The same when it listens.
fn listening() -> World {
    let mut world = accepted();
    world.report("edge", 1, started(Some("http://edge:8080")));
    world.step();
    world
}

fn started(address: Option<&str>) -> Stage {
    let address = address.map(str::to_owned);
    let problem = None;
    Stage::Started { address, problem }
}

#[test]
fn a_service_that_cannot_begin_says_why() {
    let mut world = listening();
    let failed = |problem: &str| Stage::Started {
        address: None,
        problem: Some(problem.to_owned()),
    };
    world.report("edge", 1, failed("it trapped"));
    world.step();
    assert_eq!(
        world.message(types::READY),
        "it ended, and edge starts it again: it trapped"
    );
    let mut world = accepted();
    world.report("edge", 1, failed("no memory"));
    world.pass(5);
    world.step();
    assert_eq!(
        world.message(types::READY),
        "edge can't start it, and tries again: no memory"
    );
}

/// What `Ready` says, and the address.
fn ready(world: &World) -> (bool, &str, Option<&str>) {
    let said = condition(&world.status().conditions, types::READY).unwrap();
    let holds = is_true(&world.status().conditions, types::READY);
    (holds, &said.reason, world.status().address.as_deref())
}

fn stops(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Stop(..)))
}

#[test]
fn a_service_is_ready_when_it_listens() {
    let world = listening();
    world.expect(Phase::Running, types::STARTED, "Accepted");
    assert_eq!(ready(&world), (true, "Listening", Some("http://edge:8080")));
    assert_eq!(
        world.plan(),
        Plan::default(),
        "it needs nothing, for as long as it runs"
    );
}

#[test]
fn a_service_that_takes_its_time_is_not_ready_yet() {
    let mut world = listening();
    world.task.status = None;
    world.inbox = Inbox::default();
    world.step();
    world.report("edge", 1, Stage::Accepted);
    world.report("edge", 1, started(None));
    assert_eq!(world.plan().status, None, "it may listen in a moment");
    world.pass(2);
    world.step();
    assert_eq!(ready(&world), (false, "Starting", None));
    world.report("edge", 1, started(Some("http://edge:1")));
    world.step();
    assert_eq!(ready(&world), (true, "Listening", Some("http://edge:1")));
}

#[test]
fn a_service_that_restarts_in_place_keeps_its_placement() {
    let mut world = listening();
    world.report("edge", 1, started(None));
    assert_eq!(published(&world.step()), []);
    assert_eq!(ready(&world), (false, "Restarting", None));
    world.report("edge", 1, started(Some("http://edge:8081")));
    world.step();
    assert_eq!(ready(&world), (true, "Listening", Some("http://edge:8081")));
    assert_eq!((world.status().attempt, world.status().failures), (1, 0));
}

#[test]
fn what_was_said_earlier_does_not_undo_what_was_said_later() {
    let mut world = listening();
    let origin = settle::current(world.status()).unwrap();
    let early = Accepted {
        at: world.now,
        boot: boot(),
        sequence: 1,
    };
    world.inbox.take(origin, started(None), early);
    world.step();
    assert_eq!(ready(&world), (true, "Listening", Some("http://edge:8080")));
}

#[test]
fn the_next_placement_follows_a_pause_that_grows() {
    let mut world = listening();
    for (attempt, pause) in [(1, 10), (2, 20), (3, 40)] {
        world.report("edge", attempt, failed("Trap", None));
        let actions = world.step();
        assert_eq!(acked(&actions), [(attempt, Verdict::Recorded)]);
        world.expect(Phase::Pending, types::SCHEDULED, "Trap");
        assert_eq!(ready(&world), (false, "Trap", None));
        assert!(condition(&world.status().conditions, types::FINISHED).is_none());
        world.pass(pause - 1);
        assert_eq!(published(&world.step()), []);
        world.pass(1 + pause / 4);
        assert_eq!(published(&world.step()), [("edge", attempt + 1)]);
        world.report("edge", attempt + 1, started(Some("http://edge:8080")));
        world.step();
        assert_eq!(ready(&world), (true, "Listening", Some("http://edge:8080")));
    }
    world.pass(600);
    world.report("edge", 4, failed("Interrupted", None));
    world.step();
    assert_eq!(world.status().failures, 1, "it had lasted");
}

#[test]
fn the_next_placement_is_where_it_was_not_tried() {
    let mut world = listening();
    world.add_proplet("busier").load.tasks = 1;
    world.report("edge", 1, failed("ListenFailed", None));
    world.step();
    world.pass(13);
    assert_eq!(published(&world.step()), [("busier", 2)]);
}

#[test]
fn an_end_that_is_reported_again_is_acknowledged_again() {
    let mut world = listening();
    world.report("edge", 1, failed("Trap", None));
    world.step();
    world.report("edge", 1, failed("Trap", None));
    assert_eq!(acked(&world.step()), [(1, Verdict::Recorded)]);
    assert_eq!(world.status().failures, 1);
    world.pass(13);
    world.step();
    world.report("edge", 1, failed("Trap", None));
    assert_eq!(acked(&world.step()), [(1, Verdict::Superseded)]);
    assert_eq!(world.status().attempt, 2);
}

#[test]
fn a_service_leaves_a_proplet_that_stays_away() {
    let mut world = listening();
    world.add_proplet("other").load.tasks = 1;
    let now = world.elapsed;
    let edge = world.member("edge");
    let live = edge.live.take();
    assert_eq!(world.plan(), Plan::default(), "nobody says yet that it is away");
    world.member("edge").away_since = Some(now);
    assert!(wakes(&world.step()));
    assert_eq!(ready(&world), (false, "PropletOffline", Some("http://edge:8080")));

    // It comes back in time, and still has the service.
    (world.member("edge").live, world.member("edge").away_since) = (live, None);
    world.step();
    assert_eq!(ready(&world), (true, "Listening", Some("http://edge:8080")));

    (world.member("edge").live, world.member("edge").away_since) = (None, Some(now));
    world.pass(59);
    assert!(!stops(&world.step()));
    world.pass(1);
    assert!(stops(&world.step()));
    world.expect(Phase::Pending, types::SCHEDULED, "Lost");
    let held = Held {
        attempt: AttemptRef {
            task: TaskRef {
                namespace: "lab".into(),
                name: "addition".into(),
                uid: "uid-1".into(),
            },
            attempt: 1,
        },
        controller: controller(),
        state: HeldState::Running,
    };
    assert!(
        is_unwanted(&held, &controller(), Some(&world.task)),
        "before the next placement too"
    );
    world.pass(13);
    assert_eq!(published(&world.step()), [("other", 2)]);
}

#[test]
fn a_service_leaves_a_proplet_that_is_deleted() {
    let mut world = listening();
    world.fleet.members.clear();
    assert!(stops(&world.step()));
    world.expect(Phase::Pending, types::READY, "Lost");
}

#[test]
fn a_service_that_its_proplet_forgot_is_placed_anew() {
    let mut world = listening();
    world.heartbeat("edge", &[]);
    world.step();
    world.expect(Phase::Pending, types::READY, "Lost");
}

#[test]
fn a_service_that_has_no_place_is_not_ready_for_that_reason() {
    let mut world = listening();
    world.report("edge", 1, failed("Interrupted", None));
    world.member("edge").live.as_mut().unwrap().draining = true;
    world.step();
    world.pass(13);
    world.step();
    assert_eq!(ready(&world), (false, "Unschedulable", None));
    let order: Vec<_> = world
        .status()
        .conditions
        .iter()
        .map(|said| said.type_.as_str())
        .collect();
    assert_eq!(order, [types::RESOLVED, types::SCHEDULED, types::STARTED, types::READY]);
}

#[test]
fn another_control_plane_goes_on_from_the_status() {
    let mut world = listening();
    world.inbox = Inbox::default();
    world.pass(1);
    assert_eq!(world.plan(), Plan::default());
}
