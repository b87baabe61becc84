//! The harness itself: each server starts, serves, and stops. Where these fail, the other tests have nothing to say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use propeller_tests::{
    ControlPlane, Launch, Mosquitto, PATIENCE, Registry, Spy, cargo, mosquitto, registry, scratch, wait_for,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_broker_keeps_its_port_and_what_it_retains_over_a_restart() -> Result<()> {
    let mut broker = Mosquitto::start(mosquitto::Access::Anyone).await?;
    let spy = Spy::connect(broker.addr(), "m/#").await?;
    spy.publish_retained("m/kept", "before").await?;
    broker.restart().await?;
    let late = Spy::connect(broker.addr(), "m/#").await?;
    let kept = late
        .wait_for_message("the retained message", |message| message.topic == "m/kept")
        .await?;
    assert_eq!((kept.payload.as_slice(), kept.retained), (b"before".as_slice(), true));

    spy.wait_for_subscriptions(2).await?;
    late.publish("m/after", "after").await?;
    spy.wait_for_message("a message after the restart", |message| message.payload == b"after")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_broker_has_lost_what_it_retained() -> Result<()> {
    let mut broker = Mosquitto::start(mosquitto::Access::Anyone).await?;
    Spy::connect(broker.addr(), "m/#")
        .await?
        .publish_retained("m/kept", "before")
        .await?;
    broker.kill()?;
    broker.start_again().await?;
    let spy = Spy::connect(broker.addr(), "m/#").await?;
    // Retained messages come before what is published after the subscription.
    spy.publish("m/mark", "").await?;
    let first = spy.wait_for_message("any message", |_| true).await?;
    assert_eq!(first.topic, "m/mark");
    Ok(())
}

#[tokio::test]
async fn a_proplets_account_reaches_its_own_topics_only() -> Result<()> {
    let proplets = [("edge-1", "one"), ("edge-2", "two")];
    let accounts = mosquitto::Access::Accounts {
        control: ("control", "secret"),
        proplets: &proplets,
    };
    let broker = Mosquitto::start(accounts).await?;
    let control = Spy::connect_as(broker.addr(), Some(("control", "secret")), "m/#").await?;
    let edge = Spy::connect_as(broker.addr(), Some(("edge-1", "one")), "m/#").await?;

    edge.publish("m/d/c/c/control/proplet/alive/edge-1", "").await?;
    edge.publish("m/d/c/c/control/proplet/alive/edge-2", "")
        .await
        .expect_err("spoke for another");
    edge.publish("m/d/c/c/control/manager/start/edge-1", "")
        .await
        .expect_err("started something");
    control.publish("m/d/c/c/control/manager/start/edge-2", "").await?;
    control.publish("m/d/c/c/control/manager/start/edge-1", "").await?;
    edge.wait_for_message("its own start", |message| message.topic.ends_with("/start/edge-1"))
        .await?;
    assert_eq!(edge.messages().len(), 1, "saw another's message");

    for account in [None, Some(("edge-1", "two"))] {
        Spy::connect_as(broker.addr(), account, "m/#")
            .await
            .expect_err("was let in");
    }
    Ok(())
}

#[tokio::test]
async fn a_registry_serves_after_a_restart_too() -> Result<()> {
    let mut registry = Registry::start(registry::Access::Anyone).await?;
    assert_eq!(get(registry.addr(), "/v2/", None).await?, 200);
    registry.restart().await?;
    assert_eq!(get(registry.addr(), "/v2/", None).await?, 200);
    registry.stop().await?;
    get(registry.addr(), "/v2/", None)
        .await
        .expect_err("answered after its end");
    Ok(())
}

#[tokio::test]
async fn a_registry_with_a_login_refuses_everyone_else() -> Result<()> {
    let registry = Registry::start(registry::Access::Login).await?;
    assert_eq!(get(registry.addr(), "/v2/", None).await?, 401);
    assert_eq!(
        get(registry.addr(), "/v2/", Some((registry::USER, "guess"))).await?,
        401
    );
    assert_eq!(
        get(registry.addr(), "/v2/", Some((registry::USER, registry::PASSWORD))).await?,
        200
    );
    Ok(())
}

#[tokio::test]
async fn a_control_plane_has_our_kinds_and_a_namespace_for_each_test() -> Result<()> {
    let control_plane = ControlPlane::shared().await?;
    let (one, other) = (control_plane.namespace().await?, control_plane.namespace().await?);
    assert_ne!(one, other);
    let config_maps = Api::<ConfigMap>::namespaced(control_plane.client().await?, &one);
    let metadata = ObjectMeta {
        name: Some("kept".to_owned()),
        ..ObjectMeta::default()
    };
    let data = BTreeMap::from([("answer".to_owned(), "42".to_owned())]);
    let config_map = ConfigMap {
        metadata,
        data: Some(data.clone()),
        ..ConfigMap::default()
    };
    config_maps.create(&PostParams::default(), &config_map).await?;
    assert_eq!(config_maps.get("kept").await?.data, Some(data));

    let kinds = control_plane.kubectl(&["get", "crds", "-o", "name"]).await?;
    for kind in ["tasks.propeller.dev", "proplets.propeller.dev"] {
        assert!(kinds.contains(kind), "no {kind} among {kinds}");
    }
    control_plane
        .kubectl(&["get", "nonsense"])
        .await
        .expect_err("found nonsense");
    Ok(())
}

#[tokio::test]
async fn with_a_controller_manager_a_deleted_namespace_goes() -> Result<()> {
    let control_plane = ControlPlane::shared().await?;
    control_plane.with_controller_manager().await?;
    let namespaces = Api::<Namespace>::all(control_plane.client().await?);
    let name = control_plane.namespace().await?;
    namespaces.delete(&name, &DeleteParams::default()).await?;
    wait_for("the namespace to go", PATIENCE, async || {
        let namespace = namespaces.get_opt(&name).await?;
        ensure!(
            namespace.is_none(),
            "it is {:?}",
            namespace.and_then(|namespace| namespace.status)
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn guests_and_programs_are_built() -> Result<()> {
    let guest = std::fs::read(cargo::guest("task-context").await?)?;
    // The binary format's preamble, of a component rather than a core module.
    assert_eq!(guest.get(..8), Some(b"\0asm\x0d\0\x01\0".as_slice()));
    let help = std::process::Command::new(cargo::binary("proplet").await?)
        .arg("--help")
        .output()?;
    assert!(help.status.success(), "{help:?}");
    cargo::guest("proplet").await.expect_err("a program among the guests");
    Ok(())
}

#[tokio::test]
async fn a_program_that_ends_early_shows_its_log_at_once() -> Result<()> {
    let folder = scratch::folder("early")?;
    let mut process = Launch::new("early", "sh")
        .args(["-c", "echo what went wrong; exit 3"])
        .start(folder.path())?;
    let waited = process
        .wait_for_log("greeting", |line| line.contains("hello").then_some(()))
        .await;
    let error = format!("{:#}", waited.expect_err("there is no greeting"));
    for part in ["early: no greeting", "what went wrong", "exit status: 3"] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    Ok(())
}

/// Killing the test process stands for all the ways to end that drop no handle, such as a failing test's `exit`.
#[tokio::test]
async fn nothing_outlives_the_test_process() -> Result<()> {
    let folder = scratch::folder("victim")?;
    let victim = ["--exact", "harness::victim", "--ignored", "--nocapture"];
    let launch = Launch::new("victim", std::env::current_exe()?)
        .args(victim)
        .env("TMPDIR", folder.path());
    let mut process = launch.start(folder.path())?;
    let broker = process
        .wait_for_log("broker", |line| line.strip_prefix("broker ").map(str::to_owned))
        .await?;
    let broker: SocketAddr = broker.parse()?;
    TcpStream::connect(broker)
        .await
        .context("the victim's broker doesn't run")?;
    process.kill()?;
    wait_for("the end of the broker and its files", PATIENCE, async || {
        ensure!(TcpStream::connect(broker).await.is_err(), "the broker runs");
        let left = std::fs::read_dir(folder.path())?.filter_map(|entry| Some(entry.ok()?.file_name()));
        let left: Vec<_> = left.filter(|name| name != "victim.log").collect();
        ensure!(left.is_empty(), "there are still {left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
#[ignore = "only for nothing_outlives_the_test_process, which kills it"]
async fn victim() -> Result<()> {
    let broker = Mosquitto::start(mosquitto::Access::Anyone).await?;
    println!("\nbroker {}", broker.addr());
    wait_for("being killed", PATIENCE, async || anyhow::bail!("alive")).await
}

/// The status of a plain HTTP request, without a client in between that would follow, retry or log in.
async fn get(server: SocketAddr, path: &str, login: Option<(&str, &str)>) -> Result<u16> {
    let mut stream = TcpStream::connect(server).await?;
    let login = login.map(|(user, password)| BASE64_STANDARD.encode(format!("{user}:{password}")));
    let login = login
        .map(|login| format!("Authorization: Basic {login}\r\n"))
        .unwrap_or_default();
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n{login}\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer
        .split(' ')
        .nth(1)
        .with_context(|| format!("no status in {answer:?}"))?;
    Ok(status.parse()?)
}
