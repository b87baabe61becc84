//! What is pushed comes back.

use propeller_artifact::Progress;
use reqwest::StatusCode;
use serde_json::{Value, json};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Bench, client, error, in_time, publication, pull, push};

#[tokio::test]
async fn a_component_comes_back_by_tag_and_by_digest_also_after_a_restart() {
    let bench = Bench::new();
    let names = ["examples/addition:1.0.0", "app:latest", "a/b/c/d-e_f.g:V1"];
    let mut pushed = Vec::new();
    for name in names {
        pushed.push(push(&bench.reference(name), name.as_bytes()).await);
    }
    let check = async |bench: &Bench| {
        for (name, pushed) in names.iter().zip(&pushed) {
            let by_tag = bench.reference(name);
            let expected = publication(name.as_bytes()).component;
            assert_eq!(pull(&by_tag).await.unwrap(), expected, "{name}");
            let by_digest = by_tag.pinned(&pushed.manifest);
            assert_eq!(pull(&by_digest).await.unwrap(), expected, "{by_digest}");
            let (client, _cache) = client();
            let resolved = in_time(client.resolve(&by_tag)).await.unwrap();
            assert_eq!(
                (&resolved.manifest, &resolved.component),
                (&pushed.manifest, &pushed.component)
            );
            assert_eq!(resolved.imports, Some(Vec::new()), "the config isn't there");
        }
    };
    check(&bench).await;
    check(&bench.restart().await).await;
}

#[tokio::test]
async fn a_manifest_is_kept_as_it_came() {
    let bench = Bench::new();
    let pushed = push(&bench.reference("app:1"), b"x").await;
    let answer = reqwest::get(bench.url("app/manifests/1")).await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(header("docker-content-digest"), pushed.manifest.to_string());
    let manifest: Value = answer.json().await.unwrap();
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(
        manifest["annotations"],
        json!({"org.opencontainers.image.title": "addition"})
    );

    let http = reqwest::Client::new();
    let head = http.head(bench.url("app/manifests/1")).send().await.unwrap();
    assert_eq!(head.headers()["docker-content-digest"], pushed.manifest.to_string());
    let layer = bench.url(&format!("app/blobs/{}", pushed.component));
    let head = http.head(layer).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], pushed.size.to_string());
    push(&bench.reference("app:2"), b"y").await;
    let tags: Value = reqwest::get(bench.url("app/tags/list"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(tags, json!({"name": "app", "tags": ["1", "2"]}));
}

/// Where others put what they sign, or say of an artifact: no component, but a manifest with a type of its own.
#[tokio::test]
async fn an_artifact_of_another_type_is_taken_and_found_by_its_subject() {
    let bench = Bench::new();
    let pushed = push(&bench.reference("app:1"), b"x").await;
    let empty = json!({"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.note",
        "config": empty,
        "layers": [empty],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": pushed.manifest, "size": 1},
    });
    let put = reqwest::Client::new().put(bench.url("app/manifests/note"));
    let put = put
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .json(&manifest);
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    let bench = bench.restart().await;
    let referrers = bench.url(&format!("app/referrers/{}", pushed.manifest));
    let index: Value = reqwest::get(referrers).await.unwrap().json().await.unwrap();
    assert_eq!(index["manifests"][0]["artifactType"], "application/vnd.example.note");
}

#[tokio::test]
async fn a_tag_moves_and_digests_stay() {
    let bench = Bench::new();
    let name = bench.reference("app:latest");
    let first = push(&name, b"first").await;
    let second = push(&name, b"second").await;
    assert_ne!(first.manifest, second.manifest);
    let bench = bench.restart().await;
    let name = bench.reference("app:latest");
    assert_eq!(pull(&name).await.unwrap(), publication(b"second").component);
    let old = pull(&name.pinned(&first.manifest)).await.unwrap();
    assert_eq!(old, publication(b"first").component);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_form_of_the_spec() {
    let bench = Bench::new();
    push(&bench.reference("app:1"), b"x").await;
    let absent = format!("sha256:{}", "0".repeat(64));
    for (path, code) in [
        ("app/manifests/2".to_owned(), "MANIFEST_UNKNOWN"),
        ("other/manifests/1".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("app/manifests/{absent}"), "MANIFEST_UNKNOWN"),
        (format!("app/blobs/{absent}"), "BLOB_UNKNOWN"),
    ] {
        let answer = reqwest::get(bench.url(&path)).await.unwrap();
        assert_eq!(error(answer).await, (StatusCode::NOT_FOUND, code.to_owned()), "{path}");
    }
    let missing = pull(&bench.reference("app:2")).await.unwrap_err();
    assert_eq!(missing.reason(), "NotFound");
}

#[tokio::test]
async fn many_push_the_same_at_once() {
    let bench = Bench::new();
    let name = bench.reference("app:1");
    let pushes = (0..8).map(|_| async {
        let (client, _cache) = client();
        in_time(client.push(&name, &publication(b"the same"), &Progress::none()))
            .await
            .unwrap()
    });
    let pushed = futures::future::join_all(pushes).await;
    assert!(pushed.iter().all(|one| *one == pushed[0]));
    assert_eq!(pull(&name).await.unwrap(), publication(b"the same").component);
}

/// Over a bare socket, since clients tidy such paths.
#[tokio::test]
async fn no_path_leads_out_of_the_directory() {
    let bench = Bench::new();
    std::fs::write(bench.directory.path().join("secret"), "{}").unwrap();
    for path in [
        "app/manifests/..%2f..%2fsecret",
        "app/manifests/../../secret",
        "..%2f..%2fsecret/manifests/1",
        "../../manifests/secret",
        "%2e%2e/%2e%2e/manifests/secret",
        "app/blobs/sha256:..%2f..%2fsecret",
        "app/blobs/..%2f..%2f..%2fsecret",
        "app/blobs/uploads/..%2f..%2fsecret",
    ] {
        let address = bench.registry.address();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /v2/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(socket.read_to_string(&mut answer)).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.contains("\"errors\""),
            "{path}: {answer}"
        );
    }
}
