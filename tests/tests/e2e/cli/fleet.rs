//! The verbs that keep tasks away from proplets, and those that run tasks on them: cordon, drain, run, rerun.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use propeller_api::{Phase, types};
use propeller_tests::{PATIENCE, World, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use super::{Person, guest, verbs::Clerk};
use crate::operator::call;

on_both_shells!(
    a_cordoned_proplet_gets_nothing_until_it_is_uncordoned,
    a_drain_waits_for_tasks_and_moves_services,
    a_run_on_a_proplet_looks_like_one_here,
    ctrl_c_cancels_what_runs_on_a_proplet,
);

/// On a cluster, what a device needs is a Secret too. It goes with the proplet; another one of that name stays.
#[tokio::test]
async fn a_proplets_secret_comes_and_goes() -> Result<()> {
    let world = World::kubernetes().await?;
    let clerk = Clerk::new(&world).await?;
    let secrets = Api::<Secret>::namespaced(world.client().await?, &world.namespace);
    let add = |file| ["proplet", "add", "edge-1", "--broker", "mqtts://mqtt.lab", "--to", file];
    let told = clerk.types(&add("first.toml")).await?;
    ensure!(told.printed()?.contains("Secret proplet-edge-1"), "{}", told.printed()?);
    let data = secrets.get("proplet-edge-1").await?.data.unwrap_or_default();
    ensure!(data.contains_key("join.toml"), "{data:?}");
    let remove = ["proplet", "remove", "edge-1"];
    assert_eq!(clerk.types(&remove).await?.printed()?, "proplet/edge-1 removed");
    ensure!(secrets.get_opt("proplet-edge-1").await?.is_none());

    let others = json!({"metadata": {"name": "proplet-edge-1"}, "stringData": {"key": "value"}});
    secrets
        .create(&PostParams::default(), &serde_json::from_value(others)?)
        .await?;
    clerk.types(&add("second.toml")).await?.failed(6)?;
    let replacing = [add("third.toml").as_slice(), &["--replace"]].concat();
    let refused = clerk.types(&replacing).await?;
    ensure!(
        refused.failed(6)?.contains("isn't one of Propeller's"),
        "{}",
        refused.stderr
    );
    clerk.types(&remove).await?.printed()?;
    ensure!(secrets.get_opt("proplet-edge-1").await?.is_some());
    clerk.types(&remove).await?.failed(6)?;
    Ok(())
}

async fn a_cordoned_proplet_gets_nothing_until_it_is_uncordoned(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("addition").await?;

    assert_eq!(
        clerk.types(&["cordon", "edge-1"]).await?.printed()?,
        "proplet/edge-1 cordoned"
    );
    assert_eq!(
        clerk.types(&["cordon", "edge-1"]).await?.printed()?,
        "proplet/edge-1 already cordoned"
    );
    clerk
        .types(&["wait", "p/edge-1", "--for=condition=Ready", "--timeout", "1m"])
        .await?
        .printed()?;
    world
        .create_task("addition", call(&image, "add", json!([20, 22])))
        .await?;
    wait_for("the reason to be told", PATIENCE, async || {
        let said = world
            .wait_for_reason("addition", types::SCHEDULED, "Unschedulable")
            .await?;
        ensure!(said.message == "0 of 1 proplets fit: 1 cordoned", "{}", said.message);
        Ok(())
    })
    .await?;
    let described = clerk.types(&["describe", "proplet", "edge-1"]).await?;
    ensure!(
        described.printed()?.contains("Cordoned:     yes"),
        "{}",
        described.printed()?
    );

    assert_eq!(
        clerk.types(&["uncordon", "edge-1"]).await?.printed()?,
        "proplet/edge-1 uncordoned"
    );
    assert_eq!(world.results("addition").await?, json!(42));
    clerk.types(&["cordon", "nobody"]).await?.failed(6)?;
    Ok(())
}

async fn a_drain_waits_for_tasks_and_moves_services(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let _control = world.start_control().await?;
    let _edge = world.start_proplet("edge-1", json!({})).await?;
    let spins = call(&world.push("spin").await?, "spin", json!([]));
    world.create_task("long", spins).await?;
    let service = json!({"image": world.push("http-hello").await?, "service": {}});
    world.create_task("web", service).await?;
    let running = |status: &propeller_api::TaskStatus| status.phase == Phase::Running;
    world.wait_for_task("long", "to run", running).await?;
    world.wait_for_task("web", "to run", running).await?;
    let table = clerk.types(&["describe", "proplet", "edge-1"]).await?;
    ensure!(
        table.printed()?.contains("long") && table.printed()?.contains("web"),
        "{}",
        table.printed()?
    );

    let late = clerk
        .types(&["drain", "edge-1", "--timeout", "300ms", "--output", "json"])
        .await?;
    let error = late.error(7)?;
    assert_eq!(error["reason"], "TimedOut");
    ensure!(
        error["message"]
            .as_str()
            .is_some_and(|words| words.contains("task/long")),
        "{error}"
    );

    // The task ends while drain waits; the service stays, and is told.
    let drain = clerk.command(&["drain", "edge-1"]).spawn()?;
    world.edit_task("long", json!({"cancel": true})).await?;
    let output = timeout(PATIENCE, drain.wait_with_output()).await??;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{told}");
    ensure!(
        told.contains("services that don't end by themselves: web") && told.contains("--evict"),
        "{told}"
    );

    let _other = world.start_proplet("edge-2", json!({})).await?;
    let drained = clerk.types(&["drain", "edge-1", "--evict", "--timeout", "1m"]).await?;
    let lines = "proplet/edge-1 already cordoned\ntask/web moved away\nproplet/edge-1 drained";
    assert_eq!(drained.printed()?, lines, "{}", drained.stderr);
    let moved = |status: &propeller_api::TaskStatus| running(status) && status.proplet.as_deref() == Some("edge-2");
    world.wait_for_task("web", "to run elsewhere", moved).await?;
    Ok(())
}

async fn a_run_on_a_proplet_looks_like_one_here(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({"site": "lab"})).await?;
    let addition = world.push("addition").await?;
    let typed = world.push("typed").await?;
    let exits = world.push("exit-code").await?;

    let line = ["run", "--on", "edge-1", &addition, "add(20, 22)"];
    assert_eq!(clerk.types(&line).await?.printed()?, "42");
    let line = ["run", "--selector", "site=lab", &typed, "parse-point(\"3.5,-2\")"];
    assert_eq!(clerk.types(&line).await?.printed()?, "{x: 3.5, y: -2}");
    let told = clerk
        .types(&[
            "run", "--on", "edge-1", "--output", "json", &addition, "-f", "add", "-a", "[1, 2]",
        ])
        .await?
        .json()?;
    assert_eq!(told["result"], 3);
    ensure!(told["figures"]["bytesOut"] == 1, "{told}");

    let here = clerk
        .person
        .types(&["run", &guest("typed").await?, "parse-point(\"x\")"])
        .await?;
    let there = clerk
        .types(&["run", "--on", "edge-1", &typed, "parse-point(\"x\")"])
        .await?;
    assert_eq!(there.failed(10)?, here.failed(10)?);
    clerk
        .types(&["run", "--on", "edge-1", &addition, "add(1)"])
        .await?
        .failed(5)?;
    clerk
        .types(&["run", "--on", "edge-1", &exits, "--", "1"])
        .await?
        .failed(1)?;
    let file = guest("addition").await?;
    let local = clerk.types(&["run", "--on", "edge-1", &file, "add(1, 2)"]).await?;
    assert!(local.stderr.contains("propeller push"), "{}", local.stderr);
    assert_eq!(
        clerk.types(&["get", "tasks", "-o", "name"]).await?.printed()?,
        "",
        "nothing is left behind"
    );

    let kept = clerk
        .types(&["run", "--on", "edge-1", "--keep", &addition, "add(2, 2)"])
        .await?;
    assert_eq!(kept.printed()?, "4");
    let name = clerk.types(&["get", "tasks", "-o", "name"]).await?;
    let name = name.printed()?.strip_prefix("task/").context("a task")?.to_owned();
    assert!(name.starts_with("addition-") && kept.stderr.contains(&name), "{name}");

    let again = clerk.types(&["rerun", &name]).await?;
    let again = again
        .printed()?
        .strip_prefix("task/")
        .and_then(|line| line.strip_suffix(" created"))
        .context("a name")?;
    assert!(again.starts_with(&name) && again != name, "{again}");
    assert_eq!(world.results(again).await?, json!(4));
    assert_eq!(
        clerk.types(&["rerun", &name, "--name", "third"]).await?.printed()?,
        "task/third created"
    );
    let taken = clerk.types(&["rerun", &name, "--name", "third", "-o", "json"]).await?;
    assert_eq!(taken.error(6)?["reason"], "AlreadyExists");
    Ok(())
}

async fn ctrl_c_cancels_what_runs_on_a_proplet(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let spin = world.push("spin").await?;
    let mut run = clerk
        .command(&["run", "--on", "edge-1", &spin, "--keep", "spin()"])
        .stderr(Stdio::piped())
        .spawn()?;
    let tasks = world.tasks().await?;
    let name = wait_for("the task to run", PATIENCE, async || {
        let list = tasks.list(&Default::default()).await?;
        let running = list.items.into_iter().find(|task| {
            task.status
                .as_ref()
                .is_some_and(|status| status.phase == Phase::Running)
        });
        running.and_then(|task| task.metadata.name).context("none runs")
    })
    .await?;
    let pid = run.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    kill_process(pid.context("it has ended")?, Signal::INT)?;
    let mut lines = BufReader::new(run.stderr.take().context("no output")?).lines();
    assert_eq!(timeout(PATIENCE, run.wait()).await??.code(), Some(130));
    let kept = lines.next_line().await?.unwrap_or_default();
    assert!(kept.contains(&name), "{kept}");
    assert_eq!(world.finished(&name).await?.phase, Phase::Cancelled);
    Ok(())
}

#[tokio::test]
async fn flags_for_a_run_elsewhere_mean_nothing_here() -> Result<()> {
    let person = Person::new().await?;
    let stray = person.types(&["run", "a.wasm", "f()", "--keep"]).await?;
    assert!(stray.failed(2)?.contains("--on"), "{}", stray.stderr);
    Ok(())
}
