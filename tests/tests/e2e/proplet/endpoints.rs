//! Health and metrics over HTTP.

use anyhow::{Context, Result, ensure};
use propeller_protocol::Channel;
use propeller_tests::{PATIENCE, Service, wait_for};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::site::Site;

async fn address(proplet: &mut Service) -> Result<String> {
    let said = |line: &str| {
        let (_, address) = line.split_once("served at http://")?;
        Some(address.split_whitespace().next()?.to_owned())
    };
    proplet.process()?.wait_for_log("an address", said).await
}

pub async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

#[tokio::test]
async fn readiness_follows_the_broker_and_metrics_what_ran() -> Result<()> {
    let mut site = Site::new().await?;
    let mut proplet = site.start(&["--http-address", "127.0.0.1:0"]).await?;
    let address = address(&mut proplet).await?;
    assert_eq!(get(&address, "/healthz").await?.0, 200);
    let (status, body) = get(&address, "/readyz").await?;
    let ready: Value = serde_json::from_str(&body)?;
    ensure!(status == 200 && ready["engine"]["ok"] == true, "{body}");

    let start = site.addition("one", &site.push("addition").await?).await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_outcome(&start).await?;
    let (_, text) = get(&address, "/metrics").await?;
    for figure in [
        "proplet_attempts_accepted_total 1",
        "proplet_attempts_ended_total{reason=\"Completed\"} 1",
        "proplet_attempt_duration_seconds_count 1",
        "proplet_prepares_total{source=\"cold\"} 1",
        "proplet_broker_connected 1",
    ] {
        ensure!(text.contains(figure), "no {figure} in\n{text}");
    }
    ensure!(!text.contains("proplet_journal_bytes 0"), "{text}");

    site.broker.kill()?;
    wait_for("readiness that knows of the broker", PATIENCE, async || {
        let (status, body) = get(&address, "/readyz").await?;
        let ready: Value = serde_json::from_str(&body)?;
        ensure!(
            status == 503 && ready["broker"]["ok"] == false && ready["engine"]["ok"] == true,
            "{status} {body}"
        );
        Ok(())
    })
    .await?;
    assert_eq!(get(&address, "/healthz").await?.0, 200);
    site.broker.start_again().await?;
    wait_for("readiness again", PATIENCE, async || {
        let (status, body) = get(&address, "/readyz").await?;
        ensure!(status == 200, "{status} {body}");
        Ok(())
    })
    .await
}
