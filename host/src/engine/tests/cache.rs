//! Compiled code on disk: found without the component's bytes, and believed only if it was written here.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::engine::{CacheConfig, EngineError};

fn engine_with(directory: &Path, max_bytes: u64) -> Result<Engine, EngineError> {
    Engine::new(EngineConfig {
        instances: NonZeroU32::new(8).unwrap(),
        cache: Some(CacheConfig {
            directory: directory.to_owned(),
            max_bytes,
        }),
        ..EngineConfig::default()
    })
}

fn cached(directory: &Path) -> Engine {
    engine_with(directory, 1 << 30).unwrap()
}

/// The files of this kind, the one used least recently first.
fn files(directory: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == kind))
        .collect();
    files.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    files
}

fn bytes(wat: &str) -> (Digest, Vec<u8>) {
    let bytes = wat::parse_str(wat).unwrap();
    (digest(&bytes), bytes)
}

/// As another process would.
async fn adds(directory: &Path) -> bool {
    let Some(add) = cached(directory).warm(&bytes(&add()).0).await else {
        return false;
    };
    let returned = add.invoke(invocation("f", json!([20, 22]))).await.result.unwrap();
    returned.json() == Some(&json!(42))
}

#[tokio::test]
async fn a_component_is_found_by_its_digest_alone_after_a_restart() {
    let directory = TempDir::new().unwrap();
    assert!(!adds(directory.path()).await);
    let prepared = load(&cached(directory.path()), &add()).await.unwrap();
    assert!(adds(directory.path()).await);
    let found = cached(directory.path()).warm(&bytes(&add()).0).await.unwrap();
    assert_eq!(found.contract(), prepared.contract());
    assert_eq!(files(directory.path(), "cwasm").len(), 1);
    assert_eq!(files(directory.path(), "lock"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn nothing_that_was_not_written_here_is_run() {
    let check = async |what: &str, spoil: &dyn Fn(&Path, Vec<u8>)| {
        let directory = TempDir::new().unwrap();
        load(&cached(directory.path()), &add()).await.unwrap();
        let [file] = &files(directory.path(), "cwasm")[..] else {
            panic!()
        };
        spoil(file, fs::read(file).unwrap());
        assert!(!adds(directory.path()).await, "{what}");
        assert!(!file.exists(), "{what}: it was discarded");
        load(&cached(directory.path()), &add()).await.unwrap();
        assert!(adds(directory.path()).await, "{what}: it was compiled again");
    };
    let flip = |at: fn(usize) -> usize| {
        move |file: &Path, mut code: Vec<u8>| {
            let at = at(code.len());
            code[at] ^= 1;
            fs::write(file, code).unwrap();
        }
    };
    check("a bit of the code", &flip(|length| length / 2)).await;
    check("a bit of the first byte", &flip(|_| 0)).await;
    check("a bit of the lengths", &flip(|length| length - 48)).await;
    check("a bit of the seal", &flip(|length| length - 1)).await;
    check("cut short", &|file, code| {
        fs::write(file, &code[..code.len() - 1]).unwrap()
    })
    .await;
    check("cut shorter", &|file, code| fs::write(file, &code[..10]).unwrap()).await;
    check("empty", &|file, _| fs::write(file, []).unwrap()).await;
    check("longer", &|file, code| {
        fs::write(file, [&code[..], b"."].concat()).unwrap()
    })
    .await;
    let elsewhere = TempDir::new().unwrap();
    load(&cached(elsewhere.path()), &add()).await.unwrap();
    let theirs = files(elsewhere.path(), "cwasm").remove(0);
    check("from elsewhere", &|file, _| {
        let _ = fs::copy(&theirs, file).unwrap();
    })
    .await;
}

#[tokio::test]
async fn code_of_another_digest_is_not_run() {
    let directory = TempDir::new().unwrap();
    load(&cached(directory.path()), &spin()).await.unwrap();
    let spin = files(directory.path(), "cwasm").remove(0);
    let name = spin.file_name().unwrap().to_str().unwrap();
    let name = name.replace(&hex(&bytes(&super::spin()).0), &hex(&bytes(&add()).0));
    fs::rename(&spin, directory.path().join(name)).unwrap();
    assert!(!adds(directory.path()).await);
}

fn hex(digest: &Digest) -> String {
    digest.to_string().replace(':', "-")
}

#[tokio::test]
async fn a_lost_or_exposed_key_makes_all_code_foreign() {
    let check = async |spoil: fn(&Path)| {
        let directory = TempDir::new().unwrap();
        load(&cached(directory.path()), &add()).await.unwrap();
        spoil(&directory.path().join("key"));
        assert!(!adds(directory.path()).await);
        assert_eq!(
            fs::metadata(directory.path().join("key")).unwrap().permissions().mode() & 0o777,
            0o600
        );
    };
    check(|key| fs::remove_file(key).unwrap()).await;
    check(|key| fs::write(key, "short").unwrap()).await;
    check(|key| fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap()).await;
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_refused() {
    let directory = TempDir::new().unwrap();
    let made = directory.path().join("in/between");
    engine_with(&made, 1 << 30).unwrap();
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&made, fs::Permissions::from_mode(0o770)).unwrap();
    let error = engine_with(&made, 1 << 30).err().unwrap();
    assert!(error.to_string().contains("written to by others"), "{error}");
}

#[tokio::test]
async fn the_least_recently_used_makes_room() {
    let directory = TempDir::new().unwrap();
    let component = |n: u32| {
        component(
            "(result u32)",
            &format!(r#"(func (export "f") (result i32) (i32.const {n}))"#),
        )
    };
    load(&cached(directory.path()), &component(0)).await.unwrap();
    let size = fs::metadata(&files(directory.path(), "cwasm")[0]).unwrap().len();
    let engine = engine_with(directory.path(), 2 * size + size / 2).unwrap();
    load(&engine, &component(1)).await.unwrap();
    // Used long ago, so that being used again shows.
    for (file, hours) in files(directory.path(), "cwasm").iter().zip([3, 2]) {
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
        fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    }
    assert!(engine.warm(&bytes(&component(0)).0).await.is_some());
    load(&engine, &component(2)).await.unwrap();
    let again = engine_with(directory.path(), 1 << 30).unwrap();
    let mut there = Vec::new();
    for n in 0..3 {
        there.push(again.warm(&bytes(&component(n)).0).await.is_some());
    }
    assert_eq!(there, [true, false, true]);

    let tiny = engine_with(directory.path(), 100).unwrap();
    let prepared = load(&tiny, &component(3)).await.unwrap();
    assert!(
        prepared.invoke(invocation("f", json!([]))).await.result.is_ok(),
        "it runs nevertheless"
    );
}

/// An import that isn't there is told every time.
#[tokio::test]
async fn a_missing_import_is_told_again() {
    let directory = TempDir::new().unwrap();
    let missing = r#"(component (import "to-gold" (func)))"#;
    for _ in 0..2 {
        let error = load(&cached(directory.path()), missing).await.err().unwrap();
        assert_eq!(error.reason(), "UnknownImport");
        let kept = files(directory.path(), "cwasm");
        assert!(kept.is_empty(), "it takes the place of what runs: {kept:?}");
    }
}
