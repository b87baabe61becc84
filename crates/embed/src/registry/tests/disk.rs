//! What is on disk, and what happens when something is wrong there.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use super::{Bench, Registry, RegistryConfig, in_time, publication, pull, push, reference, refused};

/// Where the process of [`serves_until_it_is_killed`] keeps its artifacts.
const DIRECTORY: &str = "PROPELLER_TEST_REGISTRY";

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "registry::tests::disk::serves_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let address: SocketAddr = lines
        .find_map(|line| line.strip_prefix("listening on ")?.parse().ok())
        .unwrap();
    let mut pushed = Vec::new();
    for number in 0..20 {
        let name = format!("app:{number}");
        pushed.push(push(&reference(address, &name), name.as_bytes()).await);
    }
    process.kill().unwrap();
    process.wait().unwrap();

    let registry = Registry::start(RegistryConfig::new(directory.path())).unwrap();
    for (number, pushed) in pushed.iter().enumerate() {
        let name = format!("app:{number}");
        let by_tag = reference(registry.address(), &name);
        let expected = publication(name.as_bytes()).component;
        assert_eq!(pull(&by_tag).await.unwrap(), expected);
        assert_eq!(pull(&by_tag.pinned(&pushed.manifest)).await.unwrap(), expected);
    }
}

#[test]
#[ignore = "the other process of what_was_acknowledged_survives_a_kill"]
fn serves_until_it_is_killed() {
    let directory = env::var_os(DIRECTORY).expect("not called by its test");
    let registry = Registry::start(RegistryConfig::new(directory)).unwrap();
    // The test's own name stands before it on the line.
    println!("\nlistening on {}", registry.address());
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn what_a_killed_write_left_is_removed() {
    let bench = Bench::new();
    let name = bench.reference("app:1");
    push(&name, b"x").await;
    let directory = bench.directory.path().join("registry");
    let left = [
        directory.join("metadata.json.1.0.tmp"),
        directory.join(format!("metadata.json.{}.0.tmp", std::process::id())),
        directory.join("blobs/unfinished/.tmpAbCdEf"),
    ];
    for path in &left {
        fs::write(path, "half of it").unwrap();
    }
    let bench = bench.restart().await;
    for path in &left {
        assert!(!path.exists(), "{}", path.display());
    }
    let name = bench.reference("app:1");
    assert!(pull(&name).await.is_ok());
    push(&bench.reference("app:2"), b"y").await;
}

#[tokio::test]
async fn a_damaged_blob_is_not_handed_out_and_sent_again() {
    let bench = Bench::new();
    let name = bench.reference("app:1");
    let pushed = push(&name, b"x").await;
    let hex = pushed.component.to_string().replace("sha256:", "");
    let file = bench.directory.path().join("registry/blobs/sha256").join(hex);
    let mut bytes = fs::read(&file).unwrap();
    bytes[5] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(pull(&name).await.unwrap_err().reason(), "NotFound");
    push(&name, b"x").await;
    assert_eq!(pull(&name).await.unwrap(), publication(b"x").component);
}

#[tokio::test]
async fn damaged_metadata_is_named_and_left_alone() {
    let Bench { registry, directory } = Bench::new();
    push(&reference(registry.address(), "app:1"), b"x").await;
    in_time(registry.stop()).await.unwrap();
    let directory = directory.path().join("registry");
    let file = directory.join("metadata.json");
    let good = fs::read_to_string(&file).unwrap();
    let manifest = good.find("body_hex").unwrap();
    for damaged in [
        good[..good.len() / 2].to_owned(),
        String::new(),
        "{}".to_owned(),
        good.replace("sha256:", "sha256:0"),
        good.replace("\"manifests\":{\"app\"", "\"manifests\":{\"other\""),
        format!("{}z{}", &good[..manifest + 12], &good[manifest + 13..]),
    ] {
        fs::write(&file, &damaged).unwrap();
        let error = refused(&directory, |_| {});
        let expected = format!("{} is damaged", file.display());
        assert!(error.contains(&expected) && error.contains("push again"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
    }
    fs::write(&file, good).unwrap();
    let registry = Registry::start(RegistryConfig::new(&directory)).unwrap();
    assert!(pull(&reference(registry.address(), "app:1")).await.is_ok());
}

#[tokio::test]
async fn what_it_cannot_have_is_named() {
    let bench = Bench::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let address = bench.registry.address();
    let error = refused(elsewhere.path(), |config| config.bind = address);
    assert!(
        error.contains(&format!("cannot listen on {address}")) && error.contains("in use"),
        "{error}"
    );

    let used = bench.directory.path().join("registry");
    let error = refused(&used, |_| {});
    assert!(error.contains(&format!("{} are in use", used.display())), "{error}");
    in_time(bench.registry.stop()).await.unwrap();
    drop(Registry::start(RegistryConfig::new(&used)).unwrap());

    let file = elsewhere.path().join("file");
    fs::write(&file, "in the way").unwrap();
    // Into the last not even root can write.
    for path in [&file, &file.join("below"), Path::new("/proc")] {
        let error = refused(path, |_| {});
        let expected = format!("cannot keep artifacts in {}", path.display());
        assert!(error.contains(&expected) && error.contains("may write"), "{error}");
    }
}
