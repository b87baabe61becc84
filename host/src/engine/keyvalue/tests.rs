use super::*;
use crate::engine::memory::MemoryBound;

fn context(namespace: &str, uid: &str) -> TaskContext {
    TaskContext {
        namespace: namespace.to_owned(),
        name: "probe".to_owned(),
        uid: uid.to_owned(),
        attempt: 1,
    }
}

fn open_in(file: &KeyValue, task: &TaskContext, name: &str, scope: BucketScope) -> Bucket {
    let asked = propeller_api::Bucket {
        bucket: name.to_owned(),
        scope,
    };
    file.bucket(&asked, task, 1000, 1800).unwrap()
}

fn set(bucket: &Bucket, key: &str, value: &str) -> Result<(), String> {
    bucket
        .set(&[(key.to_owned(), value.as_bytes().to_vec())])
        .map_err(|error| error.to_string())
}

fn get(bucket: &Bucket, key: &str) -> Option<String> {
    let memory = MemoryBound::new(1 << 20);
    let mut found = bucket.get(&[key.to_owned()], memory.account()).unwrap();
    found.values.remove(0).map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn values_outlive_the_process_that_wrote_them() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("state/keyvalue.redb");
    let task = context("lab", "uid-1");
    let file = KeyValue::at(&path);
    assert!(!path.exists(), "nothing is made before it's needed");
    set(&open_in(&file, &task, "b", BucketScope::Task), "key", "value").unwrap();
    drop(file);
    let file = KeyValue::at(&path);
    assert_eq!(
        get(&open_in(&file, &task, "b", BucketScope::Task), "key"),
        Some("value".to_owned())
    );
}

#[test]
fn buckets_are_their_owners() {
    let scratch = tempfile::tempdir().unwrap();
    let file = KeyValue::at(scratch.path().join("keyvalue.redb"));
    let (one, two, far) = (context("lab", "1"), context("lab", "2"), context("far", "3"));
    set(&open_in(&file, &one, "b", BucketScope::Task), "key", "own").unwrap();
    set(&open_in(&file, &one, "b", BucketScope::Namespace), "key", "shared").unwrap();
    let check = |task: &TaskContext, name: &str, scope: BucketScope, expected: Option<&str>| {
        assert_eq!(
            get(&open_in(&file, task, name, scope), "key").as_deref(),
            expected,
            "{task:?} {scope:?}"
        );
    };
    check(&one, "b", BucketScope::Task, Some("own"));
    check(&one, "c", BucketScope::Task, None);
    check(&two, "b", BucketScope::Task, None);
    check(&two, "b", BucketScope::Namespace, Some("shared"));
    check(&far, "b", BucketScope::Namespace, None);
    set(&open_in(&file, &two, "b", BucketScope::Task), "key", "other").unwrap();
    file.forget("1").unwrap();
    check(&one, "b", BucketScope::Task, None);
    check(&two, "b", BucketScope::Task, Some("other"));
    check(&one, "b", BucketScope::Namespace, Some("shared"));
}

#[test]
fn a_bucket_holds_no_more_than_it_may() {
    let scratch = tempfile::tempdir().unwrap();
    let file = KeyValue::at(scratch.path().join("keyvalue.redb"));
    let bucket = open_in(&file, &context("lab", "1"), "b", BucketScope::Task);
    set(&bucket, "a", &"x".repeat(500)).unwrap();
    let refused = set(&bucket, "b", &"x".repeat(500)).unwrap_err();
    assert_eq!(refused, "the bucket is full: it may hold 1000 bytes");
    assert_eq!(get(&bucket, "b"), None, "nothing of it was written");
    set(&bucket, "a", &"y".repeat(900)).unwrap();
    bucket.delete(&["a".to_owned()]).unwrap();
    set(&bucket, "b", &"x".repeat(900)).unwrap();
    assert!(set(&bucket, "", "").is_err() && set(&bucket, &"k".repeat(1025), "").is_err());
    let large = bucket.set(&[("l".to_owned(), vec![0; VALUE_BYTES + 1])]);
    assert!(matches!(large, Err(BucketError::Value)));
}

#[test]
fn what_is_read_counts_as_memory_of_the_run() {
    let scratch = tempfile::tempdir().unwrap();
    let file = KeyValue::at(scratch.path().join("keyvalue.redb"));
    let bucket = open_in(&file, &context("lab", "1"), "b", BucketScope::Task);
    set(&bucket, "a", &"x".repeat(600)).unwrap();
    let memory = MemoryBound::new(1000);
    let twice = ["a".to_owned(), "a".to_owned()];
    assert!(matches!(bucket.get(&twice, memory.account()), Err(BucketError::Memory)));
    assert!(memory.refused());
    assert!(bucket.get(&twice[..1], memory.account()).is_ok());
}

#[test]
fn numbers_are_counted_and_keys_are_listed() {
    let scratch = tempfile::tempdir().unwrap();
    let file = KeyValue::at(scratch.path().join("keyvalue.redb"));
    let task = context("lab", "1");
    let asked = propeller_api::Bucket {
        bucket: "b".to_owned(),
        scope: BucketScope::Task,
    };
    let bucket = file.bucket(&asked, &task, 1 << 20, 1 << 30).unwrap();
    assert_eq!(bucket.increment("n", 2).unwrap(), 2);
    assert_eq!(bucket.increment("n", 3).unwrap(), 5);
    assert!(matches!(bucket.increment("n", u64::MAX), Err(BucketError::NoNumber)));
    set(&bucket, "text", "text").unwrap();
    assert!(matches!(bucket.increment("text", 1), Err(BucketError::NoNumber)));
    set(&open_in(&file, &task, "c", BucketScope::Task), "elsewhere", "").unwrap();
    let many: Vec<_> = (0..PAGE).map(|n| (format!("k{n:04}"), Vec::new())).collect();
    bucket.set(&many).unwrap();
    let (first, more) = bucket.keys(0).unwrap();
    assert!(first.len() == PAGE && more, "{}", first.len());
    let (last, more) = bucket.keys(PAGE).unwrap();
    assert_eq!((last, more), (vec!["n".to_owned(), "text".to_owned()], false));
    assert_eq!(bucket.keys(usize::MAX).unwrap(), (vec![], false));
}

/// Each of them is within its own bound.
#[test]
fn all_buckets_have_a_bound_together() {
    let scratch = tempfile::tempdir().unwrap();
    let file = KeyValue::at(scratch.path().join("keyvalue.redb"));
    let large = "x".repeat(800);
    let bucket = |uid: &str| open_in(&file, &context("lab", uid), "b", BucketScope::Task);
    set(&bucket("1"), "key", &large).unwrap();
    set(&bucket("2"), "key", &large).unwrap();
    let full = set(&bucket("3"), "key", "value").unwrap_err();
    assert!(full.contains("1800 bytes in all buckets"), "{full}");
    set(&bucket("1"), "key", "smaller").unwrap();
    set(&bucket("3"), "key", "value").unwrap();
    set(&bucket("4"), "key", &large).unwrap_err();
    file.forget("2").unwrap();
    set(&bucket("4"), "key", &large).unwrap();
}
