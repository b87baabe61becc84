//! Who may push.

use std::fs;

use propeller_artifact::Progress;
use reqwest::{Client, StatusCode};

use super::{Bench, client, client_with, error, in_time, publication, pull, push};
use crate::registry::{Login, RegistryConfig, Writers};

fn login_only(config: &mut RegistryConfig) {
    config.writers = Writers {
        this_machine: false,
        login: Some(Login {
            user: "author".into(),
            password: "open sesame".into(),
        }),
    };
}

#[tokio::test]
async fn a_web_page_cannot_make_a_browser_push() {
    let bench = Bench::new();
    let port = bench.registry.address().port();
    let begin = |name: &'static str, value: String| {
        let post = Client::new().post(bench.url("app/blobs/uploads/"));
        post.header(name, value).send()
    };
    for (name, value) in [
        ("origin", "http://example.org".to_owned()),
        ("origin", format!("http://localhost:{port}")),
        ("host", format!("example.org:{port}")),
    ] {
        let answer = begin(name, value.clone()).await.unwrap();
        assert_eq!(
            error(answer).await,
            (StatusCode::FORBIDDEN, "DENIED".to_owned()),
            "{name}: {value}"
        );
    }
    let localhost = begin("host", format!("localhost:{port}")).await.unwrap();
    assert_eq!(localhost.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn who_may_not_write_may_read() {
    let bench = Bench::new();
    push(&bench.reference("app:1"), b"x").await;
    let Bench { registry, directory } = bench;
    let ended = registry.ended();
    in_time(registry.stop()).await.unwrap();
    in_time(ended).await;
    let mut config = RegistryConfig::new(directory.path().join("registry"));
    config.writers.this_machine = false;
    let bench = Bench {
        registry: super::Registry::start(config).unwrap(),
        directory,
    };
    assert!(pull(&bench.reference("app:1")).await.is_ok());
    let (client, _cache) = client();
    let name = bench.reference("app:2");
    let refused = in_time(client.push(&name, &publication(b"y"), &Progress::none())).await;
    assert_eq!(refused.unwrap_err().reason(), "Unauthorized");
    let http = Client::new();
    for request in [
        http.put(bench.url("app/manifests/1")),
        http.delete(bench.url("app/manifests/1")),
        http.patch(bench.url("app/blobs/uploads/x")),
        http.post(bench.url("app/blobs/uploads/")),
    ] {
        let (status, code) = error(request.send().await.unwrap()).await;
        assert_eq!((status, &*code), (StatusCode::FORBIDDEN, "DENIED"));
    }
}

#[tokio::test]
async fn the_login_lets_write() {
    let bench = Bench::with(login_only);
    let name = bench.reference("app:1");
    let secrets = tempfile::tempdir().unwrap();
    let try_with = async |user: &str, password: &str| {
        let file = secrets.path().join("password");
        fs::write(&file, password).unwrap();
        let settings = format!(
            "[\"{}\"]\nusername = \"{user}\"\npassword-file = \"{}\"",
            bench.registry.address(),
            file.display()
        );
        let (client, _cache) = client_with(&settings);
        in_time(client.push(&name, &publication(b"x"), &Progress::none())).await
    };
    for (user, password) in [
        ("author", "guessed"),
        ("other", "open sesame"),
        ("author", "open sesam"),
    ] {
        let error = try_with(user, password).await.unwrap_err();
        assert_eq!(error.reason(), "Unauthorized", "{user}:{password}");
    }
    try_with("author", "open sesame").await.unwrap();
    assert_eq!(pull(&name).await.unwrap(), publication(b"x").component);

    let post = Client::new()
        .post(bench.url("app/blobs/uploads/"))
        .send()
        .await
        .unwrap();
    assert_eq!(post.headers()["www-authenticate"], "Basic realm=\"propeller\"");
    assert_eq!(error(post).await, (StatusCode::UNAUTHORIZED, "UNAUTHORIZED".to_owned()));
    assert!(!format!("{:?}", bench.registry).contains("sesame"));
}
