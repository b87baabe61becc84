//! Traces, sent to a collector that only keeps what it got.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use propeller_protocol::Channel;
use propeller_tests::{PATIENCE, wait_for};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::site::Site;

/// Requests as they came: the first line, and the body.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn collector() -> Result<(String, Requests)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (endpoint, requests) = (format!("http://{}", listener.local_addr()?), Requests::default());
    let kept = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(request) = receive(stream).await {
                kept.lock().expect("as the test has it").push(request);
            }
        }
    });
    Ok((endpoint, requests))
}

async fn receive(stream: TcpStream) -> Result<(String, Vec<u8>)> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await?;
    Ok((first.trim().to_owned(), body))
}

#[tokio::test]
async fn an_attempt_is_a_trace_of_its_steps() -> Result<()> {
    let site = Site::new().await?;
    let (endpoint, requests) = collector().await?;
    let program = site.proplet(&[]).await?.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let mut proplet = program.start(super::site::READY).await?;
    let start = site.addition("traced-task", &site.push("addition").await?).await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_outcome(&start).await?;
    // Spans are sent in batches, and the last ones at the end.
    let status = proplet.stop().await?;
    ensure!(status.success(), "{status}");
    wait_for("spans", PATIENCE, async || {
        let requests = requests.lock().unwrap();
        let (line, _) = requests.first().context("nothing was sent")?;
        ensure!(line == "POST /v1/traces HTTP/1.1", "{line}");
        let all: Vec<u8> = requests.iter().flat_map(|(_, body)| body.clone()).collect();
        for word in [
            "attempt",
            "fetch",
            "prepare",
            "run",
            "traced-task",
            "propeller.task.uid",
        ] {
            let found = all.windows(word.len()).any(|window| window == word.as_bytes());
            ensure!(found, "no {word} in {}", String::from_utf8_lossy(&all));
        }
        Ok(())
    })
    .await
}
