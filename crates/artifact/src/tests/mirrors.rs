//! Mirrors come first, help where they can, and are never pushed to.

use super::{
    Bench, COMPONENT,
    distribution::Distribution,
    fake::{Answer, Fake},
    publication, reference,
};
use crate::Progress;

const WASM: &[(&str, &[u8])] = &[("application/wasm", COMPONENT)];

fn mirrored(host: &str, mirrors: &[&str]) -> Bench {
    Bench::with(&format!("[\"{host}\"]\nmirrors = {mirrors:?}"), |_| {})
}

#[tokio::test]
async fn a_mirror_spares_the_registry() {
    let mirror = Fake::start().await;
    mirror.publish("1", WASM);
    let bench = mirrored("registry.invalid", &[&mirror.host]);
    let artifact = bench
        .client
        .pull(&reference("registry.invalid/app:1"), &Progress::none())
        .await
        .unwrap();
    assert_eq!(&artifact.bytes[..], COMPONENT);
}

#[tokio::test]
async fn a_mirror_can_serve_below_a_path() {
    let mirror = Fake::start().await;
    mirror.publish("1", WASM);
    // The fake has one repository, `app`: the mirror's path stands for the registry, the reference's for nothing of the mirror's own.
    let bench = mirrored("registry.invalid", &[&format!("{}/proxy", mirror.host)]);
    let _ = bench.client.resolve(&reference("registry.invalid/you/app:1")).await;
    assert_eq!(mirror.count("/v2/proxy/you/app/manifests/1"), 1);
}

#[tokio::test]
async fn a_mirror_that_doesnt_help_is_passed_by() {
    let (mirror, registry) = (Fake::start().await, Fake::start().await);
    registry.publish("1", WASM);
    for answer in [
        Answer::Status(404),
        Answer::Status(500),
        Answer::Status(401),
        Answer::Bytes(b"<html>"),
    ] {
        mirror.answer("/blobs/", usize::MAX, answer);
        let bench = mirrored(&registry.host, &["localhost:1", &mirror.host]);
        bench
            .client
            .pull(&registry.reference("1"), &Progress::none())
            .await
            .unwrap();
    }
    assert!(mirror.count("/manifests/") >= 4);
}

#[tokio::test]
async fn where_only_the_mirror_answers_its_answer_counts() {
    let mirror = Fake::start().await;
    let bench = mirrored("registry.invalid", &[&mirror.host]);
    let error = bench
        .client
        .resolve(&reference("registry.invalid/app:typo"))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "NotFound");
    assert!(error.to_string().contains(&mirror.host), "{error}");
}

#[tokio::test]
async fn a_push_goes_to_the_registry_alone() {
    let (mirror, registry) = (Fake::start().await, Distribution::open());
    let bench = mirrored(&registry.host, &[&mirror.host]);
    let name = reference(format!("{}/app:1", registry.host));
    bench
        .client
        .push(&name, &publication(COMPONENT), &Progress::none())
        .await
        .unwrap();
    assert_eq!(mirror.count(""), 0);
}
