//! Proplets come and go, and tasks find their places among them.

use std::time::Duration;

use propeller_api::{LabelSelector, Phase, types};
use propeller_protocol::{Alive, Presence};
use tokio::time::sleep;

use super::{
    fixtures::{alive, finished, proplet, report, sender, task},
    world::World,
};

#[tokio::test(start_paused = true)]
async fn heartbeats_write_nothing() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.ready("edge-1", "Heartbeats").await;
    for _ in 0..20 {
        sleep(Duration::from_secs(10)).await;
        world.beat("edge-1", vec![]).await;
    }
    assert_eq!(world.store.state().proplet_writes, 1);
    let status = world
        .store
        .state()
        .proplets
        .values()
        .next()
        .unwrap()
        .status
        .clone()
        .unwrap();
    assert_eq!(status.capacity.unwrap().tasks, 2);
}

#[tokio::test(start_paused = true)]
async fn silence_and_a_will_are_seen() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.ready("edge-1", "Heartbeats").await;
    world.ready("edge-1", "Offline").await;
    world.beat("edge-1", vec![]).await;
    world.ready("edge-1", "Heartbeats").await;
    let will = Alive {
        sender: sender("boot-1", 0),
        presence: Presence::Offline,
    };
    let before = world.now();
    world.alive("edge-1", will, false).await;
    world.ready("edge-1", "Offline").await;
    assert!(world.now().duration_since(before).as_secs() < 2);
}

#[tokio::test(start_paused = true)]
async fn a_proplet_that_never_came_is_told_so() {
    let world = World::new().await;
    world.store.state().put_proplet(proplet("edge-1", &[]));
    world.ready("edge-1", "NeverSeen").await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_message_makes_nobody_ready() {
    let mut world = World::new().await;
    world.store.state().put_proplet(proplet("edge-1", &[]));
    world.alive("edge-1", alive("boot-0", 7, vec![]), true).await;
    world.apply(task("a")).await;
    world.ready("edge-1", "Offline").await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn two_devices_with_one_identity_get_nothing() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.alive("edge-1", alive("boot-2", 1, vec![]), false).await;
    world.beat("edge-1", vec![]).await;
    world.ready("edge-1", "DuplicateIdentity").await;
    world.apply(task("a")).await;
    world.reason("a", types::SCHEDULED, "Unschedulable").await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_proplets_with_one_client_id_the_older_counts() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    let mut younger = proplet("edge-1", &[]);
    younger.metadata.name = "younger".into();
    younger.metadata.uid = "uid-younger".into();
    younger.metadata.creation_timestamp = Some(super::fixtures::time(1));
    world.store.state().put_proplet(younger);
    world.ready("younger", "DuplicateClientId").await;
    world.ready("edge-1", "Heartbeats").await;
}

#[tokio::test(start_paused = true)]
async fn a_proplet_that_announces_itself_is_registered_when_asked() {
    let mut world = World::unconnected(Default::default(), Some("lab")).await;
    world.connect().await;
    world.beat("edge-1", vec![]).await;
    world.ready("edge-1", "Heartbeats").await;
    world.apply(task("a")).await;
    assert_eq!(world.start().await.0, "edge-1");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_gets_no_tasks() {
    let mut world = World::new().await;
    world.beat("edge-1", vec![]).await;
    world.apply(task("a")).await;
    world.reason("a", types::SCHEDULED, "Unschedulable").await;
    assert!(world.store.state().proplets.is_empty());
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_for_its_proplet() {
    let mut world = World::new().await;
    world.apply(task("a")).await;
    let message = world.reason("a", types::SCHEDULED, "Unschedulable").await;
    assert!(message.contains("no Proplet in namespace lab"), "{message}");
    world.join("edge-1", &[]).await;
    assert_eq!(world.start().await.0, "edge-1");
}

#[tokio::test(start_paused = true)]
async fn labels_choose() {
    let mut world = World::new().await;
    world.join("edge-1", &[("site", "lab")]).await;
    world.join("edge-2", &[("site", "roof")]).await;
    for (name, site, expected) in [("a", "roof", "edge-2"), ("b", "lab", "edge-1"), ("c", "roof", "edge-2")] {
        let mut task = task(name);
        let match_labels = [("site".to_owned(), site.to_owned())].into();
        task.spec.proplet_selector = Some(LabelSelector { match_labels });
        world.apply(task).await;
        assert_eq!(world.start().await.0, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_spreads_and_overbooks_nobody() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    world.join("edge-2", &[]).await;
    world.ready("edge-2", "Heartbeats").await;
    for number in 0..6 {
        world.apply(task(&number.to_string())).await;
    }
    let mut places = vec![];
    for _ in 0..4 {
        places.push(world.start().await);
    }
    let on = |proplet: &str| places.iter().filter(|(on, _)| on == proplet).count();
    assert_eq!((on("edge-1"), on("edge-2")), (2, 2));
    world.quiet().await;

    let (proplet, start) = places.remove(0);
    world.report(&proplet, report(start.attempt, finished())).await;
    let next = [world.outgoing().await, world.outgoing().await];
    let started = next
        .iter()
        .filter(|message| matches!(message, crate::brain::Outgoing::Start(..)));
    assert_eq!(started.count(), 1, "{next:?}");
    world.quiet().await;
    let waiting = |name: usize| world.status(&name.to_string()).phase == Phase::Pending;
    assert_eq!((0..6).filter(|name| waiting(*name)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_waiting_tasks_are_not_told_that_all_are_offline() {
    let mut world = World::new().await;
    world.join("edge-1", &[]).await;
    for name in ["a", "b", "c"] {
        world.apply(task(name)).await;
    }
    world.start().await;
    world.start().await;
    let before = world.reason("c", types::SCHEDULED, "Unschedulable").await;
    let writes = world.store.state().task_writes;
    let mut world = world.restart().await;
    world.start().await;
    world.start().await;
    world
        .beat(
            "edge-1",
            vec![super::fixtures::held("a", 1), super::fixtures::held("b", 1)],
        )
        .await;
    world.quiet().await;
    assert_eq!(world.reason("c", types::SCHEDULED, "Unschedulable").await, before);
    assert_eq!(world.store.state().task_writes, writes);
    // Nobody comes: in the end it is told.
    world
        .until("an honest message", || {
            let status = world.status("c");
            propeller_api::condition(&status.conditions, types::SCHEDULED)
                .unwrap()
                .message
                .contains("offline")
        })
        .await;
}
