//! What is cached needs no network, what is damaged isn't used, and what many want is downloaded once.

use std::{fs, path::PathBuf, sync::Arc};

use futures::future::join_all;
use propeller_api::Digest;

use super::{
    Bench, COMPONENT,
    fake::{Answer, Fake},
};
use crate::{Progress, digest_of};

const WASM: &[(&str, &[u8])] = &[("application/wasm", COMPONENT)];

fn cached(bench: &Bench, digest: &Digest) -> PathBuf {
    bench.directory.path().join("cache/blobs/sha256").join(digest.hex())
}

#[tokio::test]
async fn a_cached_artifact_needs_no_network() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let manifest = fake.publish("1", WASM);
    let pinned = fake.reference("1").pinned(&manifest);
    bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap();

    let before = fake.count("");
    let resolved = bench.client.resolve(&pinned).await.unwrap();
    bench.client.fetch(&resolved, &Progress::none()).await.unwrap();
    bench.client.pull(&pinned, &Progress::none()).await.unwrap();
    let artifact = bench
        .client
        .fetch_digest(&pinned, &digest_of(COMPONENT), &Progress::none())
        .await
        .unwrap();
    assert_eq!((artifact.manifest, &artifact.bytes[..]), (manifest, COMPONENT));
    assert_eq!(fake.count(""), before);
}

#[tokio::test]
async fn a_tag_is_asked_for_again() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let first = fake.publish("1", WASM);
    assert_eq!(
        bench.client.resolve(&fake.reference("1")).await.unwrap().manifest,
        first
    );
    let second = fake.publish("1", &[("text/plain", b"moved"), WASM[0]]);
    assert_eq!(
        bench.client.resolve(&fake.reference("1")).await.unwrap().manifest,
        second
    );
}

#[tokio::test]
async fn a_damaged_blob_is_fetched_again() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let manifest = fake.publish("1", WASM);
    let pinned = fake.reference("1").pinned(&manifest);
    let fetch = async || {
        bench
            .client
            .fetch_digest(&pinned, &digest_of(COMPONENT), &Progress::none())
            .await
            .unwrap()
    };
    fetch().await;
    for damage in [
        b"\0asm\x0d\0\x01\x01".as_slice(),
        b"",
        b"longer than it was, and by some bytes",
    ] {
        fs::write(cached(&bench, &digest_of(COMPONENT)), damage).unwrap();
        assert_eq!(&fetch().await.bytes[..], COMPONENT);
        assert_eq!(fs::read(cached(&bench, &digest_of(COMPONENT))).unwrap(), COMPONENT);
    }
    assert_eq!(fake.count("/blobs/"), 4);
}

#[tokio::test]
async fn many_who_want_the_same_download_it_once() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.publish("1", WASM);
    let (client, name) = (Arc::new(bench.client), fake.reference("1"));
    let pulls = (0..8).map(|_| {
        let (client, name) = (client.clone(), name.clone());
        tokio::spawn(async move { client.pull(&name, &Progress::none()).await.unwrap().bytes })
    });
    for bytes in join_all(pulls).await {
        assert_eq!(&bytes.unwrap()[..], COMPONENT);
    }
    assert_eq!(fake.count("/blobs/"), 1);
}

#[tokio::test]
async fn a_failed_download_leaves_the_next_one_a_chance() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.publish("1", WASM);
    fake.answer("/blobs/", 1, Answer::Bytes(b"\0asm\x0d\0\x01\x09"));
    let pull = async || bench.client.pull(&fake.reference("1"), &Progress::none()).await;
    let (one, other) = tokio::join!(pull(), pull());
    let failures = [one, other]
        .into_iter()
        .filter_map(Result::err)
        .map(|error| error.reason())
        .collect::<Vec<_>>();
    assert_eq!(failures, ["DigestMismatch"]);
}

#[tokio::test]
async fn only_whole_blobs_have_a_name() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.publish("1", WASM);
    fake.answer("/blobs/", usize::MAX, Answer::Cut(b"\0asm"));
    bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap_err();
    assert!(!cached(&bench, &digest_of(COMPONENT)).exists());
    let incoming = fs::read_dir(bench.directory.path().join("cache/incoming")).unwrap();
    assert_eq!(incoming.count(), 0);
}

#[tokio::test]
async fn what_crashes_left_behind_is_removed_at_the_next_start() {
    let bench = Bench::new();
    let incoming = bench.directory.path().join("cache/incoming");
    let (old, new) = (incoming.join("old"), incoming.join("new"));
    fs::write(&new, "still arriving").unwrap();
    let file = fs::File::create(&old).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 60 * 60))
        .unwrap();
    crate::Client::new(super::config(&bench.directory, "", |_| {})).unwrap();
    assert_eq!((old.exists(), new.exists()), (false, true));
}

#[tokio::test]
async fn a_cache_that_cant_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("cache"), "a file where the directory should be").unwrap();
    let error = crate::Client::new(super::config(&directory, "", |_| {})).unwrap_err();
    assert_eq!(error.reason(), "CacheFailed");
    assert!(error.to_string().contains("cache"), "{error}");
}

#[tokio::test]
async fn what_was_used_least_recently_makes_room() {
    let fake = Fake::start().await;
    // Of manifest and component each, with room for two of both.
    let bench = Bench::with("", |client| client.cache_size = 3000);
    let component = |n: u8| [COMPONENT, &[0, 0xe0, 7, 1, n], &[n; 990]].concat();
    let pull = async |n: u8| {
        let (bytes, tag) = (component(n), n.to_string());
        fake.publish(&tag, &[("application/wasm", &bytes)]);
        bench
            .client
            .pull(&fake.reference(&tag), &Progress::none())
            .await
            .unwrap();
        cached(&bench, &digest_of(&bytes))
    };
    let (one, two) = (pull(1).await, pull(2).await);
    let long_ago = |path: &PathBuf, hours: u64| {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    };
    long_ago(&one, 2);
    long_ago(&two, 1);
    pull(1).await;
    let three = pull(3).await;
    assert_eq!([one, two, three].map(|path| path.exists()), [true, false, true]);
}
