//! A broker that comes back with what it had half an hour ago, as Mosquitto's default is: it saves its state every 30 minutes, so `kill -9`
//! brings back what was saved last.

use std::fs;

use anyhow::{Result, ensure};
use propeller_tests::{PATIENCE, Program, World, wait_for, world::PROPLET_READY};
use rustix::process::Signal;
use serde_json::json;

use crate::operator::{call, with};

#[tokio::test]
async fn a_start_that_an_old_state_brings_back_does_not_run_again() -> Result<()> {
    let mut world = World::kubernetes().await?;
    let _operator = world.start_operator().await?;
    world.create_proplet("edge-1", json!({})).await?;
    // With heartbeats every ten seconds: it isn't missed while it stands still.
    let program = Program::new("proplet").await?;
    let state = program.folder().join("state");
    let marks = program.folder().join("marks");
    fs::create_dir(&marks)?;
    let config = program.file(
        "proplet.toml",
        format!("[policy]\ndirectories = [{{ path = {marks:?} }}]\n"),
    )?;
    let mut proplet = program
        .args([
            "--id",
            "edge-1",
            "--mqtt-broker",
            &format!("mqtt://{}", world.broker.addr()),
        ])
        .arg("--state-dir")
        .arg(state)
        .arg("--config")
        .arg(config)
        .start(PROPLET_READY)
        .await?;
    let mark = call(
        &world.push("mark").await?,
        "mark",
        json!(["/marks", "runs", 1, "value"]),
    );
    let mark = with(
        mark,
        "grants",
        json!({"directories": [{"hostPath": marks, "guestPath": "/marks"}]}),
    );
    world.create_task("before", mark.clone()).await?;
    world.results("before").await?;
    ensure!(fs::read(marks.join("runs"))?.len() == 1);

    // The broker saves its state while a start is on its way.
    proplet.process()?.signal(Signal::STOP)?;
    world.create_task("marked", mark).await?;
    let attempt = |status: &propeller_api::TaskStatus| status.attempt == 1;
    world.wait_for_task("marked", "to be dispatched", attempt).await?;
    let starts = |log: &str| log.lines().filter(|line| is_start(line)).count();
    wait_for("the start", PATIENCE, async || {
        let sent = starts(&world.broker.log());
        ensure!(sent == 2, "{sent} starts were sent");
        Ok(())
    })
    .await?;
    let saved = |line: &str| line.contains("Saving in-memory database").then_some(());
    world.broker.process()?.signal(Signal::USR1)?;
    world
        .broker
        .process()?
        .wait_for_log("line that says that the state is saved", saved)
        .await?;

    // It runs, its result is recorded, and then the broker comes back with that start.
    proplet.process()?.signal(Signal::CONT)?;
    let finished = world.finished("marked").await?;
    world.broker.kill()?;
    world.broker.start_again().await?;
    let again = |line: &str| is_start(line).then_some(());
    world
        .broker
        .process()?
        .wait_for_log("start that is sent again", again)
        .await?;

    let addition = call(&world.push("addition").await?, "add", json!([20, 22]));
    world.create_task("after", addition).await?;
    assert_eq!(world.results("after").await?, json!(42));
    ensure!(fs::read(marks.join("runs"))?.len() == 2, "an attempt ran twice");
    assert_eq!(world.finished("marked").await?, finished);
    Ok(())
}

/// Whether a line of Mosquitto's log says that it sends a start.
fn is_start(line: &str) -> bool {
    line.contains("Sending PUBLISH to edge-1") && line.contains("/control/manager/start/edge-1")
}
