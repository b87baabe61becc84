use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use propeller_api::{Capacity, Memory};
use propeller_delivery::ledger::{Action, Terms};
use propeller_protocol::{AttemptRef, Outcome, Stage, Start, Stop, TaskRef, Usage};
use serde_json::json;

use super::*;

/// A disk that can be full.
#[derive(Default, Clone)]
struct Disk {
    full: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
}

impl Disk {
    fn desk(&self, terms: Terms) -> Thread<impl FnMut(&[Record]) -> Result<(), JournalError> + use<>> {
        let disk = self.clone();
        let ledger = Ledger::new("journal".parse().unwrap(), terms);
        let commit = move |_: &[Record]| {
            if disk.full.load(Ordering::Relaxed) {
                return Err(JournalError::Damaged {
                    path: PathBuf::new(),
                    problem: "full".into(),
                });
            }
            disk.commits.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let desk = Desk::new(ledger);
        Thread { desk, commit }
    }
}

fn terms(tasks: u32, queue: u32) -> Terms {
    let memory = Memory::from_bytes(1 << 30);
    Terms {
        capacity: Capacity {
            tasks,
            memory,
            task_memory: None,
            max_task_memory: None,
        },
        queue,
        memory: Memory::from_bytes(1),
        max_memory: memory,
    }
}

fn attempt(uid: &str) -> AttemptRef {
    let task = TaskRef {
        namespace: "default".into(),
        name: uid.into(),
        uid: uid.into(),
    };
    AttemptRef { task, attempt: 1 }
}

fn start(uid: &str) -> Request {
    let start: Start = serde_json::from_value(json!({
        "controller": "control", "journal": "journal", "task": attempt(uid).task, "attempt": 1,
        "issuedAt": "2026-01-01T00:00:00Z", "windowSeconds": 60, "image": "localhost:5000/a",
        "component": format!("sha256:{}", "0".repeat(64)), "call": {"function": "f"}, "limits": {},
    }))
    .unwrap();
    Request::Event(Event::Start(Box::new(start)))
}

fn stop(uid: &str) -> Request {
    Request::Event(Event::Stop(Stop {
        controller: "control".parse().unwrap(),
        journal: "journal".parse().unwrap(),
        attempt: attempt(uid),
        issued_at: Timestamp::UNIX_EPOCH,
    }))
}

fn ended(uid: &str) -> Request {
    let outcome = Outcome::Completed {
        results: None,
        usage: Usage::default(),
    };
    Request::Event(Event::Ended(attempt(uid), outcome))
}

/// The answers in short.
impl<C: FnMut(&[Record]) -> Result<(), JournalError>> Thread<C> {
    fn answer(&mut self, requests: impl Iterator<Item = Request>) -> Vec<Answer> {
        let Answers { mut now, then } = self.desk.decide(requests);
        now.extend(self.commit(then));
        now
    }
}

fn told(answers: Vec<Answer>) -> Vec<String> {
    let action = |action: Action| match action {
        Action::Run(start) => format!("run {}", start.attempt.task.uid),
        Action::Wait(start) => format!("wait {}", start.attempt.task.uid),
        Action::Proceed(attempt) => format!("proceed {}", attempt.task.uid),
        Action::Cancel(attempt) => format!("cancel {}", attempt.task.uid),
        Action::Revoke(attempt) => format!("revoke {}", attempt.task.uid),
        Action::Ended(holding, _) => format!("finished {}", holding.attempt.task.uid),
        Action::Report(holding, stage) => {
            let uid = holding.attempt.task.uid;
            match stage {
                Stage::Accepted => format!("accepted {uid}"),
                Stage::Started { .. } => format!("started {uid}"),
                Stage::Finished { .. } => format!("finished {uid}"),
                Stage::Rejected { rejection, .. } => format!("{:?} {uid}", rejection.reason),
            }
        }
    };
    let answer = |answer| match answer {
        Answer::Actions(actions) => actions.into_iter().map(action).collect(),
        Answer::Inventory(inventory) => {
            let held = inventory.held.into_iter().map(|held| held.attempt.task.uid);
            vec![format!("holds {}", held.collect::<Vec<_>>().join(" "))]
        }
    };
    answers.into_iter().flat_map(answer).collect()
}

#[test]
fn what_waits_is_committed_together_and_decided_in_order() {
    let disk = Disk::default();
    let mut desk = disk.desk(terms(1, 0));
    let answers = desk.answer(
        [
            start("a"),
            start("b"),
            start("a"),
            ended("a"),
            start("c"),
            Request::Inventory,
        ]
        .into_iter(),
    );
    assert_eq!(
        told(answers),
        [
            "finished a",
            "accepted a",
            "run a",
            "Busy b",
            "accepted a",
            "accepted c",
            "run c",
            "holds a c"
        ]
    );
    assert_eq!(disk.commits.load(Ordering::Relaxed), 1);
    assert_eq!(told(desk.answer([Request::Inventory].into_iter())), ["holds a c"]);
    assert_eq!(
        disk.commits.load(Ordering::Relaxed),
        1,
        "nothing changed, and it was committed"
    );
}

#[test]
fn without_a_journal_starts_are_refused_for_good_and_outcomes_told() {
    let disk = Disk::default();
    let mut desk = disk.desk(terms(10, 0));
    desk.answer([start("a"), start("b")].into_iter());

    disk.full.store(true, Ordering::Relaxed);
    let answers = desk.answer([ended("a"), start("c"), start("c"), stop("b"), Request::Inventory].into_iter());
    let refused = [
        "finished a",
        "JournalFailed c",
        "JournalFailed c",
        "cancel b",
        "holds a b",
    ];
    assert_eq!(told(answers), refused);

    disk.full.store(false, Ordering::Relaxed);
    assert_eq!(
        told(desk.answer([start("c"), start("d")].into_iter())),
        ["JournalFailed c", "accepted d", "run d"]
    );
    assert_eq!(disk.commits.load(Ordering::Relaxed), 2);
    assert!(desk.desk.owed().is_empty());
}

#[test]
fn without_a_journal_what_waited_goes_on() {
    let disk = Disk::default();
    let mut desk = disk.desk(terms(1, 2));
    desk.answer([start("a"), start("b")].into_iter());
    disk.full.store(true, Ordering::Relaxed);
    let answers = desk.answer([start("c"), stop("c"), ended("a"), start("d"), Request::Inventory].into_iter());
    let expected = [
        "JournalFailed c",
        "cancel c",
        "JournalFailed c",
        "finished a",
        "proceed b",
        "JournalFailed d",
        "cancel d",
        "holds a b",
    ];
    assert_eq!(told(answers), expected);
}

#[tokio::test]
async fn a_keeper_tells_what_was_interrupted() {
    let directory = tempfile::TempDir::new().unwrap();
    let (journal, ledger) = Journal::open(directory.path(), terms(2, 2)).unwrap();
    let mut keeper = Keeper::start(journal, ledger).unwrap();
    let journal = keeper.journal().clone();
    let Request::Event(Event::Start(mut request)) = start("a") else {
        panic!()
    };
    request.journal = journal.clone();
    keeper.ask(Request::Event(Event::Start(request)));
    assert_eq!(told(vec![keeper.answer().await.unwrap()]), ["accepted a", "run a"]);
    drop(keeper);

    // The thread of the first one closes the journal some time after it was dropped.
    let opened = (0..1000).find_map(|_| {
        std::thread::yield_now();
        Journal::open(directory.path(), terms(2, 2)).ok()
    });
    let (reopened, ledger) = opened.expect("the journal is closed by now");
    let mut keeper = Keeper::start(reopened, ledger).unwrap();
    assert_eq!(*keeper.journal(), journal);
    keeper.ask(Request::Event(Event::Repeat));
    let Some(Answer::Actions(actions)) = keeper.answer().await else {
        panic!()
    };
    assert!(format!("{actions:?}").contains("Interrupted"), "{actions:?}");
    assert_eq!(keeper.unanswered(), 0);
}
