//! Uploads that don't go as they should.

use std::net::SocketAddr;

use reqwest::{Client, RequestBuilder, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Bench, digest, error, in_time, pull, push};

#[tokio::test]
async fn what_does_not_match_its_digest_is_refused() {
    let bench = Bench::new();
    let (right, wrong) = (digest(b"right"), digest(b"wrong"));
    let location = begin(&bench).await;
    let put = Client::new().put(format!("{location}?digest={right}")).body("wrong");
    assert_eq!(
        answer(put).await,
        (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned())
    );
    let post = Client::new().post(bench.url(&format!("app/blobs/uploads/?digest={right}")));
    assert_eq!(answer(post.body("wrong")).await.1, "DIGEST_INVALID");
    for digest in [&right, &wrong] {
        assert_eq!(head(&bench, digest).await, StatusCode::NOT_FOUND);
    }
    let long = format!("sha512:{}", "0".repeat(128));
    let location = begin(&bench).await;
    let put = Client::new().put(format!("{location}?digest={long}")).body("wrong");
    assert!(put.send().await.unwrap().status().is_client_error());
    assert_eq!(head(&bench, &long).await, StatusCode::NOT_FOUND);

    push(&bench.reference("app:1"), b"x").await;
    let manifest = reqwest::get(bench.url("app/manifests/1"))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let put = Client::new()
        .put(bench.url(&format!("app/manifests/{right}")))
        .body(manifest);
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(
        answer(put).await,
        (StatusCode::BAD_REQUEST, "DIGEST_INVALID".to_owned())
    );
}

#[tokio::test]
async fn a_manifest_whose_blobs_are_not_there_is_refused() {
    let bench = Bench::new();
    push(&bench.reference("app:1"), b"x").await;
    let manifest = reqwest::get(bench.url("app/manifests/1"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let other = super::publication(b"x").component;
    let dangling = manifest.replace(&digest(&other), &digest(b"never sent"));
    let put = Client::new().put(bench.url("app/manifests/2")).body(dangling);
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(answer(put).await.1, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(pull(&bench.reference("app:2")).await.unwrap_err().reason(), "NotFound");
}

#[tokio::test]
async fn an_upload_in_parts_is_there_when_it_is_whole() {
    let bench = Bench::new();
    let whole = digest(b"one and two");
    let location = begin(&bench).await;
    let part = |range: &str, body: &'static str| {
        let patch = Client::new().patch(&location).header("content-range", range);
        patch.body(body).send()
    };
    assert_eq!(part("0-6", "one and").await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(
        part("0-6", "one and").await.unwrap().status(),
        StatusCode::RANGE_NOT_SATISFIABLE
    );
    assert_eq!(head(&bench, &whole).await, StatusCode::NOT_FOUND);
    assert_eq!(part("7-10", " two").await.unwrap().status(), StatusCode::ACCEPTED);
    let put = Client::new()
        .put(format!("{location}?digest={whole}"))
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let blob = reqwest::get(bench.url(&format!("app/blobs/{whole}"))).await.unwrap();
    assert_eq!(&*blob.bytes().await.unwrap(), b"one and two");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let bench = Bench::new();
    let whole = digest(b"0123456789");
    let location = begin(&bench).await;
    let address = bench.registry.address();
    let path = location.strip_prefix(&format!("http://{address}")).unwrap();
    let request = format!(
        "PUT {path}?digest={whole} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\nConnection: close\r\n\r\n01234"
    );
    cut(address, &request).await;
    assert_eq!(head(&bench, &whole).await, StatusCode::NOT_FOUND);
    let files = std::fs::read_dir(bench.directory.path().join("registry/blobs/sha256")).unwrap();
    assert_eq!(files.count(), 0);
    // The session is as it was, and can be used.
    let put = Client::new()
        .put(format!("{location}?digest={whole}"))
        .body("0123456789");
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(head(&bench, &whole).await, StatusCode::OK);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let bench = Bench::with(|config| config.max_blob = 1000);
    let content = vec![b'x'; 1001];
    let whole = digest(&content);
    let location = begin(&bench).await;
    let put = Client::new()
        .put(format!("{location}?digest={whole}"))
        .body(content.clone());
    assert_eq!(
        answer(put).await,
        (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID".to_owned())
    );
    // Without a length, it is noticed on the way.
    let parts = content
        .clone()
        .into_iter()
        .map(|byte| Ok::<_, std::io::Error>(vec![byte]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
    let put = Client::new().put(format!("{location}?digest={whole}")).body(body);
    assert_eq!(put.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Neither do parts help.
    for (expected, range) in [
        (StatusCode::ACCEPTED, "0-599"),
        (StatusCode::PAYLOAD_TOO_LARGE, "600-1199"),
    ] {
        let patch = Client::new().patch(&location).header("content-range", range);
        let status = patch.body(vec![b'x'; 600]).send().await.unwrap().status();
        assert_eq!(status, expected, "{range}");
    }
    assert_eq!(head(&bench, &whole).await, StatusCode::NOT_FOUND);

    let manifest = Client::new()
        .put(bench.url("app/manifests/1"))
        .body(vec![b' '; (4 << 20) + 1]);
    assert_eq!(answer(manifest).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Where an upload's bytes go.
async fn begin(bench: &Bench) -> String {
    let begun = Client::new()
        .post(bench.url("app/blobs/uploads/"))
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let location = begun.headers()["location"].to_str().unwrap();
    format!("http://{}{location}", bench.registry.address())
}

async fn head(bench: &Bench, digest: &str) -> StatusCode {
    let url = bench.url(&format!("app/blobs/{digest}"));
    Client::new().head(url).send().await.unwrap().status()
}

async fn answer(request: RequestBuilder) -> (StatusCode, String) {
    error(request.send().await.unwrap()).await
}

/// Sends that much and no more, and waits until the registry has noticed.
async fn cut(address: SocketAddr, request: &str) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    in_time(socket.read_to_end(&mut rest)).await.unwrap();
}
