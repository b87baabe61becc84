//! Proplets come and go, and tasks find their places among them.

use std::time::Duration;

use jiff::SignedDuration;
use propeller_api::{LabelSelector, OnDisconnect, Phase, types};
use propeller_protocol::{Alive, Presence, Stage};

use super::{
    fixtures::{alive, finished, held, proplet, report, sender, task},
    world::World,
};

#[test]
fn heartbeats_write_nothing() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    for _ in 0..20 {
        world.pass(Duration::from_secs(10));
        world.beat("edge-1", vec![]);
    }
    assert_eq!(world.store.proplet_writes, 1);
    let status = world.store.proplets.values().next().unwrap().status.clone().unwrap();
    assert_eq!(status.capacity.unwrap().tasks, 2);
}

#[test]
fn silence_and_a_will_are_seen() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    world.ready("edge-1", "Offline");
    world.beat("edge-1", vec![]);
    world.ready("edge-1", "Heartbeats");
    let will = Alive {
        sender: sender("boot-1", 0),
        presence: Presence::Offline,
    };
    let before = world.now();
    world.alive("edge-1", will, false);
    world.ready("edge-1", "Offline");
    assert!(world.now().duration_since(before).as_secs() < 2);
}

#[test]
fn a_proplet_that_never_came_is_told_so() {
    let mut world = World::new();
    world.store.put_proplet(proplet("edge-1", &[]));
    world.ready("edge-1", "NeverSeen");
}

#[test]
fn a_retained_message_makes_nobody_ready() {
    let mut world = World::new();
    world.store.put_proplet(proplet("edge-1", &[]));
    world.alive("edge-1", alive("boot-0", 7, vec![]), true);
    world.apply(task("a"));
    world.ready("edge-1", "Offline");
    world.quiet();
}

#[test]
fn two_devices_with_one_identity_get_nothing() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.alive("edge-1", alive("boot-2", 1, vec![]), false);
    world.beat("edge-1", vec![]);
    world.ready("edge-1", "DuplicateIdentity");
    world.apply(task("a"));
    let message = world.reason("a", types::SCHEDULED, "Unschedulable");
    assert_eq!(message, "0 of 1 proplets fit: 1 with a duplicate identity");
    world.quiet();
}

/// What it said of what it holds was forgotten while it was nobody's, and that isn't holding nothing.
#[test]
fn a_proplet_that_is_made_again_still_holds_what_it_held() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    let mut exclusive = task("a");
    exclusive.spec.on_disconnect = Some(OnDisconnect::Stop);
    world.apply(exclusive);
    let (_, start) = world.start();
    world.report("edge-1", report(start.attempt, Stage::Accepted));
    // Until no start could bring it back.
    for _ in 0..12 {
        world.beat("edge-1", vec![held("a", 1)]);
        world.pass(Duration::from_secs(10));
    }
    world.store.delete_proplet(&super::world::key("edge-1"));
    world.settle();
    world.beat("edge-1", vec![held("a", 1)]);
    let mut again = proplet("edge-1", &[]);
    again.metadata.uid = "uid-again".to_owned();
    world.store.put_proplet(again);
    world.pass(Duration::from_secs(5));
    let status = world.status("a");
    assert_eq!((status.phase, status.attempt), (Phase::Running, 1), "{status:#?}");
}

#[test]
fn a_task_does_not_wait_for_ever_for_two_devices_with_one_identity() {
    let (mut world, start) = World::dispatched();
    world.report("edge-1", report(start.attempt.clone(), Stage::Accepted));
    world.join("edge-2", &[]);
    let mut sequence = 1;
    while world.status("a").attempt == 1 {
        sequence += 1;
        assert!(sequence < 60, "it waits for ever");
        world.alive("edge-1", alive("boot-2", sequence, vec![]), false);
        world.beat("edge-1", vec![held("a", 1)]);
        world.beat("edge-2", vec![]);
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(world.status("a").proplet.as_deref(), Some("edge-2"));
}

#[test]
fn nobody_is_judged_by_what_was_not_heard_while_this_process_stood_still() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    for _ in 0..3 {
        world.freeze(Duration::from_secs(120));
        world.pass(Duration::from_secs(10));
        world.beat("edge-1", vec![]);
    }
    assert_eq!(world.store.proplet_writes, 1, "it was there all the time");
}

#[test]
fn a_clock_that_is_set_back_holds_up_nothing() {
    let (mut world, start) = World::dispatched();
    world.fail_a_write();
    world.report("edge-1", report(start.attempt, finished()));
    world.quiet();
    world.set_clock(SignedDuration::from_hours(-24));
    let before = world.now();
    world.phase("a", Phase::Completed);
    assert!(world.now().duration_since(before).as_secs() < 3);
}

#[test]
fn a_made_up_inventory_does_not_fill_the_way_out() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.ready("edge-1", "Heartbeats");
    let inventory = (0..10_000).map(|number| held(&number.to_string(), 1));
    world.beat("edge-1", inventory.collect());
    for _ in 0..16 {
        world.stop();
    }
    world.quiet();
}

#[test]
fn of_two_proplets_with_one_client_id_the_older_counts() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    let mut younger = proplet("edge-1", &[]);
    younger.metadata.name = "younger".into();
    younger.metadata.uid = "uid-younger".into();
    younger.metadata.creation_timestamp = Some(super::fixtures::time(1));
    world.store.put_proplet(younger);
    world.ready("younger", "DuplicateClientId");
    world.ready("edge-1", "Heartbeats");
}

#[test]
fn a_proplet_that_announces_itself_is_registered_when_asked() {
    let mut world = World::unconnected(Default::default(), Some("lab"));
    world.connect();
    world.beat("edge-1", vec![]);
    world.ready("edge-1", "Heartbeats");
    world.apply(task("a"));
    assert_eq!(world.start().0, "edge-1");
}

#[test]
fn a_stranger_gets_no_tasks() {
    let mut world = World::new();
    world.beat("edge-1", vec![]);
    world.apply(task("a"));
    world.reason("a", types::SCHEDULED, "Unschedulable");
    assert!(world.store.proplets.is_empty());
    world.quiet();
}

#[test]
fn a_task_waits_for_its_proplet() {
    let mut world = World::new();
    world.apply(task("a"));
    let message = world.reason("a", types::SCHEDULED, "Unschedulable");
    assert!(message.contains("no Proplet in namespace lab"), "{message}");
    world.join("edge-1", &[]);
    assert_eq!(world.start().0, "edge-1");
}

#[test]
fn labels_choose() {
    let mut world = World::new();
    world.join("edge-1", &[("site", "lab")]);
    world.join("edge-2", &[("site", "roof")]);
    for (name, site, expected) in [("a", "roof", "edge-2"), ("b", "lab", "edge-1"), ("c", "roof", "edge-2")] {
        let mut task = task(name);
        let match_labels = [("site".to_owned(), site.to_owned())].into();
        task.spec.proplet_selector = Some(LabelSelector {
            match_labels,
            ..LabelSelector::default()
        });
        world.apply(task);
        assert_eq!(world.start().0, expected);
    }
}

#[test]
fn a_cordoned_proplet_keeps_what_it_has_and_gets_nothing_new() {
    let (mut world, start) = World::dispatched();

    let cordon = |world: &mut World, unschedulable| {
        let mut edge = world.store.proplets[&super::world::key("edge-1")].clone();
        edge.spec.unschedulable = unschedulable;
        world.store.put_proplet(edge);
        world.settle();
    };
    cordon(&mut world, true);
    world.ready("edge-1", "Cordoned");
    world.apply(task("b"));
    let message = world.reason("b", types::SCHEDULED, "Unschedulable");
    assert_eq!(message, "0 of 1 proplets fit: 1 cordoned");
    world.quiet();
    world.report("edge-1", report(start.attempt, finished()));
    world.phase("a", Phase::Completed);

    cordon(&mut world, false);
    world.until("the place to be taken", |world| {
        world.status("b").phase == Phase::Dispatched
    });
    world.ready("edge-1", "Heartbeats");
}

#[test]
fn a_burst_spreads_and_overbooks_nobody() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.join("edge-2", &[]);
    world.ready("edge-2", "Heartbeats");
    for number in 0..6 {
        world.apply(task(&number.to_string()));
    }
    let mut places = vec![];
    for _ in 0..4 {
        places.push(world.start());
    }
    let on = |proplet: &str| places.iter().filter(|(on, _)| on == proplet).count();
    assert_eq!((on("edge-1"), on("edge-2")), (2, 2));
    world.quiet();

    let (proplet, start) = places.remove(0);
    world.report(&proplet, report(start.attempt, finished()));
    let next = [world.outgoing(), world.outgoing()];
    let started = next
        .iter()
        .filter(|message| matches!(message, crate::brain::Outgoing::Start(..)));
    assert_eq!(started.count(), 1, "{next:?}");
    world.quiet();
    let waiting = |name: usize| world.status(&name.to_string()).phase == Phase::Pending;
    assert_eq!((0..6).filter(|name| waiting(*name)).count(), 1);
}

#[test]
fn who_waits_for_another_proplet_costs_nothing_when_a_place_becomes_free() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    for number in 0..300 {
        let mut elsewhere = task(&number.to_string());
        elsewhere.spec.proplet = Some("edge-2".to_owned());
        world.apply(elsewhere);
    }
    world.pass(Duration::from_secs(60));
    world.beat("edge-1", vec![]);
    world.apply(task("a"));
    let (proplet, start) = world.start();
    let before = world.plans();
    world.report(&proplet, report(start.attempt, finished()));
    world.phase("a", Phase::Completed);
    let plans = world.plans() - before;
    assert!(plans < 20, "{plans} plans for one end");
}

#[test]
fn after_a_restart_waiting_tasks_are_not_told_that_all_are_offline() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    for name in ["a", "b", "c"] {
        world.apply(task(name));
    }
    world.start();
    world.start();
    let before = world.reason("c", types::SCHEDULED, "Unschedulable");
    let writes = world.store.task_writes;
    let mut world = world.restart();
    world.start();
    world.start();
    world.beat(
        "edge-1",
        vec![super::fixtures::held("a", 1), super::fixtures::held("b", 1)],
    );
    world.quiet();
    assert_eq!(world.reason("c", types::SCHEDULED, "Unschedulable"), before);
    assert_eq!(world.store.task_writes, writes);
    // Nobody comes: in the end it is told.
    world.until("an honest message", |world| {
        let status = world.status("c");
        propeller_api::condition(&status.conditions, types::SCHEDULED)
            .unwrap()
            .message
            .contains("offline")
    });
}
