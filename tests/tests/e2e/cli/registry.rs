//! `propeller push` and `pull`, and running by reference, against a real registry.

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use propeller_artifact::digest_of;
use propeller_tests::{Registry, registry};
use serde_json::json;

use super::{Person, guest};

#[tokio::test]
async fn what_is_pushed_can_be_inspected_pulled_and_run() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let registry = Registry::start(registry::Access::Anyone).await?;
    let (bytes, reference) = (
        std::fs::read(&addition)?,
        format!("{}/examples/addition:1.0.0", registry.addr()),
    );

    let pushed = person
        .types(&["push", &addition, &reference, "--annotation", "org.example.note=hello"])
        .await?;
    let pinned = pushed.printed()?;
    let repository = format!("{}/examples/addition@sha256:", registry.addr());
    assert!(pinned.starts_with(&repository) && !pinned.contains('\n'), "{pinned}");

    let shown = person
        .types(&["inspect", &reference, "--output", "json"])
        .await?
        .json()?;
    assert_eq!(
        (&shown["reference"], &shown["pinned"]),
        (&json!(reference), &json!(pinned))
    );
    assert_eq!(
        (&shown["component"], &shown["size"]),
        (&json!(digest_of(&bytes)), &json!(bytes.len()))
    );
    assert_eq!(shown["task"]["spec"]["image"], reference);

    assert_eq!(person.types(&["pull", &reference]).await?.printed()?, "addition.wasm");
    assert_eq!(std::fs::read(person.home().join("addition.wasm"))?, bytes);
    let pulled = person
        .types(&["pull", pinned, "--to", "other.wasm", "--output", "json"])
        .await?
        .json()?;
    assert_eq!(
        (&pulled["file"], &pulled["manifest"]),
        (&json!("other.wasm"), &shown["manifest"])
    );
    assert_eq!(person.types(&["pull", &reference, "--to", "-"]).await?.stdout, bytes);

    assert_eq!(
        person.types(&["run", &reference, "add(20, 22)"]).await?.printed()?,
        "42"
    );
    Ok(())
}

#[tokio::test]
async fn the_same_component_always_has_the_same_digest() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let registry = Registry::start(registry::Access::Anyone).await?;
    let push = async |tag: &str| -> Result<serde_json::Value> {
        let reference = format!("{}/addition:{tag}", registry.addr());
        person
            .types(&["push", &addition, &reference, "--output", "json"])
            .await?
            .json()
    };
    let (first, second) = (push("1").await?, push("2").await?);
    assert_eq!(first["pinned"], second["pinned"]);
    assert_ne!(first["reference"], second["reference"]);
    Ok(())
}

#[tokio::test]
async fn a_cached_digest_needs_no_registry() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let mut registry = Registry::start(registry::Access::Anyone).await?;
    let reference = format!("{}/addition:1", registry.addr());
    let pushed = person.types(&["push", &addition, &reference]).await?;
    let pinned = pushed.printed()?;
    assert_eq!(person.types(&["run", pinned, "add(1, 2)"]).await?.printed()?, "3");
    registry.stop().await?;
    assert_eq!(person.types(&["run", pinned, "add(3, 4)"]).await?.printed()?, "7");

    // A tag may have moved meanwhile, so the registry must be asked.
    let error = person
        .types(&["run", &reference, "add(3, 4)", "--output", "json"])
        .await?
        .error(3)?;
    assert_eq!(error["reason"], "RegistryUnreachable", "{error}");
    assert!(
        error["causes"].as_array().is_some_and(|causes| !causes.is_empty()),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn no_file_is_lost() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let registry = Registry::start(registry::Access::Anyone).await?;
    let reference = format!("{}/addition:1", registry.addr());
    person.types(&["push", &addition, &reference]).await?.printed()?;
    let mine = person.file("addition.wasm", "mine")?;
    let refused = person.types(&["pull", &reference]).await?;
    assert!(refused.failed(2)?.contains("--force"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&mine)?, b"mine");
    person.types(&["pull", &reference, "--force"]).await?.printed()?;
    assert_eq!(std::fs::read(&mine)?, std::fs::read(&addition)?);
    Ok(())
}

#[tokio::test]
async fn what_a_registry_refuses_is_said() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let registry = Registry::start(registry::Access::Anyone).await?;
    let address = registry.addr();
    person.file("text.wasm", "hello")?;
    let check = async |args: &[&str], code: i32, reason: &str| -> Result<()> {
        let line = [&["--output", "json"], args].concat();
        let error = person.types(&line).await?.error(code)?;
        assert_eq!(error["reason"], reason, "{error}");
        Ok(())
    };
    check(&["pull", &format!("{address}/nothing:1")], 3, "NotFound").await?;
    check(&["inspect", &format!("{address}/nothing:1")], 3, "NotFound").await?;
    check(&["push", "text.wasm", &format!("{address}/text:1")], 4, "NotWasm").await?;
    check(&["push", &addition, "addition"], 2, "InvalidReference").await?;
    let digest = digest_of(b"");
    check(
        &["push", &addition, &format!("{address}/addition@{digest}")],
        2,
        "InvalidReference",
    )
    .await
}

#[tokio::test]
async fn credentials_come_from_docker_or_the_configuration() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let registry = Registry::start(registry::Access::Login).await?;
    let reference = format!("{}/addition:1", registry.addr());
    let docker = |password: &str| {
        let auth = BASE64_STANDARD.encode(format!("{}:{password}", registry::USER));
        let host = registry.addr().to_string();
        person.file(
            ".docker/config.json",
            json!({"auths": {host: {"auth": auth}}}).to_string(),
        )
    };
    let refused = async || -> Result<()> {
        let ended = person.types(&["push", &addition, &reference]).await?;
        let text = ended.failed(3)?;
        assert!(text.contains(&format!("docker login {}", registry.addr())), "{text}");
        assert!(!text.contains("guess"), "{text}");
        Ok(())
    };
    refused().await?;
    docker("guess")?;
    refused().await?;
    docker(registry::PASSWORD)?;
    person.types(&["push", &addition, &reference]).await?.printed()?;

    docker("guess")?;
    let password = person.file("password", format!("{}\n", registry::PASSWORD))?;
    let password = password.to_str().context("a path that isn't Unicode")?;
    let (host, user) = (registry.addr(), registry::USER);
    let table = format!("[registries.\"{host}\"]\nusername = \"{user}\"\npassword-file = \"{password}\"\n");
    person.file("elsewhere.toml", &table)?;
    let line = ["pull", &reference, "--to", "-", "--config", "elsewhere.toml"];
    assert_eq!(person.types(&line).await?.stdout, std::fs::read(&addition)?);
    person.file(".config/propeller/config.toml", &table)?;
    person.types(&["push", &addition, &reference]).await?.printed()?;
    Ok(())
}
