use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
};

use jiff::Timestamp;
use propeller_api::{Capacity, Memory};
use propeller_delivery::ledger::{Action, Terms};
use propeller_protocol::{AttemptRef, Outcome, Stage, Start, Stop, TaskRef, Usage};
use serde_json::json;

use super::*;

/// A disk that can be full, and that does nothing until it is told to.
#[derive(Default, Clone)]
struct Disk(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    is_full: bool,
    /// So many commits may be done.
    allowed: usize,
    /// How many records each took.
    commits: Vec<usize>,
}

impl Disk {
    fn keeper(&self, terms: Terms) -> Keeper {
        let disk = self.clone();
        let commit = move |records: &[Record]| {
            let (state, changed) = &*disk.0;
            let mut state = changed
                .wait_while(state.lock().unwrap(), |state| state.allowed == 0)
                .unwrap();
            state.allowed -= 1;
            if state.is_full {
                return Err(JournalError::Damaged {
                    path: PathBuf::new(),
                    problem: "full".into(),
                });
            }
            state.commits.push(records.len());
            Ok(())
        };
        let ledger = Ledger::new("journal".parse().unwrap(), terms);
        Keeper::with(ledger, commit).unwrap()
    }

    fn fill(&self, is_full: bool) {
        self.0.0.lock().unwrap().is_full = is_full;
    }

    fn allow(&self, commits: usize) {
        self.0.0.lock().unwrap().allowed += commits;
        self.0.1.notify_all();
    }

    fn commits(&self) -> Vec<usize> {
        self.0.0.lock().unwrap().commits.clone()
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

impl Keeper {
    fn ask_all<const N: usize>(&mut self, requests: [Request; N]) {
        requests.into_iter().for_each(|request| self.ask(request));
    }

    /// What is answered before the disk does anything.
    fn at_once(&mut self) -> Vec<String> {
        told(std::iter::from_fn(|| self.desk.take_answer()).collect())
    }

    /// All answers.
    async fn answers(&mut self) -> Vec<String> {
        let mut answers = vec![];
        while self.unanswered() > 0 {
            answers.push(self.answer().await.unwrap());
        }
        told(answers)
    }
}

/// The answers in short.
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

#[tokio::test]
async fn what_comes_during_a_commit_is_decided_in_order_and_committed_together() {
    let disk = Disk::default();
    let mut keeper = disk.keeper(terms(1, 0));
    keeper.ask_all([start("a"), start("b"), start("a"), stop("x"), Request::Inventory]);
    assert!(keeper.at_once().is_empty(), "told before it is durable");

    disk.allow(2);
    let answers = ["accepted a", "run a", "Busy b", "accepted a", "holds a"];
    assert_eq!(keeper.answers().await, answers);
    assert_eq!(
        disk.commits(),
        [2, 2],
        "the start with its time, then the two tombstones"
    );

    keeper.ask(Request::Inventory);
    assert_eq!(
        keeper.at_once(),
        ["holds a"],
        "nothing is owed, and it waited for the disk"
    );
}

#[tokio::test]
async fn only_that_a_run_has_ended_is_told_before_it_is_durable() {
    let disk = Disk::default();
    let mut keeper = disk.keeper(terms(1, 2));
    disk.allow(2);
    keeper.ask_all([start("a"), start("b"), start("c")]);
    keeper.answers().await;

    keeper.ask_all([stop("c"), ended("a"), Request::Inventory]);
    assert_eq!(keeper.at_once(), ["finished a"]);
    disk.allow(2);
    let later = ["cancel c", "finished c", "proceed b", "holds a b c"];
    assert_eq!(keeper.answers().await, later);
}

#[tokio::test]
async fn without_a_journal_starts_are_refused_for_good_and_outcomes_told() {
    let disk = Disk::default();
    let mut keeper = disk.keeper(terms(10, 0));
    disk.allow(2);
    keeper.ask_all([start("a"), start("b")]);
    keeper.answers().await;

    disk.fill(true);
    keeper.ask_all([ended("a"), start("c"), start("c"), stop("b"), Request::Inventory]);
    disk.allow(1);
    let refused = [
        "finished a",
        "JournalFailed c",
        "JournalFailed c",
        "cancel b",
        "holds a b",
    ];
    assert_eq!(keeper.answers().await, refused);

    // What the full disk didn't take goes with the next commit.
    disk.fill(false);
    disk.allow(2);
    keeper.ask_all([start("c"), start("d")]);
    assert_eq!(keeper.answers().await, ["JournalFailed c", "accepted d", "run d"]);
    assert_eq!(disk.commits()[2..], [3, 1]);
    assert!(keeper.desk.commit().is_none(), "something is owed still");
}

#[tokio::test]
async fn without_a_journal_what_waited_goes_on() {
    let disk = Disk::default();
    let mut keeper = disk.keeper(terms(1, 2));
    disk.allow(2);
    keeper.ask_all([start("a"), start("b")]);
    keeper.answers().await;

    disk.fill(true);
    disk.allow(1);
    keeper.ask_all([start("c"), stop("c"), ended("a"), start("d"), Request::Inventory]);
    let expected = [
        "finished a",
        "JournalFailed c",
        "cancel c",
        "JournalFailed c",
        "proceed b",
        "JournalFailed d",
        "cancel d",
        "holds a b",
    ];
    assert_eq!(keeper.answers().await, expected);
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
