//! What is pushed to a real registry comes back, in the layout that other tools expect.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Bench, COMPONENT, distribution::Distribution, publication, reference, told};
use crate::{Progress, digest_of};

#[tokio::test]
async fn a_pushed_component_comes_back() {
    let (registry, bench) = (Distribution::open(), Bench::new());
    let name = reference(format!("{}/examples/addition:1.0.0", registry.host));
    let pushed = bench
        .client
        .push(&name, &publication(COMPONENT), &Progress::none())
        .await
        .unwrap();
    assert_eq!(
        (pushed.component.clone(), pushed.size),
        (digest_of(COMPONENT), COMPONENT.len() as u64)
    );

    let resolved = bench.client.resolve(&name).await.unwrap();
    assert_eq!(
        (&resolved.manifest, &resolved.component),
        (&pushed.manifest, &pushed.component)
    );
    assert_eq!(
        (resolved.size, resolved.media_type.as_str()),
        (pushed.size, "application/wasm")
    );
    assert_eq!(
        resolved.imports.as_deref(),
        Some(["wasi:cli/environment@0.2.0".to_owned()].as_slice())
    );
    assert_eq!(resolved.pinned(), name.pinned(&pushed.manifest));

    let artifact = bench.client.fetch(&resolved, &Progress::none()).await.unwrap();
    assert_eq!(
        (artifact.manifest, artifact.component, &artifact.bytes[..]),
        (pushed.manifest, pushed.component, COMPONENT)
    );
}

#[tokio::test]
async fn the_layout_is_the_one_of_the_cncf() {
    let (registry, bench) = (Distribution::open(), Bench::new());
    let name = reference(format!("{}/examples/addition:1.0.0", registry.host));
    let pushed = bench
        .client
        .push(&name, &publication(COMPONENT), &Progress::none())
        .await
        .unwrap();
    let base = format!("http://{}/v2/examples/addition", registry.host);
    let get = async |path: String| -> Value {
        let answer = reqwest::Client::new().get(format!("{base}/{path}"));
        let answer = answer
            .header("Accept", "application/vnd.oci.image.manifest.v1+json")
            .send()
            .await
            .unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    };

    let manifest = get(format!("manifests/{}", pushed.manifest)).await;
    let config_digest = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let expected = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json",
            "digest": config_digest,
            "size": manifest["config"]["size"],
        },
        "layers": [{"mediaType": "application/wasm", "digest": pushed.component, "size": COMPONENT.len()}],
        "annotations": {"org.opencontainers.image.title": "addition"},
    });
    assert_eq!(manifest, expected);
    let expected = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [pushed.component],
        "component": {
            "imports": ["wasi:cli/environment@0.2.0"],
            "exports": ["propeller:examples/math@1.0.0"],
        },
    });
    assert_eq!(get(format!("blobs/{config_digest}")).await, expected);
}

#[tokio::test]
async fn the_same_publication_has_the_same_digests() {
    let (one, other, bench) = (Distribution::open(), Distribution::open(), Bench::new());
    let mut digests = Vec::new();
    for name in [
        format!("{}/a:1", one.host),
        format!("{}/a:1", one.host),
        format!("{}/b/c:2", other.host),
    ] {
        let pushed = bench
            .client
            .push(&reference(name), &publication(COMPONENT), &Progress::none())
            .await
            .unwrap();
        digests.push(pushed.manifest);
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[tokio::test]
async fn progress_ends_at_the_size_both_ways() {
    let (registry, bench) = (Distribution::open(), Bench::new());
    let name = reference(format!("{}/large:1", registry.host));
    let mut large = COMPONENT.to_vec();
    large.resize(1_000_000, 7);
    let large = crate::Publication {
        component: Bytes::from(large),
        ..publication(COMPONENT)
    };

    let (progress, steps) = recorded();
    bench.client.push(&name, &large, &progress).await.unwrap();
    check(&steps, 1_000_000);
    let (progress, steps) = recorded();
    bench.client.pull(&name, &progress).await.unwrap();
    check(&steps, 1_000_000);
    // Cached by now.
    let (progress, steps) = recorded();
    bench.client.pull(&name, &progress).await.unwrap();
    assert!(steps.lock().unwrap().is_empty());

    fn check(steps: &Mutex<Vec<(u64, u64)>>, size: u64) {
        let steps = steps.lock().unwrap();
        assert!(steps.len() > 2 && steps.is_sorted(), "{steps:?}");
        assert_eq!((steps[0], steps[steps.len() - 1]), ((0, size), (size, size)));
    }
}

#[tokio::test]
async fn nothing_is_sent_that_makes_no_sense() {
    let (registry, bench) = (Distribution::open(), Bench::new());
    let name = reference(format!("{}/app:1", registry.host));
    let error = bench
        .client
        .push(&name, &publication(b"\x7fELF\x02"), &Progress::none())
        .await
        .unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("NotWasm", false));
    assert!(told(&error).contains("native code"), "{}", told(&error));
    let pinned = name.pinned(&digest_of(COMPONENT));
    let error = bench
        .client
        .push(&pinned, &publication(COMPONENT), &Progress::none())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "InvalidReference");
    assert_eq!(bench.client.resolve(&name).await.unwrap_err().reason(), "NotFound");
}

type Steps = Arc<Mutex<Vec<(u64, u64)>>>;

fn recorded() -> (Progress, Steps) {
    let steps = Steps::default();
    let writer = steps.clone();
    (
        Progress::new(move |done, total| writer.lock().unwrap().push((done, total))),
        steps,
    )
}
