use std::{collections::BTreeMap, fs};

use propeller_api::{Call, Condition, ConditionStatus, Metadata, Phase, Task, TaskSpec, TaskStatus};
use rusqlite::Connection;
use serde_json::json;

use super::*;

fn task(name: &str) -> Task {
    let metadata = Metadata {
        name: name.to_owned(),
        namespace: "lab".to_owned(),
        ..Metadata::default()
    };
    let call = Call {
        function: "add".to_owned(),
        args: json!([20, 22]),
    };
    let spec = TaskSpec {
        image: "localhost:5000/add:1".to_owned(),
        call: Some(call),
        ..TaskSpec::default()
    };
    Task::new(metadata, spec)
}

fn key(name: &str) -> NamespacedName {
    task(name).key()
}

fn as_task(resource: &Resource) -> Task {
    match resource {
        Resource::Task(task) => (**task).clone(),
        Resource::Proplet(_) => panic!("{resource:?}"),
    }
}

async fn create(store: &Store, name: &str) -> Task {
    let created = store.write(Operation::Create(task(name).into())).await.unwrap();
    as_task(&created)
}

fn delete(name: &str, uid: Option<&str>, version: Option<&str>) -> Operation {
    Operation::Delete {
        kind: Kind::Task,
        key: key(name),
        uid: uid.map(str::to_owned),
        version: version.map(str::to_owned),
    }
}

fn version(task: &Task) -> u64 {
    task.metadata.resource_version.as_ref().unwrap().parse().unwrap()
}

fn dispatched(task: &Task) -> Task {
    let mut task = task.clone();
    task.status = Some(TaskStatus {
        phase: Phase::Completed,
        completion_time: task.metadata.creation_timestamp,
        results: Some(json!(42)),
        ..TaskStatus::default()
    });
    task
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = Store::open(&path).unwrap();
    let a = create(&store, "a").await;
    assert!(!a.metadata.uid.is_empty() && a.metadata.creation_timestamp.is_some());
    assert_eq!((a.metadata.generation, a.status.as_ref()), (Some(1), None));
    let done = store.write(Operation::Status(dispatched(&a).into())).await.unwrap();
    let b = create(&store, "b").await;
    store.write(delete("b", Some(&b.metadata.uid), None)).await.unwrap();
    let (newest, controller) = (store.all().0, store.controller().to_owned());
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.controller(), controller);
    assert_eq!(store.all(), (newest, vec![Arc::clone(&done)]));
    assert_eq!(as_task(&done).status.unwrap().results, Some(json!(42)));
    // What was deleted took a version with it, which nobody gets again.
    assert!(version(&create(&store, "b").await) > newest);
    assert_eq!(store.changes(newest - 1).unwrap_err(), Forgotten);
}

#[tokio::test]
async fn conditions_are_held_against_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    let a = create(&store, "a").await;
    let refused = async |operation| format!("{:?}", store.write(operation).await.unwrap_err());
    assert_eq!(refused(Operation::Create(task("a").into())).await, "Exists");
    assert_eq!(refused(Operation::Edit(task("b").into())).await, "Missing");
    assert_eq!(refused(delete("b", None, None)).await, "Missing");
    assert_eq!(refused(delete("a", Some("another"), None)).await, "Conflict");
    assert_eq!(refused(delete("a", None, Some("0"))).await, "Conflict");
    let mut edited = a.clone();
    edited.spec.priority = 7;
    let after = store.write(Operation::Edit(edited.clone().into())).await.unwrap();
    assert_eq!(after.metadata().generation, Some(2));
    assert_eq!(refused(Operation::Edit(edited.clone().into())).await, "Conflict");
    assert_eq!(refused(Operation::Status(dispatched(&a).into())).await, "Conflict");
    // The same once more is no change.
    let again = store.write(Operation::Edit((*after).clone())).await.unwrap();
    assert_eq!(again, after);
    let mut invalid = as_task(&after);
    invalid.spec.image = String::new();
    assert!(refused(Operation::Edit(invalid.into())).await.starts_with("Invalid"));
    // Nobody but the control plane writes a status, and nobody the rest of metadata.
    let mut status = dispatched(&as_task(&after));
    status.metadata.uid.clear();
    status.metadata.creation_timestamp = None;
    let same = store.write(Operation::Edit(status.into())).await.unwrap();
    assert_eq!(same, after);
}

#[tokio::test]
async fn what_was_dispatched_is_edited_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    let a = create(&store, "a").await;
    let done = store.write(Operation::Status(dispatched(&a).into())).await.unwrap();
    let mut edited = as_task(&done);
    edited.spec.image.push('2');
    let error = store.write(Operation::Edit(edited.into())).await.unwrap_err();
    assert!(error.to_string().contains("can't be edited"), "{error}");
    let mut edited = as_task(&done);
    edited.spec.ttl_seconds_after_finished = Some(1);
    store.write(Operation::Edit(edited.into())).await.unwrap();
}

#[tokio::test]
async fn many_at_once_are_seen_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    let names: Vec<_> = (0..300).map(|number| format!("t{number}")).collect();
    let (begin, _) = store.all();
    let writes = names.iter().map(|name| create(&store, name));
    let made = futures::future::join_all(writes).await;
    let changes = store.changes(begin).unwrap();
    let versions: Vec<_> = changes.iter().map(|change| change.version).collect();
    assert_eq!(versions, (begin + 1..=begin + 300).collect::<Vec<_>>());
    let seen: BTreeMap<_, _> = changes
        .iter()
        .map(|change| (change.version, change.now.key()))
        .collect();
    for task in made {
        assert_eq!(seen[&version(&task)], task.key());
    }
    // In one batch a resource is made, edited and gone.
    let both = (Operation::Create(task("x").into()), delete("x", None, None));
    let (made, gone) = tokio::join!(store.write(both.0), store.write(both.1));
    assert!(made.is_ok() && gone.is_ok());
    assert_eq!(store.get(Kind::Task, &key("x")), None);
    let (sent, gone) = (store.newest(), store.changes(begin + 301).unwrap());
    assert_eq!((*sent.borrow(), gone.len(), gone[0].is_gone), (begin + 302, 1, true));
}

#[tokio::test]
async fn what_the_disk_refuses_nobody_sees() {
    let folder = tempfile::tempdir().unwrap();
    let (database, contents) = Database::open(&folder.path().join("state.db")).unwrap();
    database.limit_pages(16);
    let store = Store::start(database, contents).unwrap();
    let mut failures = 0;
    for number in 0..20 {
        let mut large = task(&format!("t{number}"));
        large.spec.call.as_mut().unwrap().args = "x".repeat(8_000).into();
        match store.write(Operation::Create(large.into())).await {
            Ok(_) => assert_eq!(failures, 0),
            Err(Refusal::Failed(_)) => failures += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let (version, there) = store.all();
    assert!(failures > 0 && there.len() + failures == 20, "{failures}");
    assert_eq!(version, there.len() as u64);
    // There is room again.
    store.write(delete("t0", None, None)).await.unwrap();
    create(&store, "small").await;
}

#[test]
fn a_damaged_file_says_so_and_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut uid = String::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let controller = runtime.block_on(async {
        let store = Store::open(&path).unwrap();
        for number in 0..200 {
            uid = create(&store, &format!("t{number:03}")).await.metadata.uid;
        }
        store.controller().to_owned()
    });
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // A page in the middle: of the rows, neither the first nor the last.
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let error = Store::open(&path).map(drop).unwrap_err();
    assert!(
        matches!(error, OpenError::Damaged { .. }) && error.to_string().contains("--repair"),
        "{error}"
    );

    let Repaired {
        aside,
        read: count,
        lost,
    } = repair(&path).unwrap();
    assert!(
        aside.exists() && (100..200).contains(&count) && lost.is_empty(),
        "{count} {lost:?}"
    );
    assert!(fs::read_dir(folder.path()).unwrap().count() <= 5);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.controller(), controller);
    let (version, there) = store.all();
    assert_eq!(there.len(), count);
    assert!(version > 1_000_000 && there.iter().any(|resource| resource.metadata().uid == uid));
}

#[test]
fn what_is_no_state_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, prepare: &dyn Fn(&Path), expected: &str| {
        let path = folder.path().join(name);
        prepare(&path);
        let error = Store::open(&path).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    };
    check(
        "text",
        &|path| fs::write(path, "x".repeat(5_000)).unwrap(),
        "is damaged (file is not a database)",
    );
    check(
        "directory",
        &|path| fs::create_dir(path).unwrap(),
        "can't use the state",
    );
    check(
        "newer",
        &|path| drop(Connection::open(path).unwrap().pragma_update(None, "user_version", 99)),
        "format 99, and this one knows up to 1",
    );
    check(
        "another",
        &|path| {
            Connection::open(path)
                .unwrap()
                .execute_batch("CREATE TABLE a (b)")
                .unwrap()
        },
        "of another program",
    );
    let row = |path: &Path, kind: &str, body: &str| {
        drop(Database::open(path).unwrap());
        let connection = Connection::open(path).unwrap();
        let insert = "INSERT INTO resources (kind, namespace, name, body) VALUES (?1, 'lab', 'a', ?2)";
        connection.execute(insert, [kind, body]).unwrap();
    };
    check("kind", &|path| row(path, "Pod", "{}"), "Pod lab/a: unknown kind");
    check("json", &|path| row(path, "Task", "{"), "Task lab/a: EOF");
    check(
        "spec",
        &|path| row(path, "Task", "{\"apiVersion\": 1}"),
        "Task lab/a: apiVersion",
    );
    let no_text = |path: &Path| {
        row(path, "Task", "{}");
        let connection = Connection::open(path).unwrap();
        connection
            .execute("UPDATE resources SET body = CAST(x'7bff' AS TEXT)", [])
            .unwrap();
    };
    check("bytes", &no_text, "is damaged");
    // What is seen to be there and can't be read is named.
    for lose in [&|path: &Path| row(path, "Task", "{"), &no_text as &dyn Fn(&Path)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lost");
        lose(&path);
        assert_eq!(repair(&path).unwrap().lost, ["Task lab/a"]);
        Store::open(&path).unwrap();
    }
}

#[test]
fn a_state_of_an_older_format_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    // Format 0 is a file that nobody has written to.
    drop(Connection::open(&path).unwrap());
    drop(Database::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let format: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(format, 1);
}

#[test]
fn a_status_keeps_what_it_says() {
    let mut task = dispatched(&task("a"));
    task.metadata.uid = "uid".to_owned();
    task.status.as_mut().unwrap().conditions.push(Condition {
        type_: "Finished".to_owned(),
        status: ConditionStatus::True,
        reason: "Completed".to_owned(),
        message: "the call returned".to_owned(),
        last_transition_time: jiff::Timestamp::UNIX_EPOCH,
        observed_generation: Some(1),
    });
    let resource = Resource::from(task);
    let json = serde_json::to_value(&resource).unwrap();
    assert_eq!(Resource::read(Kind::Task, &json).unwrap(), resource);
}
