//! What a Task does beside a call, and what it may reach: programs, services and grants, dispatched through an operator.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use propeller_api::{Phase, TaskStatus, condition, is_true, types};
use propeller_tests::{PATIENCE, Service, World, wait_for, world::PROPLET_READY};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::operator::get;

on_both_shells!(
    a_program_reaches_what_it_was_granted,
    a_program_that_exits_with_a_failure_fails,
    a_call_has_its_environment,
    what_a_policy_refuses_waits_for_a_proplet_that_allows_it,
    what_does_not_fit_the_component_says_what_to_write_instead,
    a_service_moves_when_its_proplet_ends,
);

/// A proplet that lets tasks into its folder `data`, and into nothing else.
async fn start_proplet(world: &World, id: &str) -> Result<Service> {
    world.create_proplet(id, json!({})).await?;
    let proplet = world.proplet(id).await?;
    let data = proplet.folder().join("data");
    fs::create_dir(&data)?;
    let policy = format!("[policy]\ndirectories = [{{ path = {data:?} }}]\n");
    let config = proplet.file("proplet.toml", policy)?;
    proplet.arg("--config").arg(config).start(PROPLET_READY).await
}

fn command(image: &str, args: &[&str], grants: Value) -> Value {
    json!({"image": image, "command": {"args": args}, "grants": grants})
}

fn message<'a>(status: &'a TaskStatus, type_: &str) -> Result<&'a str> {
    let said = condition(&status.conditions, type_).with_context(|| format!("no {type_}: {status:#?}"))?;
    Ok(&said.message)
}

async fn a_program_reaches_what_it_was_granted(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let proplet = start_proplet(&world, "edge-1").await?;
    let data = proplet.folder().join("data");
    fs::create_dir(data.join("in"))?;
    fs::create_dir(data.join("out"))?;
    fs::write(data.join("in/words"), "some words")?;
    let grants = json!({"directories": [
        {"hostPath": data.join("in"), "guestPath": "/in", "readOnly": true},
        {"hostPath": data.join("out"), "guestPath": "/out"},
    ]});

    let cat = world.push("cat").await?;
    let copy = |to| command(&cat, &[to, "/in/words"], grants.clone());
    world.create_task("copy", copy(">/out/copy")).await?;
    world.create_task("forbidden", copy(">/in/copy")).await?;
    let copied = world.finished("copy").await?;
    assert_eq!(
        (copied.phase, &copied.results),
        (Phase::Completed, &None),
        "{copied:#?}"
    );
    assert_eq!(message(&copied, types::FINISHED)?, "the program exited with 0");
    assert_eq!(fs::read_to_string(data.join("out/copy"))?, "some words");
    let usage = copied.usage.context("usage")?;
    ensure!(usage.peak_memory_bytes > 0, "{usage:?}");

    // What is read only can't be written, and how a program ends is told.
    let forbidden = world.finished("forbidden").await?;
    assert_eq!(
        (forbidden.phase, &forbidden.error),
        (Phase::Failed, &Some(json!({"exitCode": 1})))
    );
    ensure!(!data.join("in/copy").exists(), "it was written");
    Ok(())
}

async fn a_program_that_exits_with_a_failure_fails(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("exit-code").await?;
    world.create_task("three", command(&image, &["3"], json!({}))).await?;
    let status = world.finished("three").await?;
    assert_eq!(
        (status.phase, &status.error),
        // The guest said 3. In WASI 0.2 a program can only say whether it succeeded.
        (Phase::Failed, &Some(json!({"exitCode": 1})))
    );
    let finished = condition(&status.conditions, types::FINISHED).context("Finished")?;
    ensure!(
        finished.reason == "Exited" && finished.message.contains('1'),
        "{finished:?}"
    );
    Ok(())
}

async fn a_call_has_its_environment(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let task = json!({
        "image": world.push("env").await?,
        "call": {"function": "variables"},
        "grants": {"env": [{"name": "GREETING", "value": "hello=world"}, {"name": "EMPTY"}]},
    });
    world.create_task("env", task).await?;
    assert_eq!(
        world.results("env").await?,
        json!([["GREETING", "hello=world"], ["EMPTY", ""]])
    );
    Ok(())
}

/// One proplet refuses, and another that allows it comes later.
async fn what_a_policy_refuses_waits_for_a_proplet_that_allows_it(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _strict = world.start_proplet("strict", json!({})).await?;
    let folder = tempfile::tempdir()?;
    let grants = json!({"directories": [{"hostPath": folder.path(), "guestPath": "/in"}]});
    let task = command(&world.push("cat").await?, &["/in/words"], grants);
    world.create_task("cat", task).await?;
    let refused = world.wait_for_reason("cat", types::SCHEDULED, "NotGranted").await?;
    ensure!(
        refused.message.contains("1 refused as NotGranted; strict: "),
        "{}",
        refused.message
    );
    ensure!(
        refused.message.contains(&folder.path().display().to_string()),
        "{}",
        refused.message
    );

    fs::write(folder.path().join("words"), "some words")?;
    world.create_proplet("open", json!({})).await?;
    let open = world.proplet("open").await?;
    let policy = format!("[policy]\ndirectories = [{{ path = {:?} }}]\n", folder.path());
    let config = open.file("proplet.toml", policy)?;
    let _open = open.arg("--config").arg(config).start(PROPLET_READY).await?;
    let status = world.finished("cat").await?;
    assert_eq!((status.phase, status.attempt), (Phase::Completed, 2), "{status:#?}");
    assert_eq!((status.proplet.as_deref(), status.refusals.len()), (Some("open"), 0));
    Ok(())
}

async fn what_does_not_fit_the_component_says_what_to_write_instead(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let (addition, program) = (world.push("addition").await?, world.push("exit-code").await?);
    let cases = [
        (
            "command",
            command(&addition, &[], json!({})),
            "NotAProgram",
            "math@1.0.0#add",
        ),
        (
            "service",
            json!({"image": addition, "service": {}}),
            "NotAService",
            "`call`",
        ),
        (
            "program",
            json!({"image": program, "service": {}}),
            "NotAService",
            "`command: {}`",
        ),
        (
            "call",
            json!({"image": program, "call": {"function": "run"}}),
            "UnknownExport",
            "`command: {}`",
        ),
    ];
    for (name, spec, ..) in &cases {
        world.create_task(name, spec.clone()).await?;
    }
    for (name, _, reason, mention) in cases {
        let said = world.wait_for_reason(name, types::FINISHED, reason).await?;
        ensure!(said.message.contains(mention), "{name}: {:?}", said.message);
    }
    Ok(())
}

async fn listening(world: &World, name: &str) -> Result<(TaskStatus, String)> {
    let is_ready = |status: &TaskStatus| is_true(&status.conditions, types::READY);
    let status = world.wait_for_task(name, "to be ready", is_ready).await?;
    let address = status.address.clone().context("an address")?;
    let address = address.strip_prefix("http://").context("an http address")?.to_owned();
    Ok((status, address))
}

#[tokio::test]
async fn a_service_serves_until_its_task_is_deleted() -> Result<()> {
    let world = World::kubernetes().await?;
    let _operator = world.start_operator().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("http-hello").await?;
    world
        .create_task("hello", json!({"image": image, "service": {}}))
        .await?;
    let (status, address) = listening(&world, "hello").await?;
    assert_eq!((status.phase, status.attempt), (Phase::Running, 1));
    ensure!(get(&address, "/there").await?.contains("hello"), "no greeting");

    let kubectl = async |args: &[&str]| {
        let args = [&["--namespace", &world.namespace], args].concat();
        world.cluster()?.kubectl(&args).await
    };
    kubectl(&["wait", "--for=condition=Ready", "--timeout=10s", "task/hello"]).await?;
    let table = kubectl(&["get", "tasks", "--output", "wide"]).await?;
    ensure!(table.contains("Listening") && table.contains(&address), "{table}");

    world.delete_task("hello").await?;
    wait_for("the port to be closed", PATIENCE, async || {
        ensure!(TcpStream::connect(&address).await.is_err(), "it still listens");
        Ok(())
    })
    .await
}

async fn a_service_moves_when_its_proplet_ends(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    world.create_proplet("first", json!({})).await?;
    let first = world.proplet("first").await?.args(["--drain-seconds", "1"]);
    let mut first = first.start(PROPLET_READY).await?;
    let image = world.push("http-hello").await?;
    world
        .create_task("hello", json!({"image": image, "service": {}}))
        .await?;
    listening(&world, "hello").await?;

    let _second = world.start_proplet("second", json!({})).await?;
    first.stop().await?;
    let ended = |status: &TaskStatus| !is_true(&status.conditions, types::READY);
    let status = world.wait_for_task("hello", "to be without a proplet", ended).await?;
    assert_eq!(status.address, None, "{status:#?}");
    // The next placement follows after ten seconds.
    tokio::time::timeout(Duration::from_secs(60), async {
        let (status, address) = listening(&world, "hello").await?;
        assert_eq!((status.proplet.as_deref(), status.attempt), (Some("second"), 2));
        ensure!(get(&address, "/").await?.contains("hello"), "no greeting");
        Ok(())
    })
    .await?
}
