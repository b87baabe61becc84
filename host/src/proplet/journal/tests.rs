use std::{fs, os::unix::fs::PermissionsExt};

use propeller_api::{Capacity, Memory};
use propeller_delivery::ledger::{Event, Holding, Started};
use propeller_protocol::{AttemptRef, HeldState, Outcome, Refusal, Rejection, TaskRef, Usage};
use tempfile::TempDir;

use super::*;

fn holding(uid: &str) -> Holding {
    Holding {
        attempt: AttemptRef {
            task: TaskRef {
                namespace: "default".into(),
                name: "addition".into(),
                uid: uid.into(),
            },
            attempt: 1,
        },
        controller: "control".parse().unwrap(),
        leased_before: None,
        issued_at: Timestamp::UNIX_EPOCH,
    }
}

fn terms(tasks: u32) -> Terms {
    let memory = Memory::from_bytes(1 << 30);
    Terms {
        capacity: Capacity {
            tasks,
            memory,
            task_memory: None,
            max_task_memory: None,
        },
        queue: tasks,
        memory,
        max_memory: memory,
    }
}

pub(super) fn running(uid: &str) -> Record {
    let started = Some(Started {
        address: Some("http://edge-1:8080".into()),
        problem: None,
    });
    let (holding, memory) = (holding(uid), Memory::from_bytes(1));
    put(
        uid,
        Entry::Running {
            holding,
            memory,
            started,
        },
    )
}

fn queued(uid: &str) -> Record {
    let (holding, memory) = (holding(uid), Memory::from_bytes(1));
    let place = 7;
    put(uid, Entry::Queued { holding, memory, place })
}

pub(super) fn put(uid: &str, entry: Entry) -> Record {
    Record::Put((uid.to_owned(), 1), Box::new(entry))
}

pub(super) fn finished(uid: &str) -> Record {
    let outcome = Outcome::Completed {
        results: Some(42.into()),
        usage: Usage::default(),
    };
    put(
        uid,
        Entry::Finished {
            holding: holding(uid),
            outcome,
        },
    )
}

fn tombstone(uid: &str) -> Record {
    let rejection = Rejection {
        reason: Refusal::Busy,
        message: "busy".into(),
    };
    put(
        uid,
        Entry::Tombstone {
            made: Timestamp::UNIX_EPOCH,
            rejection: Some(rejection),
        },
    )
}

/// What `open` says about a journal whose file was changed.
fn after(change: impl FnOnce(&Path)) -> String {
    let directory = TempDir::new().unwrap();
    let (mut journal, _) = Journal::open(directory.path(), terms(1)).unwrap();
    let records: Vec<_> = (0..200).map(|number| finished(&format!("{number:0>200}"))).collect();
    journal.commit(&records).unwrap();
    drop(journal);
    change(&directory.path().join(FILE));
    match Journal::open(directory.path(), terms(1)) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_reopened_journal_gives_the_same_ledger() {
    let directory = TempDir::new().unwrap();
    let (mut journal, mut ledger) = Journal::open(directory.path(), terms(3)).unwrap();
    let steps = [
        vec![running("a"), Record::Heard(Timestamp::UNIX_EPOCH)],
        vec![running("b"), queued("e"), tombstone("c"), tombstone("d")],
        vec![finished("b"), Record::Remove(("c".into(), 1))],
    ];
    for records in steps {
        journal.commit(&records).unwrap();
        records.into_iter().for_each(|record| ledger.apply(record));
    }
    drop(journal);
    let (_journal, reopened) = Journal::open(directory.path(), terms(3)).unwrap();
    assert_eq!(reopened, ledger);
    assert_eq!(reopened.inventory().len(), 3);
}

#[test]
fn what_ran_before_is_interrupted_after() {
    let directory = TempDir::new().unwrap();
    let (mut journal, _) = Journal::open(directory.path(), terms(3)).unwrap();
    journal.commit(&[running("a")]).unwrap();
    drop(journal);
    let (mut journal, mut ledger) = Journal::open(directory.path(), terms(3)).unwrap();
    let records = ledger.decide(Event::Booted).records;
    journal.commit(&records).unwrap();
    drop(journal);
    ledger = Journal::open(directory.path(), terms(3)).unwrap().1;
    assert_eq!(ledger.inventory()[0].state, HeldState::Finished);
    assert!(format!("{:?}", ledger.decide(Event::Repeat).actions).contains("Interrupted"));
}

#[test]
fn each_journal_has_an_identity_that_stays() {
    let directory = TempDir::new().unwrap();
    let id = || Journal::open(directory.path(), terms(1)).unwrap().1.journal().clone();
    let first = id();
    assert_eq!(id(), first);
    fs::remove_file(directory.path().join(FILE)).unwrap();
    assert_ne!(id(), first);
}

#[test]
fn a_journal_is_for_one_process_and_one_user() {
    let directory = TempDir::new().unwrap();
    let state = directory.path().join("a/b");
    let journal = Journal::open(&state, terms(1)).unwrap();
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(
        Journal::open(&state, terms(1)),
        Err(JournalError::InUse { .. })
    ));
    drop(journal);
    assert!(Journal::open(&state, terms(1)).is_ok());
}

#[test]
fn a_creation_that_was_cut_off_is_begun_anew() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(UNFINISHED), "half a jour").unwrap();
    assert!(Journal::open(directory.path(), terms(1)).is_ok());
}

#[test]
fn a_damaged_journal_is_not_replaced() {
    let check = |change: &dyn Fn(&Path)| {
        let error = after(change);
        assert!(
            error.contains("is damaged") && error.contains("move it away"),
            "{error}"
        );
    };
    check(&|path| fs::write(path, "").unwrap());
    check(&|path| fs::write(path, "not a journal at all").unwrap());
    check(&|path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    check(&|path| {
        let mut bytes = fs::read(path).unwrap();
        bytes.iter_mut().skip(8192).step_by(64).for_each(|byte| *byte ^= 0xff);
        fs::write(path, bytes).unwrap();
    });
    check(&|path| {
        fs::remove_file(path).unwrap();
        drop(Database::create(path).unwrap());
    });
}
