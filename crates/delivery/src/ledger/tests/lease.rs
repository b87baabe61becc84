//! What runs only with a lease.

use propeller_protocol::{Lease, requires};

use super::*;

fn leased(uid: &str) -> Event {
    Event::Start(Box::new(Start {
        requires: vec![requires::LEASE.to_owned()],
        ..start(uid, 1)
    }))
}

impl Proplet {
    fn lease(&mut self, held: bool) -> Vec<Action> {
        let controller = "controller".parse().unwrap();
        self.ledger.set_leased(held.then_some(controller).into_iter().collect());
        self.on(Event::Leased)
    }

    fn echo(&mut self, second: i64) {
        self.on(Event::Echo(Lease {
            controller: "controller".parse().unwrap(),
            journal: journal(),
            sequence: 1,
            now: at(second),
        }));
    }
}

#[test]
fn it_waits_for_the_lease_and_holds_up_nobody() {
    let mut world = Proplet::with(terms(3, 100));
    check(world.on(leased("a")), &["accepted", "wait 1"]);
    check(world.on(Event::Start(Box::new(start("b", 1)))), &["accepted", "run 1"]);
    world.echo(10);
    check(world.lease(true), &["proceed a"]);
    assert_eq!(world.running(), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    check(world.on(leased("c")), &["accepted", "run 1"]);
}

#[test]
fn it_ends_with_the_lease() {
    let mut world = Proplet::new();
    world.lease(true);
    world.on(leased("a"));
    world.on(Event::Start(Box::new(start("b", 1))));
    check(world.lease(false), &["revoke 1"]);
    assert_eq!(world.running().len(), 2, "until its run has ended");
}

#[test]
fn it_is_not_run_when_somebody_else_may_have_it_by_now() {
    let mut world = Proplet::new();
    world.on(leased("a"));
    world.echo(61);
    check(world.lease(true), &["cancel 1", "failed LeaseExpired"]);
    assert_eq!(world.running(), []);
}

#[test]
fn a_restart_has_no_lease() {
    let mut world = Proplet::new();
    world.lease(true);
    world.restart();
    check(world.on(leased("a")), &["accepted", "wait 1"]);
}

#[test]
fn another_control_planes_lease_does_not_keep_it_running() {
    let mut world = Proplet::new();
    world.lease(true);
    world.on(leased("a"));
    world.ledger.set_leased(["another".parse().unwrap()].into());
    check(world.on(Event::Leased), &["revoke 1"]);
}
