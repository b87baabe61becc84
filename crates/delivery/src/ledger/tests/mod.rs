//! A proplet that restarts at will: every test's ledger is rebuilt from its records after each step.

mod every_order;
mod lease;
mod queue;

use jiff::{SignedDuration, Timestamp};
use propeller_api::{Call, Capacity, Memory, Work};
use propeller_protocol::{Failure, Limits, TaskRef, Usage, Verdict};
use serde_json::json;

use super::*;

struct Proplet {
    ledger: Ledger,
    terms: Terms,
    disk: Vec<Record>,
}

impl Proplet {
    /// It runs two at once, and lets none wait.
    fn new() -> Self {
        Self::with(Terms {
            queue: 0,
            ..terms(2, 100)
        })
    }

    fn with(terms: Terms) -> Self {
        Self {
            ledger: Ledger::new(journal(), terms),
            terms,
            disk: vec![],
        }
    }

    /// Decides, makes durable, and checks that a restart would find the same.
    fn on(&mut self, event: Event) -> Vec<Action> {
        let step = self.ledger.decide(event);
        for record in step.records {
            self.disk.push(record.clone());
            self.ledger.apply(record);
        }
        assert_eq!(self.rebuilt(), self.ledger);
        step.actions
    }

    fn rebuilt(&self) -> Ledger {
        let mut ledger = Ledger::new(journal(), self.terms);
        for record in &self.disk {
            // Records go through JSON on their way to disk.
            let json = serde_json::to_string(record).unwrap();
            ledger.apply(serde_json::from_str(&json).unwrap());
        }
        ledger.set_leased(self.ledger.leased.clone());
        ledger
    }

    fn restart(&mut self) {
        self.ledger.set_leased(BTreeSet::new());
        self.ledger = self.rebuilt();
        assert_eq!(self.on(Event::Booted), []);
    }

    fn running(&self) -> Vec<(String, u32)> {
        self.held(HeldState::Running)
    }

    fn held(&self, state: HeldState) -> Vec<(String, u32)> {
        let held = self.ledger.inventory().into_iter().filter(|held| held.state == state);
        held.map(|held| (held.attempt.task.uid, held.attempt.attempt)).collect()
    }
}

/// So many tasks at once with so many bytes, and as many waiting; a task that doesn't say takes 10 bytes, and any one takes all at most.
fn terms(tasks: u32, memory: u64) -> Terms {
    let memory = Memory::from_bytes(memory);
    Terms {
        capacity: Capacity {
            tasks,
            memory,
            task_memory: None,
            max_task_memory: None,
        },
        queue: tasks,
        memory: Memory::from_bytes(10),
        max_memory: memory,
    }
}

fn journal() -> JournalId {
    "journal".parse().unwrap()
}

fn attempt(uid: &str, attempt: u32) -> AttemptRef {
    AttemptRef {
        task: TaskRef {
            namespace: "lab".into(),
            name: uid.into(),
            uid: uid.into(),
        },
        attempt,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn start(uid: &str, number: u32) -> Start {
    Start {
        controller: "controller".parse().unwrap(),
        journal: journal(),
        attempt: attempt(uid, number),
        issued_at: at(0),
        window_seconds: 60,
        requires: vec![],
        image: "registry/addition@sha256:aa".into(),
        component: propeller_api::Digest::from_sha256([1; 32]),
        work: Work::Call(Call {
            function: "add".into(),
            args: json!([1, 2]),
        }),
        grants: None,
        limits: Limits::default(),
    }
}

fn stop(uid: &str, number: u32) -> Event {
    let (controller, attempt) = ("controller".parse().unwrap(), attempt(uid, number));
    Event::Stop(Stop {
        controller,
        journal: journal(),
        attempt,
        issued_at: at(0),
    })
}

fn ack(uid: &str, number: u32) -> Event {
    let (controller, attempt) = ("controller".parse().unwrap(), attempt(uid, number));
    Event::Ack(Ack {
        controller,
        journal: journal(),
        attempt,
        verdict: Verdict::Recorded,
    })
}

fn three() -> Outcome {
    Outcome::Completed {
        results: Some(json!(3)),
        usage: Usage::default(),
    }
}

/// What each action is, in a word.
fn words(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::Run(start) => format!("run {}", start.attempt.attempt),
        Action::Wait(start) => format!("wait {}", start.attempt.attempt),
        Action::Proceed(attempt) => format!("proceed {}", attempt.task.uid),
        Action::Cancel(attempt) => format!("cancel {}", attempt.attempt),
        Action::Revoke(attempt) => format!("revoke {}", attempt.attempt),
        Action::Report(_, Stage::Accepted) => "accepted".into(),
        Action::Report(_, Stage::Started { .. }) => "started".into(),
        Action::Report(_, Stage::Rejected { rejection, .. }) => format!("rejected {:?}", rejection.reason),
        Action::Ended(_, outcome) | Action::Report(_, Stage::Finished { outcome }) => match outcome {
            Outcome::Completed { .. } => "completed".into(),
            Outcome::Failed { failure, .. } => format!("failed {}", failure.reason),
        },
    };
    actions.iter().map(word).collect()
}

#[track_caller]
fn check(actions: Vec<Action>, expected: &[&str]) {
    assert_eq!(words(&actions), expected);
}

#[test]
fn an_attempt_runs_once_however_often_its_start_arrives() {
    let mut proplet = Proplet::new();
    check(
        proplet.on(Event::Start(Box::new(start("a", 1)))),
        &["accepted", "run 1"],
    );
    check(proplet.on(Event::Start(Box::new(start("a", 1)))), &["accepted"]);
    check(proplet.on(Event::Ended(attempt("a", 1), three())), &["completed"]);
    check(proplet.on(Event::Start(Box::new(start("a", 1)))), &["completed"]);
    proplet.restart();
    check(proplet.on(Event::Start(Box::new(start("a", 1)))), &["completed"]);
    check(proplet.on(ack("a", 1)), &[]);
    check(
        proplet.on(Event::Start(Box::new(start("a", 1)))),
        &["rejected Superseded"],
    );
    proplet.restart();
    check(
        proplet.on(Event::Start(Box::new(start("a", 1)))),
        &["rejected Superseded"],
    );
}

#[test]
fn an_outcome_is_repeated_until_it_is_acknowledged() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    check(proplet.on(Event::Repeat), &["accepted"]);
    proplet.on(Event::Ended(attempt("a", 1), three()));
    proplet.restart();
    check(proplet.on(Event::Repeat), &["completed"]);
    check(proplet.on(ack("a", 1)), &[]);
    check(proplet.on(Event::Repeat), &[]);
    assert!(proplet.ledger.inventory().is_empty());
}

#[test]
fn an_ack_of_what_still_runs_forgets_nothing() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    proplet.on(ack("a", 1));
    assert_eq!(proplet.running(), [("a".into(), 1)]);
}

#[test]
fn what_ran_when_the_process_ended_was_interrupted() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    proplet.restart();
    assert_eq!(proplet.running(), []);
    check(proplet.on(Event::Repeat), &["failed Interrupted"]);
    check(proplet.on(Event::Ended(attempt("a", 1), three())), &[]);
}

#[test]
fn an_older_attempt_is_refused_and_a_newer_one_ends_it() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 2))));
    check(
        proplet.on(Event::Start(Box::new(start("a", 1)))),
        &["rejected Superseded"],
    );
    check(
        proplet.on(Event::Start(Box::new(start("a", 3)))),
        &["cancel 2", "accepted", "run 3"],
    );
}

/// A control plane whose store was restored would otherwise have each number refused, one after the other.
#[test]
fn a_refusal_tells_the_newest_attempt_that_is_known() {
    let mut proplet = Proplet::new();
    let newest = |proplet: &mut Proplet, number: u32| match &proplet.on(Event::Start(Box::new(start("a", number))))[..]
    {
        [Action::Report(_, Stage::Rejected { newest, .. })] => *newest,
        other => panic!("{other:?}"),
    };
    proplet.on(stop("a", 3));
    assert_eq!(newest(&mut proplet, 3), None);
    proplet.on(Event::Start(Box::new(start("a", 7))));
    proplet.on(Event::Ended(attempt("a", 7), three()));
    proplet.on(ack("a", 7));
    proplet.restart();
    assert_eq!(newest(&mut proplet, 2), Some(7), "it is older");
    assert_eq!(newest(&mut proplet, 3), Some(7), "it was stopped");
    assert_eq!(newest(&mut proplet, 7), None, "it has ended");
}

#[test]
fn a_stop_ends_every_attempt_up_to_its_own() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 2))));
    check(proplet.on(stop("b", 9)), &[]);
    check(proplet.on(stop("a", 1)), &[]);
    check(proplet.on(stop("a", 2)), &["cancel 2"]);
    check(proplet.on(stop("a", 3)), &["cancel 2"]);
}

#[test]
fn only_who_dispatched_it_stops_and_acknowledges_it() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    let (Event::Stop(mut stop), Event::Ack(mut ack)) = (stop("a", 1), ack("a", 1)) else {
        unreachable!()
    };
    stop.controller = "another".parse().unwrap();
    ack.controller = stop.controller.clone();
    check(proplet.on(Event::Stop(stop)), &[]);
    proplet.on(Event::Ended(attempt("a", 1), three()));
    proplet.on(Event::Ack(ack));
    check(proplet.on(Event::Repeat), &["completed"]);
}

#[test]
fn a_stop_that_overtakes_its_start_wins() {
    let mut proplet = Proplet::new();
    check(proplet.on(stop("a", 1)), &[]);
    proplet.restart();
    check(
        proplet.on(Event::Start(Box::new(start("a", 1)))),
        &["rejected Superseded"],
    );
    check(
        proplet.on(Event::Start(Box::new(start("a", 2)))),
        &["accepted", "run 2"],
    );
}

#[test]
fn refusals_say_why() {
    let refuse = |change: &dyn Fn(&mut Start), expected: &str| {
        let mut proplet = Proplet::new();
        let mut start = start("a", 1);
        change(&mut start);
        check(
            proplet.on(Event::Start(start.into())),
            &[&format!("rejected {expected}")],
        );
        assert_eq!(proplet.running(), []);
    };
    refuse(&|start| start.journal = "another".parse().unwrap(), "WrongJournal");
    refuse(&|start| start.requires.push("teleportation".into()), "Unsupported");
    refuse(&|start| start.limits.memory = Some(Memory::from_bytes(101)), "TooLarge");
    refuse(&|start| start.window_seconds = MAX_WINDOW_SECONDS + 1, "Malformed");
}

#[test]
fn capacity_is_kept_and_a_refusal_is_final() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    proplet.on(Event::Start(Box::new(start("b", 1))));
    check(proplet.on(Event::Start(Box::new(start("c", 1)))), &["rejected Busy"]);
    proplet.on(Event::Ended(attempt("a", 1), three()));
    proplet.restart();
    check(proplet.on(Event::Start(Box::new(start("c", 1)))), &["rejected Busy"]);
    check(
        proplet.on(Event::Start(Box::new(start("c", 2)))),
        &["accepted", "run 2"],
    );
}

#[test]
fn a_draining_proplet_accepts_nothing_new() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    proplet.ledger.drain();
    let step = proplet.ledger.decide(Event::Start(Box::new(start("b", 1))));
    check(step.actions, &["rejected Draining"]);
    check(
        proplet.ledger.decide(Event::Start(Box::new(start("a", 1)))).actions,
        &["accepted"],
    );
}

#[test]
fn a_start_is_old_by_the_control_planes_clock() {
    let mut proplet = Proplet::new();
    let late = Start {
        issued_at: at(61),
        ..start("b", 1)
    };
    check(proplet.on(Event::Start(late.into())), &["accepted", "run 1"]);
    proplet.restart();
    check(proplet.on(Event::Start(Box::new(start("a", 1)))), &["rejected Expired"]);
    let just = Start {
        issued_at: at(1),
        ..start("c", 1)
    };
    check(proplet.on(Event::Start(just.into())), &["accepted", "run 1"]);
}

#[test]
fn tombstones_outlive_every_start_that_they_answer() {
    let mut proplet = Proplet::new();
    check(proplet.on(stop("a", 1)), &[]);
    let hour = i64::from(MAX_WINDOW_SECONDS);
    for (uid, second) in [("b", hour), ("c", 2 * hour)] {
        let later = Start {
            issued_at: at(second),
            ..start(uid, 1)
        };
        proplet.on(Event::Start(later.into()));
        proplet.on(Event::Ended(attempt(uid, 1), three()));
        let widest = Start {
            window_seconds: MAX_WINDOW_SECONDS,
            ..start("a", 1)
        };
        let actions = proplet.on(Event::Start(widest.into()));
        assert!(words(&actions)[0].starts_with("rejected"), "{actions:?}");
    }
    let size = proplet.ledger.entries.len();
    let end = Start {
        issued_at: at(2 * hour).checked_add(SignedDuration::from_secs(1)).unwrap(),
        ..start("d", 1)
    };
    proplet.on(Event::Start(end.into()));
    assert_eq!(
        proplet.ledger.entries.len(),
        size,
        "one came and the oldest tombstone went"
    );
    check(proplet.on(Event::Start(Box::new(start("a", 1)))), &["rejected Expired"]);
}

#[test]
fn messages_for_another_journal_change_nothing() {
    let mut proplet = Proplet::new();
    proplet.on(Event::Start(Box::new(start("a", 1))));
    let other: JournalId = "other".parse().unwrap();
    let Event::Stop(stop) = stop("a", 1) else {
        unreachable!()
    };
    check(
        proplet.on(Event::Stop(Stop {
            journal: other.clone(),
            ..stop
        })),
        &[],
    );
    proplet.on(Event::Ended(attempt("a", 1), three()));
    let Event::Ack(ack) = ack("a", 1) else { unreachable!() };
    proplet.on(Event::Ack(Ack { journal: other, ..ack }));
    check(proplet.on(Event::Repeat), &["completed"]);
}

#[test]
fn a_million_made_up_tasks_leave_a_bounded_number_of_tombstones() {
    let mut ledger = Ledger::new(journal(), terms(2, 100));
    let mut on = |event| {
        let step = ledger.decide(event);
        step.records.into_iter().for_each(|record| ledger.apply(record));
        ledger.entries.len()
    };
    let kept = (0..1_000_000).map(|number| on(stop(&number.to_string(), 1))).max();
    assert_eq!(kept, Some(MAX_TOMBSTONES));
    assert_eq!(on(Event::Start(Box::new(start("a", 1)))), MAX_TOMBSTONES + 1);
}

#[test]
fn what_nobody_acknowledges_is_bounded() {
    let mut ledger = Ledger::new(journal(), terms(2, 100));
    let mut on = |event| {
        let Step { records, actions } = ledger.decide(event);
        records.into_iter().for_each(|record| ledger.apply(record));
        actions
    };
    for number in 0..MAX_HELD {
        let uid = number.to_string();
        check(on(Event::Start(Box::new(start(&uid, 1)))), &["accepted", "run 1"]);
        check(on(Event::Ended(attempt(&uid, 1), three())), &["completed"]);
    }
    check(on(Event::Start(Box::new(start("late", 1)))), &["rejected Busy"]);
    check(on(ack("0", 1)), &[]);
    check(on(Event::Start(Box::new(start("next", 1)))), &["accepted", "run 1"]);
}
