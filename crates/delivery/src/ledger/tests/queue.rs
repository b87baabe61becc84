//! What waits for room.

use super::*;

/// A start of a task that needs so much memory.
fn sized(uid: &str, memory: u64) -> Event {
    let mut start = start(uid, 1);
    start.limits.memory = Some(Memory::from_bytes(memory));
    Event::Start(start.into())
}

fn ended(uid: &str) -> Event {
    Event::Ended(attempt(uid, 1), three())
}

#[test]
fn what_has_no_room_waits_and_runs_in_the_order_of_its_coming() {
    let mut proplet = Proplet::with(terms(2, 100));
    for uid in ["d", "c"] {
        check(proplet.on(sized(uid, 10)), &["accepted", "run 1"]);
    }
    for uid in ["b", "a"] {
        check(proplet.on(sized(uid, 10)), &["accepted", "wait 1"]);
        check(proplet.on(sized(uid, 10)), &["accepted"]);
    }
    check(proplet.on(sized("e", 10)), &["rejected Busy"]);
    assert_eq!(proplet.held(HeldState::Queued), [("a".into(), 1), ("b".into(), 1)]);
    check(proplet.on(ended("c")), &["completed", "proceed b"]);
    check(proplet.on(ended("b")), &["completed", "proceed a"]);
    check(proplet.on(ended("d")), &["completed"]);
    assert_eq!(proplet.running(), [("a".into(), 1)]);
}

#[test]
fn memory_is_shared_and_a_large_task_is_not_overtaken() {
    let mut proplet = Proplet::with(terms(4, 100));
    check(proplet.on(sized("half", 50)), &["accepted", "run 1"]);
    check(proplet.on(sized("whole", 100)), &["accepted", "wait 1"]);
    check(proplet.on(sized("small", 10)), &["accepted", "wait 1"]);
    check(proplet.on(sized("tiny", 1)), &["accepted", "wait 1"]);
    check(proplet.on(ended("half")), &["completed", "proceed whole"]);
    check(
        proplet.on(ended("whole")),
        &["completed", "proceed small", "proceed tiny"],
    );
}

#[test]
fn a_task_that_says_nothing_takes_what_the_proplet_gives_by_default() {
    let mut proplet = Proplet::with(terms(4, 15));
    check(proplet.on(Event::Start(start("a", 1).into())), &["accepted", "run 1"]);
    check(proplet.on(Event::Start(start("b", 1).into())), &["accepted", "wait 1"]);
    check(proplet.on(sized("c", 16)), &["rejected TooLarge"]);
}

#[test]
fn a_stop_ends_what_waits_at_once() {
    let mut proplet = Proplet::with(terms(1, 100));
    proplet.on(sized("a", 10));
    proplet.on(sized("b", 10));
    check(proplet.on(stop("b", 1)), &["cancel 1", "failed Cancelled"]);
    check(proplet.on(ended("a")), &["completed"]);
    check(proplet.on(Event::Overdue(attempt("b", 1), three())), &[]);
    check(proplet.on(sized("b", 10)), &["failed Cancelled"]);
}

#[test]
fn a_stop_of_the_head_lets_the_next_ones_pass() {
    let mut proplet = Proplet::with(terms(3, 100));
    proplet.on(sized("half", 50));
    proplet.on(sized("whole", 100));
    proplet.on(sized("small", 10));
    check(
        proplet.on(stop("whole", 1)),
        &["cancel 1", "failed Cancelled", "proceed small"],
    );
}

#[test]
fn a_deadline_counts_while_a_task_waits() {
    let late = || Event::Overdue(attempt("b", 1), failed("DeadlineExceeded"));
    let mut proplet = Proplet::with(terms(1, 100));
    proplet.on(sized("a", 10));
    proplet.on(sized("b", 10));
    check(proplet.on(late()), &["cancel 1", "failed DeadlineExceeded"]);
    check(proplet.on(ended("a")), &["completed"]);

    let mut proplet = Proplet::with(terms(1, 100));
    proplet.on(sized("a", 10));
    proplet.on(sized("b", 10));
    proplet.on(ended("a"));
    check(proplet.on(late()), &[]);
    assert_eq!(proplet.running(), [("b".into(), 1)]);
}

#[test]
fn a_newer_attempt_takes_the_place_of_one_that_waits() {
    let mut proplet = Proplet::with(terms(1, 100));
    proplet.on(sized("a", 10));
    proplet.on(sized("b", 10));
    let newer = Event::Start(start("b", 2).into());
    check(
        proplet.on(newer),
        &["cancel 1", "failed Cancelled", "accepted", "wait 2"],
    );
    // One that is refused ends nothing.
    check(proplet.on(sized("c", 10)), &["rejected Busy"]);
    assert_eq!(proplet.held(HeldState::Queued), [("b".into(), 2)]);
}

#[test]
fn what_waited_when_the_process_ended_was_interrupted() {
    let mut proplet = Proplet::with(terms(1, 100));
    proplet.on(sized("a", 10));
    proplet.on(sized("b", 10));
    proplet.restart();
    check(proplet.on(Event::Repeat), &["failed Interrupted", "failed Interrupted"]);
    check(proplet.on(sized("b", 10)), &["failed Interrupted"]);
}

#[test]
fn a_proplet_that_drains_gives_back_what_waits() {
    let mut proplet = Proplet::with(terms(1, 100));
    proplet.on(sized("a", 10));
    proplet.on(sized("b", 10));
    proplet.ledger.drain();
    check(
        proplet.ledger.decide(Event::Drain).actions,
        &["cancel 1", "failed Interrupted"],
    );
}

#[test]
fn what_has_begun_is_told_until_it_ends() {
    let at = Started {
        address: Some("http://edge:1".into()),
        problem: None,
    };
    let mut proplet = Proplet::with(terms(1, 100));
    check(proplet.on(Event::Started(attempt("a", 1), at.clone())), &[]);
    proplet.on(sized("a", 10));
    check(proplet.on(Event::Started(attempt("a", 1), at)), &["started"]);
    check(proplet.on(Event::Repeat), &["started"]);
    check(proplet.on(sized("a", 10)), &["started"]);
    proplet.on(ended("a"));
    check(proplet.on(Event::Repeat), &["completed"]);
}

#[test]
fn what_the_policy_refuses_stays_refused() {
    let refused = |uid: &str| {
        let rejection = Rejection {
            reason: propeller_protocol::Refusal::NotGranted,
            message: "net".into(),
        };
        Event::Refused(start(uid, 1).into(), rejection)
    };
    let mut proplet = Proplet::new();
    check(proplet.on(refused("a")), &["rejected NotGranted"]);
    proplet.restart();
    // The policy allows it now, and the control plane has placed it elsewhere.
    check(proplet.on(Event::Start(start("a", 1).into())), &["rejected NotGranted"]);
    // What runs already, runs.
    proplet.on(Event::Start(start("b", 1).into()));
    check(proplet.on(refused("b")), &["accepted"]);
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed {
        failure: Failure {
            reason: reason.into(),
            message: String::new(),
            error: None,
        },
        usage: Usage::default(),
    }
}
