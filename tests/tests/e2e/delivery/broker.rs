//! A broker that comes back with what it had half an hour ago, as Mosquitto's default is: it saves its state every 30 minutes, so `kill -9`
//! brings back what was saved last.

use std::fs;

use anyhow::{Result, ensure};
use propeller_api::types;
use propeller_tests::{
    Mosquitto, PATIENCE, Program, Standalone, World,
    mosquitto::Access,
    scratch, wait_for,
    world::{PROPLET_READY, Shell},
};
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

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

/// Its access control is wrong here; a quota is told in the same words.
#[tokio::test]
async fn a_start_that_the_broker_does_not_take_shows_in_the_task_and_in_the_figures() -> Result<()> {
    const ALL_BUT_STARTS: &str = "pattern read #\npattern write m/+/c/+/control/proplet/#\n";
    const EVERYTHING: &str = "pattern readwrite #\n";
    let rules = scratch::folder("rules")?;
    let acl = rules.path().join("acl");
    fs::write(&acl, ALL_BUT_STARTS)?;
    let mut world = World::standalone().await?;
    world.broker = Mosquitto::start(Access::Limited(&format!("acl_file {}", acl.display()))).await?;
    let _up = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let addition = call(&world.push("addition").await?, "add", json!([20, 22]));
    world.create_task("addition", addition).await?;
    let said = world
        .wait_for_reason("addition", types::SCHEDULED, "BrokerRefuses")
        .await?;
    assert_eq!(
        said.message,
        "attempt 1 on edge-1, whose start the broker doesn't take: NotAuthorized"
    );
    let Shell::Standalone(up) = &world.shell else {
        unreachable!("it was made so")
    };
    let figures = figures(up).await?;
    let figure = "propeller_broker_refusals_total{what=\"publication\",code=\"NotAuthorized\"}";
    ensure!(figures.contains(figure), "{figures}");

    fs::write(&acl, EVERYTHING)?;
    world.broker.process()?.signal(Signal::HUP)?;
    assert_eq!(world.results("addition").await?, json!(42), "it was published again");
    Ok(())
}

async fn figures(up: &Standalone) -> Result<String> {
    let (url, token) = (up.url(), up.token()?);
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /metrics HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
