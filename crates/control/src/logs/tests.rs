use propeller_protocol::{AttemptRef, Sender, TaskRef};
use tokio::time::{Duration, timeout};

use super::*;

fn lines(uid: &str, lines: &[&str]) -> Lines {
    Lines {
        sender: Sender {
            journal: "journal-1".parse().unwrap(),
            boot: "boot-1".parse().unwrap(),
            sequence: 1,
        },
        attempt: AttemptRef {
            task: TaskRef {
                namespace: "lab".into(),
                name: "a".into(),
                uid: uid.into(),
            },
            attempt: 1,
        },
        stream: Stream::Stdout,
        lines: lines.iter().map(ToString::to_string).collect(),
    }
}

fn entries(text: &[u8]) -> Vec<Entry> {
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Reads until a line is there.
async fn until(reader: &mut Reader, last: &str) -> Vec<Entry> {
    let mut all = Vec::new();
    let reading = async {
        loop {
            all.extend(entries(&reader.read().unwrap()));
            if all.last().is_some_and(|entry: &Entry| entry.line == last) {
                return;
            }
            reader.news().await;
        }
    };
    timeout(Duration::from_secs(20), reading).await.unwrap();
    all
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.line.as_str()).collect()
}

#[tokio::test]
async fn lines_are_read_as_they_come_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    let mut reader = logs.read("uid-a");
    assert!(reader.read().unwrap().is_empty());
    assert!(logs.keep(lines("uid-a", &["one", "two"])));
    assert!(logs.keep(lines("uid-b", &["another task's"])));
    assert_eq!(texts(&until(&mut reader, "two").await), ["one", "two"]);
    assert!(logs.keep(lines("uid-a", &["three"])));
    assert_eq!(texts(&until(&mut reader, "three").await), ["three"]);
    let again = Logs::open(folder.path(), Bounds::default()).unwrap();
    assert_eq!(
        texts(&until(&mut again.read("uid-a"), "three").await),
        ["one", "two", "three"]
    );
    assert!(logs.read("../uid-a").read().unwrap().is_empty());
}

#[tokio::test]
async fn of_a_task_the_newest_lines_stay() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        task: 4_000,
        ..Bounds::default()
    };
    let logs = Logs::open(folder.path(), bounds).unwrap();
    let mut slow = logs.read("uid-a");
    assert!(logs.keep(lines("uid-a", &["first"])));
    until(&mut slow, "first").await;
    let mut reader = logs.read("uid-a");
    let mut seen = Vec::new();
    for number in 0..200 {
        let line = format!("line {number}");
        assert!(logs.keep(lines("uid-a", &[&line])));
        seen.extend(until(&mut reader, &line).await);
    }
    // Who follows misses nothing; who comes later, and who fell behind, is told that something is missing.
    assert_eq!(seen.len(), 201);
    for mut late in [logs.read("uid-a"), slow] {
        let late = until(&mut late, "line 199").await;
        assert!(late[0].marker && late.len() > 20 && late.len() < 100, "{}", late.len());
    }
    let files = fs::read_dir(folder.path()).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 4_000, "{bytes}");
}

#[tokio::test]
async fn in_all_the_task_that_was_silent_longest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        task: 2_000,
        all: 2_500,
    };
    let logs = Logs::open(folder.path(), bounds).unwrap();
    let line = "x".repeat(600);
    for uid in ["uid-a", "uid-b", "uid-a", "uid-c"] {
        assert!(logs.keep(lines(uid, &[&line])));
    }
    until(&mut logs.read("uid-c"), &line).await;
    assert_eq!(entries(&logs.read("uid-b").read().unwrap()).len(), 0);
    assert!(!entries(&logs.read("uid-a").read().unwrap()).is_empty());
    assert!(logs.forget("uid-a") && logs.forget("uid-c"));
    assert!(logs.keep(lines("uid-d", &["end"])));
    until(&mut logs.read("uid-d"), "end").await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
