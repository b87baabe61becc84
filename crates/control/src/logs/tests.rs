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
            all.extend(entries(&reader.read().await.unwrap()));
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
    assert!(reader.read().await.unwrap().is_empty());
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
    assert!(logs.read("../uid-a").read().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_power_cut_left_of_a_line_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    assert!(logs.keep(lines("uid-a", &["one"])));
    until(&mut logs.read("uid-a"), "one").await;
    drop(logs);
    let path = folder.path().join("uid-a.log");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"line\": \"tw"].concat()).unwrap();
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    assert!(logs.keep(lines("uid-a", &["three"])));
    assert_eq!(texts(&until(&mut logs.read("uid-a"), "three").await), ["one", "three"]);
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
    assert_eq!(entries(&logs.read("uid-b").read().await.unwrap()).len(), 0);
    assert!(!entries(&logs.read("uid-a").read().await.unwrap()).is_empty());
    logs.forget("uid-a");
    logs.forget("uid-c");
    assert!(logs.keep(lines("uid-d", &["end"])));
    until(&mut logs.read("uid-d"), "end").await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_went_while_nobody_looked_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    for uid in ["uid-a", "uid-b", "uid-c"] {
        assert!(logs.keep(lines(uid, &["one"])));
    }
    until(&mut logs.read("uid-c"), "one").await;
    drop(logs);
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    logs.forget_others(["uid-b".to_owned(), "uid-z".to_owned()].into());
    assert!(logs.keep(lines("uid-b", &["two"])));
    assert_eq!(texts(&until(&mut logs.read("uid-b"), "two").await), ["one", "two"]);
    for gone in ["uid-a", "uid-c"] {
        assert!(logs.read(gone).read().await.unwrap().is_empty(), "{gone}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Of a message with more lines than any proplet sends, the last ones are kept, and a marker says how many aren't.
#[tokio::test]
async fn a_message_does_not_become_a_million_documents() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(
        folder.path(),
        Bounds {
            task: 8 << 20,
            ..Bounds::default()
        },
    )
    .unwrap();
    let mut flood = vec![""; 1_000_000];
    flood.push("last");
    assert!(logs.keep(lines("uid-a", &flood)));
    let kept = until(&mut logs.read("uid-a"), "last").await;
    assert_eq!(kept.len(), LINES + 1);
    assert!(
        kept[0].marker && kept[0].line.contains(&(1_000_001 - LINES).to_string()),
        "{:?}",
        kept[0]
    );
    // As JSON, control characters are six times as long.
    let wide = "\0".repeat(1 << 20);
    assert!(logs.keep(lines("uid-b", &[&wide, "end"])));
    let kept = until(&mut logs.read("uid-b"), "end").await;
    assert!(
        kept.len() == 2 && kept[0].marker && kept[0].line.contains("1048576 bytes"),
        "{:?}",
        kept[0]
    );
}

/// The writer is held up by somebody who holds the index.
#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    let line = "x".repeat(1 << 20);
    let taken = {
        let _held = logs.shared.write();
        let keep = |_: &u32| logs.keep(lines("uid-a", &[&line]));
        let taken = (0..1_000_u32).take_while(keep).count();
        // What is to be forgotten always gets through.
        logs.forget("uid-a");
        taken
    };
    assert_eq!(taken, 15);
    let given_back = async {
        while logs.room.available_permits() < QUEUE {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), given_back).await.unwrap();
    assert!(logs.keep(lines("uid-b", &["fits again"])));
    until(&mut logs.read("uid-b"), "fits again").await;
    assert!(logs.read("uid-a").read().await.unwrap().is_empty());
}

/// Its files begin anew then, and nobody takes them for the old ones.
#[tokio::test]
async fn who_reads_a_task_that_gave_way_and_wrote_again_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), Bounds::default()).unwrap();
    let mut reader = logs.read("uid-a");
    for line in ["one", "two", "three"] {
        assert!(logs.keep(lines("uid-a", &[line])));
    }
    until(&mut reader, "three").await;
    logs.forget("uid-a");
    assert!(logs.keep(lines("uid-a", &["four", "five"])));
    let seen = until(&mut reader, "five").await;
    assert!(seen[0].marker, "{seen:?}");
    assert_eq!(texts(&seen[1..]), ["four", "five"]);
}
