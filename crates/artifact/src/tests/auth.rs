//! Credentials: where they come from, and that they stay where they belong. TLS: whom we trust.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use super::{
    Bench, COMPONENT,
    distribution::{Distribution, USER},
    fake::{Answer, Fake},
    publication, reference, told,
};
use crate::{Client, Error, Progress};

/// `edge-1:s3cret-pass`, as `docker login` writes it.
const BASE64: &str = "ZWRnZS0xOnMzY3JldC1wYXNz";

async fn push_and_pull(registry: &Distribution, bench: &Bench) -> Result<(), Error> {
    let name = reference(format!("{}/private/app:1", registry.host));
    bench
        .client
        .push(&name, &publication(COMPONENT), &Progress::none())
        .await?;
    bench.client.pull(&name, &Progress::none()).await.map(drop)
}

fn docker_config(directory: &Path, content: String) -> Option<std::path::PathBuf> {
    let path = directory.join("config.json");
    fs::write(&path, content).unwrap();
    Some(path)
}

fn login(host: &str, password_file: &Path) -> String {
    format!(
        "[\"{host}\"]\nusername = \"{}\"\npassword-file = \"{}\"",
        USER.0,
        password_file.display()
    )
}

#[tokio::test]
async fn a_password_file_opens_the_registry() {
    let (registry, secrets) = (Distribution::with_password(), tempfile::tempdir().unwrap());
    let file = secrets.path().join("password");
    fs::write(&file, format!("{}\n", USER.1)).unwrap();
    push_and_pull(&registry, &Bench::with(&login(&registry.host, &file), |_| {}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_rotated_password_needs_no_restart() {
    let (registry, secrets) = (Distribution::with_password(), tempfile::tempdir().unwrap());
    let file = secrets.path().join("password");
    let bench = Bench::with(&login(&registry.host, &file), |_| {});
    fs::write(&file, "of last year").unwrap();
    assert_eq!(
        push_and_pull(&registry, &bench).await.unwrap_err().reason(),
        "Unauthorized"
    );
    fs::write(&file, USER.1).unwrap();
    push_and_pull(&registry, &bench).await.unwrap();
}

#[tokio::test]
async fn dockers_configuration_opens_the_registry() {
    let (registry, home) = (Distribution::with_password(), tempfile::tempdir().unwrap());
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "{BASE64}"}}}}}}"#, registry.host);
    let bench = Bench::with("", |client| client.docker_config = docker_config(home.path(), config));
    push_and_pull(&registry, &bench).await.unwrap();
}

#[tokio::test]
async fn without_credentials_the_message_says_where_they_go() {
    let (registry, home) = (Distribution::with_password(), tempfile::tempdir().unwrap());
    let other = format!(r#"{{"auths": {{"ghcr.io": {{"auth": "{BASE64}"}}}}}}"#);
    for config in [
        None,
        Some(home.path().join("absent.json")),
        docker_config(home.path(), other),
    ] {
        let bench = Bench::with("", |client| client.docker_config = config);
        let error = push_and_pull(&registry, &bench).await.unwrap_err();
        assert_eq!((error.reason(), error.is_transient()), ("Unauthorized", true));
        assert!(
            error.to_string().contains(&format!("docker login {}", registry.host)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn credentials_that_cant_be_read_are_not_ignored() {
    let home = tempfile::tempdir().unwrap();
    let check = async |config: &str, expected: &str| {
        let path = docker_config(home.path(), config.to_owned());
        let bench = Bench::with("", |client| client.docker_config = path);
        let error = bench.client.resolve(&reference("localhost:1/app:1")).await.unwrap_err();
        assert_eq!(error.reason(), "CredentialsFailed");
        assert!(told(&error).contains(expected), "{}", told(&error));
    };
    check("not JSON", "config.json").await;
    check(
        r#"{"auths": {"localhost:1": {"identitytoken": "t"}}}"#,
        "access token as password",
    )
    .await;
    check(
        r#"{"credHelpers": {"localhost:1": "nobody-installed-this"}}"#,
        "credential helper",
    )
    .await;

    let bench = Bench::with(&login("localhost:1", &home.path().join("absent")), |_| {});
    let error = bench.client.resolve(&reference("localhost:1/app:1")).await.unwrap_err();
    assert_eq!(error.reason(), "CredentialsFailed");
    assert!(told(&error).contains("absent"), "{}", told(&error));
}

/// Helpers are found on the `PATH`, which only a process of its own can have to itself: the test runs itself again with another one.
#[tokio::test]
async fn credential_helpers_are_asked() {
    const INSIDE: &str = "PROPELLER_TEST_HELPERS";
    let helpers = tempfile::tempdir().unwrap();
    if env::var_os(INSIDE).is_none() {
        helper(
            helpers.path(),
            "full",
            r#"echo '{"Username": "edge-1", "Secret": "s3cret-pass"}'"#,
        );
        helper(
            helpers.path(),
            "empty",
            "echo 'credentials not found in native keychain'; exit 1",
        );
        helper(helpers.path(), "broken", "echo s3cret-pass; exit 1");
        let path = format!("{}:{}", helpers.path().display(), env::var("PATH").unwrap());
        let mut inside = Command::new(env::current_exe().unwrap());
        inside
            .args(["--exact", "tests::auth::credential_helpers_are_asked"])
            .env("PATH", path)
            .env(INSIDE, "1");
        assert!(inside.status().unwrap().success());
        return;
    }
    let registry = Distribution::with_password();
    let ask = async |name: &str| {
        let config = format!(r#"{{"credHelpers": {{"{}": "{name}"}}}}"#, registry.host);
        let bench = Bench::with("", |client| {
            client.docker_config = docker_config(helpers.path(), config)
        });
        push_and_pull(&registry, &bench).await
    };
    ask("full").await.unwrap();
    assert_eq!(ask("empty").await.unwrap_err().reason(), "Unauthorized");
    let error = ask("broken").await.unwrap_err();
    assert_eq!(error.reason(), "CredentialsFailed");
    let told = told(&error);
    assert!(
        told.contains("docker-credential-broken") && !told.contains(USER.1),
        "{told}"
    );
}

fn helper(directory: &Path, name: &str, script: &str) {
    let path = directory.join(format!("docker-credential-{name}"));
    fs::write(&path, format!("#!/bin/sh\ncat > /dev/null\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn anonymous_tokens_are_fetched() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.publish("1", &[("application/wasm", COMPONENT)]);
    fake.require_token();
    bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap();
    assert_eq!(
        fake.seen("/blobs/")[0].authorization.as_deref(),
        Some("Bearer for-everyone")
    );
}

#[tokio::test]
async fn a_token_server_that_is_down_is_no_refusal() {
    let (fake, bench) = (Fake::start().await, Bench::new());
    fake.require_token();
    fake.answer("/token", usize::MAX, Answer::Cut(b"{"));
    let error = bench.client.resolve(&fake.reference("1")).await.unwrap_err();
    assert_eq!(error.reason(), "RegistryUnreachable", "{}", told(&error));
}

#[tokio::test]
async fn credentials_dont_follow_a_redirect() {
    let (fake, elsewhere, secrets) = (Fake::start().await, Fake::start().await, tempfile::tempdir().unwrap());
    let file = secrets.path().join("password");
    fs::write(&file, USER.1).unwrap();
    fake.publish("1", &[("application/wasm", COMPONENT)]);
    elsewhere.serve("/storage".into(), COMPONENT);
    fake.require_token();
    fake.answer(
        "/blobs/",
        1,
        Answer::Redirect(format!("http://{}/storage", elsewhere.host)),
    );
    let bench = Bench::with(&login(&fake.host, &file), |_| {});
    bench
        .client
        .pull(&fake.reference("1"), &Progress::none())
        .await
        .unwrap();
    assert!(
        fake.seen("/token")[0]
            .authorization
            .as_deref()
            .is_some_and(|sent| sent.starts_with("Basic "))
    );
    assert_eq!(elsewhere.seen("/storage")[0].authorization, None);
}

#[tokio::test]
async fn a_private_certificate_authority_must_be_named() {
    let ((registry, certificate), files) = (Distribution::with_tls(), tempfile::tempdir().unwrap());
    let host = format!("localhost:{}", registry.port());
    let name = reference(format!("{host}/app:1"));
    let push = async |settings: &str| {
        let bench = Bench::with(settings, |_| {});
        bench
            .client
            .push(&name, &publication(COMPONENT), &Progress::none())
            .await
            .map(drop)
    };

    let error = push(&format!("[\"{host}\"]\nplain-http = false")).await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("RegistryUnreachable", true));
    assert!(told(&error).contains("(`ca`)"), "{}", told(&error));

    let ca = files.path().join("ca.pem");
    fs::write(&ca, certificate).unwrap();
    push(&format!("[\"{host}\"]\nplain-http = false\nca = \"{}\"", ca.display()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_authority_that_cant_be_read_stops_the_start() {
    let files = tempfile::tempdir().unwrap();
    let check = |content: Option<&str>, expected: &str| {
        let ca = files.path().join("ca.pem");
        let _ = fs::remove_file(&ca);
        content.into_iter().for_each(|content| fs::write(&ca, content).unwrap());
        let settings = format!("[\"ghcr.io\"]\nca = \"{}\"", ca.display());
        let error = Client::new(super::config(&files, &settings, |_| {})).unwrap_err();
        assert_eq!(error.reason(), "InvalidSettings");
        assert!(told(&error).contains(expected), "{}", told(&error));
    };
    check(None, "ca.pem");
    check(Some(""), "no PEM certificate");
    check(
        Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "ghcr.io",
    );
}
