//! Artifacts that aren't one component, and registries that lie about them.

use serde_json::json;

use super::{
    Bench, COMPONENT,
    fake::{Answer, Fake},
    told,
};
use crate::{Error, Progress, digest_of};

async fn pull(layers: &[(&str, &[u8])]) -> (Result<(), Error>, Fake) {
    let (fake, bench) = (
        Fake::start().await,
        Bench::with("", |client| client.max_component = 1000),
    );
    fake.publish("1", layers);
    let result = bench.client.pull(&fake.reference("1"), &Progress::none()).await;
    (result.map(drop), fake)
}

#[tokio::test]
async fn one_webassembly_layer_is_found_in_every_layout() {
    let data: (&str, &[u8]) = ("application/vnd.wasm.content.layer.v1+data", b"data");
    for layers in [
        &[("application/wasm", COMPONENT)][..],
        &[("application/vnd.wasm.content.layer.v1+wasm", COMPONENT)],
        &[("application/vnd.module.wasm.content.layer.v1+wasm", COMPONENT)],
        &[(
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
            COMPONENT,
        )],
        &[("application/vnd.oci.image.layer.v1.tar", COMPONENT)],
        &[data, ("application/vnd.wasm.content.layer.v1+wasm", COMPONENT), data],
    ] {
        let (result, fake) = pull(layers).await;
        result.unwrap_or_else(|error| panic!("{layers:?}: {}", told(&error)));
        assert_eq!(fake.count("/blobs/"), 1, "only the component is downloaded");
    }
}

#[tokio::test]
async fn other_artifacts_are_refused_before_the_download() {
    let (result, fake) = pull(&[
        ("application/wasm", COMPONENT),
        ("application/wasm", b"\0asm\x0d\0\x01\x01"),
    ])
    .await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient(), fake.count("/blobs/")),
        ("UnsupportedArtifact", false, 0)
    );
    assert!(error.to_string().contains("2 WebAssembly layers"), "{error}");

    let (result, fake) = pull(&[("application/vnd.oci.image.layer.v1.tar+gzip", b"\x1f\x8b")]).await;
    assert_eq!(
        (result.unwrap_err().reason(), fake.count("/blobs/")),
        ("UnsupportedArtifact", 0)
    );

    let (result, fake) = pull(&[("application/wasm", &[0; 1001])]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient(), fake.count("/blobs/")),
        ("TooLarge", false, 0)
    );
    assert!(
        error.to_string().contains("1001 bytes, more than the limit of 1000"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_webassembly_is_refused_whatever_its_type_says() {
    let check = async |media_type: &str, bytes: &[u8], expected: &str| {
        let error = pull(&[(media_type, bytes)]).await.0.unwrap_err();
        assert_eq!((error.reason(), error.is_transient()), ("NotWasm", false));
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("application/wasm", b"\x7fELF\x02\x01\x01", "precompiled").await;
    check(
        "application/vnd.oci.image.layer.v1.tar",
        b"a text file",
        "unknown format",
    )
    .await;
    check("application/wasm", b"", "empty").await;
}

#[tokio::test]
async fn a_size_that_is_too_small_ends_the_download() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let mut layer = fake.blob("application/wasm", COMPONENT);
    layer["size"] = json!(3);
    let config = fake.blob("application/vnd.oci.empty.v1+json", b"{}");
    fake.manifest("1", &json!({"schemaVersion": 2, "config": config, "layers": [layer]}));
    let error = bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "DigestMismatch");
    assert!(error.to_string().contains("more than 3 bytes"), "{error}");
}

#[tokio::test]
async fn addresses_in_a_manifest_are_not_asked() {
    let (fake, victim, bench) = (Fake::start().await, Fake::start().await, Bench::new());
    victim.serve("/internal".into(), COMPONENT);
    let layer = json!({
        "mediaType": "application/wasm",
        "digest": digest_of(COMPONENT),
        "size": COMPONENT.len(),
        "urls": [format!("http://{}/internal", victim.host)],
    });
    let config = fake.blob("application/vnd.oci.empty.v1+json", b"{}");
    fake.manifest("1", &json!({"schemaVersion": 2, "config": config, "layers": [layer]}));
    let error = bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap_err();
    assert_eq!((error.reason(), victim.count("")), ("NotFound", 0));
}

#[tokio::test]
async fn a_pinned_manifest_must_be_the_pinned_one() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.publish("1", &[("application/wasm", COMPONENT)]);
    let asked = digest_of(b"another manifest");
    fake.serve(format!("/v2/app/manifests/{asked}"), b"{\"schemaVersion\": 2}");
    let error = bench
        .client
        .resolve(&fake.reference("1").pinned(&asked))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "DigestMismatch", "{}", told(&error));
}

#[tokio::test]
async fn a_start_must_name_the_component_of_its_artifact() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let manifest = fake.publish("1", &[("application/wasm", COMPONENT)]);
    let (tag, other) = (fake.reference("1"), digest_of(b"another component"));
    let error = bench
        .client
        .fetch_digest(&tag.pinned(&manifest), &other, &Progress::none())
        .await
        .unwrap_err();
    assert_eq!((error.reason(), fake.count("/blobs/")), ("DigestMismatch", 0));
    let error = bench
        .client
        .fetch_digest(&tag, &other, &Progress::none())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "InvalidReference");
}

#[tokio::test]
async fn an_index_leads_to_its_entry_for_wasm() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    let manifest = fake.publish("hidden", &[("application/wasm", COMPONENT)]);
    let entry = |architecture: &str, digest: &propeller_api::Digest| {
        let platform = json!({"architecture": architecture, "os": "wasip2"});
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1, "platform": platform})
    };
    let index = json!({"schemaVersion": 2, "manifests": [entry("amd64", &digest_of(b"")), entry("wasm", &manifest)]});
    let index_digest = fake.manifest("1", &index);
    for name in [fake.reference("1"), fake.reference("1").pinned(&index_digest)] {
        assert_eq!(bench.client.resolve(&name).await.unwrap().manifest, manifest);
    }
    fake.manifest(
        "2",
        &json!({"schemaVersion": 2, "manifests": [entry("wasm", &index_digest)]}),
    );
    let error = bench.client.resolve(&fake.reference("2")).await.unwrap_err();
    assert!(error.to_string().contains("index of indexes"), "{error}");
}

#[tokio::test]
async fn a_config_that_makes_no_sense_costs_nothing() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    for (tag, config) in [
        ("1", "not JSON"),
        ("2", "{}"),
        ("3", r#"{"component": {"imports": 7}}"#),
    ] {
        let config = fake.blob("application/vnd.wasm.config.v0+json", config.as_bytes());
        let layer = fake.blob("application/wasm", COMPONENT);
        fake.manifest(tag, &json!({"schemaVersion": 2, "config": config, "layers": [layer]}));
        assert_eq!(bench.client.resolve(&fake.reference(tag)).await.unwrap().imports, None);
    }
}

/// Whoever names a registry chooses who answers.
#[tokio::test]
async fn an_answer_without_an_end_is_not_taken() {
    let check = async |part: &'static str, status: u16, reason: &str| {
        let (fake, bench) = (Fake::start().await, Bench::with("", |client| client.patience.tries = 1));
        fake.publish("1", &[("application/wasm", COMPONENT)]);
        if part == "/token" {
            fake.require_token();
        }
        fake.answer(part, usize::MAX, Answer::Endless(status));
        let pull = bench.client.pull(&fake.reference("1"), &Progress::none()).await;
        let error = pull.map(drop).unwrap_err();
        assert_eq!(error.reason(), reason, "{part} {status}: {}", told(&error));
    };
    check("/manifests/", 200, "TooLarge").await;
    check("/manifests/", 404, "NotFound").await;
    check("/manifests/", 500, "RegistryFailed").await;
    check("/blobs/", 200, "DigestMismatch").await;
    check("/blobs/", 404, "NotFound").await;
    check("/token", 200, "RegistryFailed").await;
    check("/token", 403, "Unauthorized").await;
}
