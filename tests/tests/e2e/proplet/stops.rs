//! A stop ends an attempt within a second, whatever it is at, and gives back its room.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use propeller_protocol::{Channel, HeldState, Outcome, Stage, Start, requires};
use propeller_tests::{PATIENCE, Service, wait_for};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

use super::site::{READY, Site, ack, stop};

/// From the stop to the end's report, through the broker both times.
const PROMPTLY: Duration = Duration::from_secs(1);

/// Stops what runs, and checks that it ends at once and that another one gets its room.
async fn check(site: &Site, start: &Start) -> Result<()> {
    let begin = Instant::now();
    site.say(Channel::Stop, &stop(start)).await?;
    let failure = site.wait_for_failure(start).await?;
    let took = begin.elapsed();
    ensure!(took < PROMPTLY, "{}: it took {took:?}", start.attempt);
    assert_eq!(failure.reason, "Cancelled", "{}: {}", start.attempt, failure.message);
    site.say(Channel::Ack, &ack(start)).await?;

    let next = site
        .addition(
            &format!("after-{}", start.attempt.task.name),
            &site.push("addition").await?,
        )
        .await?;
    site.say(Channel::Start, &next).await?;
    let outcome = site.wait_for_outcome(&next).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    Ok(())
}

async fn begin(site: &Site, start: &Start) -> Result<()> {
    site.say(Channel::Start, start).await?;
    let accepted = |stage: &Stage| *stage == Stage::Accepted;
    site.wait_for_stage(start, "accepted", accepted).await.map(drop)
}

#[tokio::test]
async fn a_stop_ends_what_runs_sleeps_or_waits() -> Result<()> {
    let site = Site::new().await?;
    // One at a time: whoever comes next needs the room of the one before.
    let _proplet = site.start(&["--capacity-tasks", "1"]).await?;
    let (sleep, spin) = (site.push("sleep").await?, site.push("spin").await?);
    let sleeper = site.sleep("sleeper", &sleep, 600_000).await?;
    begin(&site, &sleeper).await?;
    let waiting = site.sleep("waiting", &sleep, 600_000).await?;
    begin(&site, &waiting).await?;
    site.wait_for_inventory("one that waits", |held| {
        held.iter().any(|held| held.state == HeldState::Queued)
    })
    .await?;
    let begun = Instant::now();
    site.say(Channel::Stop, &stop(&waiting)).await?;
    assert_eq!(site.wait_for_failure(&waiting).await?.reason, "Cancelled");
    ensure!(begun.elapsed() < PROMPTLY, "{:?}", begun.elapsed());
    check(&site, &sleeper).await?;

    let spinner = site.call("spinner", &spin, "spin", json!([])).await?;
    begin(&site, &spinner).await?;
    check(&site, &spinner).await
}

#[tokio::test]
async fn a_stop_ends_a_download() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&["--capacity-tasks", "1"]).await?;
    // It takes connections and never answers.
    let registry = TcpListener::bind("127.0.0.1:0").await?;
    let mut start = site
        .call("download", &site.push("sleep").await?, "sleep", json!(["1"]))
        .await?;
    let address = site.registry.addr().to_string();
    start.image = start.image.replace(&address, &registry.local_addr()?.to_string());
    begin(&site, &start).await?;
    let _connection = registry.accept().await?;
    check(&site, &start).await
}

#[tokio::test]
async fn a_stop_ends_a_request_that_is_never_answered() -> Result<()> {
    let site = Site::new().await?;
    let config = site.proplet(&[]).await?;
    let config = config.file("proplet.toml", "[policy]\nhttp = \"any\"\n")?;
    let proplet = site.proplet(&["--capacity-tasks", "1"]).await?;
    let _proplet = proplet.arg("--config").arg(config).start(READY).await?;
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let address = silent.local_addr()?.to_string();
    let args = json!(["http", address, "/", "hello"]);
    let mut start = site.call("asks", &site.push("fetch").await?, "post", args).await?;
    start.requires = vec![requires::GRANTS.to_owned()];
    start.grants = Some(serde_json::from_value(json!({"http": [address]}))?);
    begin(&site, &start).await?;
    let (mut connection, _) = silent.accept().await?;
    let mut request = Vec::new();
    while !request.ends_with(b"hello\r\n0\r\n\r\n") {
        ensure!(connection.read_buf(&mut request).await? > 0, "{request:?}");
    }
    let begun = Instant::now();
    let closed = tokio::spawn(async move {
        connection.read_to_end(&mut request).await?;
        anyhow::Ok(begun.elapsed())
    });
    check(&site, &start).await?;
    let took = timeout(PATIENCE, closed).await???;
    ensure!(took < PROMPTLY, "the connection was closed after {took:?}");
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_a_compilation() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&["--capacity-tasks", "1"]).await?;
    let slow = site.push_bytes("slow", wat::parse_str(slow_to_compile())?).await?;
    let start = site.call("compilation", &slow, "f", json!([])).await?;
    begin(&site, &start).await?;
    wait_for("a process that compiles", PATIENCE, async || {
        ensure!(!children(&mut proplet)?.is_empty(), "no child");
        Ok(())
    })
    .await?;
    check(&site, &start).await?;
    wait_for("the end of that process", PATIENCE, async || {
        let children = children(&mut proplet)?;
        ensure!(children.is_empty(), "{children:?}");
        Ok(())
    })
    .await
}

/// What the process has started and not ended.
fn children(proplet: &mut Service) -> Result<Vec<String>> {
    let id = proplet.process()?.id();
    let mut children = vec![];
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        // A thread may be gone by now.
        let of_thread = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children.extend(of_thread.split_whitespace().map(str::to_owned));
    }
    Ok(children)
}

/// A function in which so many variables live through a loop that placing them keeps a compiler busy for a long time.
fn slow_to_compile() -> String {
    const VARIABLES: usize = 20_000;
    let variables = "i32 ".repeat(VARIABLES);
    let steps: String = (1..VARIABLES)
        .map(|to| format!("(local.set {to} (i32.add (local.get {to}) (local.get {})))", to - 1))
        .collect();
    format!(
        "(component
           (core module $m (func (export \"f\") (local {variables}) (loop {steps} (br_if 0 (local.get {})))))
           (core instance $i (instantiate $m))
           (func (export \"f\") (canon lift (core func $i \"f\"))))",
        VARIABLES - 1
    )
}
