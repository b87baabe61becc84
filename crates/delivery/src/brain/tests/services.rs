//! Services: ready, left behind by their proplet, deleted.

use propeller_api::{Phase, Service, Task, types};
use propeller_protocol::{Presence, Stage};

use super::{
    fixtures::{alive, held, report, task},
    world::World,
};

fn service(name: &str) -> Task {
    let mut task = task(name);
    task.spec.call = None;
    task.spec.service = Some(Service::default());
    task
}

fn listens(address: &str) -> Stage {
    let address = Some(address.to_owned());
    let problem = None;
    Stage::Started { address, problem }
}

#[test]
fn a_service_is_ready_with_two_writes_and_stops_with_its_task() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(service("a"));
    let (_, start) = world.start();
    world.report("edge-1", report(start.attempt.clone(), Stage::Accepted));
    world.report("edge-1", report(start.attempt.clone(), listens("http://edge-1:80")));
    let message = world.reason("a", types::READY, "Listening");
    assert_eq!(message, "listens at http://edge-1:80");
    assert_eq!((world.status("a").phase, world.store.task_writes), (Phase::Running, 2));

    world.delete("a");
    assert_eq!(world.stop().1.attempt, start.attempt);
}

#[test]
fn a_service_leaves_a_proplet_that_stays_away() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.apply(service("a"));
    let (_, start) = world.start();
    world.report("edge-1", report(start.attempt.clone(), listens("http://edge-1:80")));
    world.reason("a", types::READY, "Listening");

    let mut will = alive("boot-1", 99, vec![]);
    will.presence = Presence::Offline;
    world.alive("edge-1", will, false);
    world.reason("a", types::READY, "PropletOffline");
    assert_eq!(world.stop().1.attempt, start.attempt);
    world.reason("a", types::READY, "Lost");

    // It comes back with the service, and nobody waits for that any more.
    let (mut held, mut back) = (held("a", 1), alive("boot-1", 100, vec![]));
    held.attempt = start.attempt.clone();
    if let Presence::Alive { inventory, .. } = &mut back.presence {
        inventory.push(held);
    }
    world.alive("edge-1", back, false);
    assert_eq!(world.stop().1.attempt, start.attempt);
    let (_, next) = world.start();
    assert_eq!(next.attempt.attempt, 2);
}
