//! A registry or network in trouble: what is tried again, what isn't, and what a person is told.

use std::time::Duration;

use super::{
    Bench, COMPONENT,
    fake::{Answer, Fake},
    reference, told,
};
use crate::{Error, Progress};

const WASM: &[(&str, &[u8])] = &[("application/wasm", COMPONENT)];

/// Pulls while the next requests for `part` are answered like this, `times` times.
async fn pull_while(part: &'static str, times: usize, answer: Answer) -> (Result<(), Error>, usize) {
    let (fake, bench) = (
        Fake::start().await,
        Bench::with("", |client| client.patience.idle = Duration::from_millis(200)),
    );
    fake.publish("1", WASM);
    fake.answer(part, times, answer);
    let result = bench.client.pull(&fake.reference("1"), &Progress::none()).await;
    (result.map(drop), fake.count(part))
}

#[tokio::test]
async fn passing_trouble_is_ridden_out() {
    let check = async |part: &'static str, answer: Answer| {
        let (result, requests) = pull_while(part, 2, answer).await;
        result.unwrap_or_else(|error| panic!("{part}: {}", told(&error)));
        assert_eq!(requests, 3, "{part}");
    };
    check("/manifests/", Answer::Status(429)).await;
    check("/manifests/", Answer::Status(503)).await;
    check("/manifests/", Answer::Cut(b"{")).await;
    check("/manifests/", Answer::Never).await;
    check("/blobs/", Answer::Status(429)).await;
    check("/blobs/", Answer::Status(500)).await;
    check("/blobs/", Answer::Cut(b"\0asm")).await;
    check("/blobs/", Answer::Never).await;
}

#[tokio::test]
async fn lasting_trouble_is_reported() {
    let check = async |part: &'static str, answer: Answer, tries: usize, reason: &str, transient: bool| {
        let (result, requests) = pull_while(part, usize::MAX, answer).await;
        let error = result.unwrap_err();
        assert_eq!(
            (error.reason(), error.is_transient(), requests),
            (reason, transient, tries),
            "{}",
            told(&error)
        );
    };
    check("/manifests/", Answer::Status(429), 4, "RateLimited", true).await;
    check("/manifests/", Answer::Status(502), 4, "RegistryFailed", true).await;
    check("/manifests/", Answer::Status(418), 1, "RegistryFailed", false).await;
    check("/manifests/", Answer::Status(403), 1, "Unauthorized", true).await;
    check("/manifests/", Answer::Status(404), 1, "NotFound", true).await;
    check("/blobs/", Answer::Status(404), 1, "NotFound", true).await;
    check("/blobs/", Answer::Cut(b"\0asm"), 4, "RegistryUnreachable", true).await;
    check(
        "/blobs/",
        Answer::Bytes(b"\0asm\x0d\0\x01\x09"),
        1,
        "DigestMismatch",
        true,
    )
    .await;
    check("/blobs/", Answer::Bytes(b"\0asm"), 1, "DigestMismatch", true).await;
    check(
        "/blobs/",
        Answer::Bytes(b"\0asm\x0d\0\x01\0 and more"),
        1,
        "DigestMismatch",
        true,
    )
    .await;
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let (fake, elsewhere, bench) = (Fake::start().await, Fake::start().await, Bench::new());
    fake.publish("1", WASM);
    elsewhere.serve("/storage".into(), COMPONENT);
    fake.answer(
        "/blobs/",
        1,
        Answer::Redirect(format!("http://{}/storage", elsewhere.host)),
    );
    bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_tag_is_not_found() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let error = bench.client.resolve(&fake.reference("typo")).await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("NotFound", true));
    let expected = format!("`{}` is not in registry `{}`", fake.reference("typo"), fake.host);
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test]
async fn unreachable_registries_are_told_apart() {
    let fake = Fake::start().await;
    let check = async |name: String, settings: &str, expected: &str| {
        let error = Bench::with(settings, |_| {})
            .client
            .resolve(&reference(name))
            .await
            .unwrap_err();
        assert_eq!(
            (error.reason(), error.is_transient()),
            ("RegistryUnreachable", true),
            "{}",
            told(&error)
        );
        assert!(error.to_string().contains(expected), "{}", told(&error));
    };
    // RFC 6761 keeps `.invalid` without addresses for ever. Port 1 of loopback is nobody's.
    check(
        "registry.invalid/app:1".into(),
        "",
        "registry `registry.invalid` can't be reached: DNS",
    )
    .await;
    check("localhost:1/app:1".into(), "", "no connection").await;
    check(
        format!("{}/app:1", fake.host),
        &format!("[\"{}\"]\nplain-http = false", fake.host),
        "TLS failed",
    )
    .await;
}

#[tokio::test]
async fn the_whole_operation_is_bounded() {
    let fake = Fake::start().await;
    fake.answer("/manifests/", usize::MAX, Answer::Never);
    let bench = Bench::with("", |client| client.patience.whole = Duration::from_millis(100));
    let error = bench.client.resolve(&fake.reference("1")).await.unwrap_err();
    assert_eq!(error.reason(), "RegistryUnreachable");
    assert!(error.to_string().contains("no answer in time"), "{error}");
}
