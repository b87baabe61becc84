//! Programs and services in the host's engine, as a proplet runs them: their output as lines, their figures, and their certain end.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use propeller_host::engine::{
    Exit, Invocation, InvokeError, Line, LineLimits, LineReader, Outcome, Prepared, Program, Sandbox, Served, Service,
    ServiceEvent, ServiceLimits, Stdio, Stream, lines,
};
use propeller_tests::PATIENCE;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::host::{self, PROMPTLY};

fn program(sandbox: Sandbox, args: &[&str]) -> Program {
    Program {
        name: "guest".to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        sandbox,
    }
}

fn told(limits: LineLimits) -> (Sandbox, LineReader) {
    let (lines, reader) = lines(limits);
    let mut sandbox = host::sandbox();
    sandbox.stdio = Stdio::Lines(lines);
    (sandbox, reader)
}

async fn all(mut reader: LineReader) -> Vec<Line> {
    let mut lines = Vec::new();
    while let Some(line) = reader.next().await {
        lines.push(line);
    }
    lines
}

#[tokio::test]
async fn output_is_told_as_lines() -> Result<()> {
    let (sandbox, reader) = told(LineLimits::default());
    let outcome = host::load("print-lines").await?.command(program(sandbox, &[])).await;
    assert_eq!(outcome.result, Ok(Exit { code: 0 }));
    let lines: Vec<_> = all(reader)
        .await
        .into_iter()
        .map(|line| (line.stream, line.text))
        .collect();
    let of = |wanted: Stream| -> Vec<&str> {
        let lines = lines.iter().filter(|(stream, _)| *stream == wanted);
        lines.map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(
        of(Stream::Stdout),
        ["out 1", "out 2", "\u{fffd} is no character", "no end"]
    );
    assert_eq!(of(Stream::Stderr), ["error 1", "error with two parts"]);
    assert_eq!(outcome.figures.bytes_out, 65);
    Ok(())
}

/// However much a guest writes, and whether anybody reads, only so much is kept.
#[tokio::test]
async fn a_flood_is_cut() -> Result<()> {
    let flood = host::load("flood").await?;
    let limits = LineLimits {
        rate: 1 << 10,
        burst: 4 << 10,
        ..LineLimits::default()
    };
    let (mut sandbox, reader) = told(limits);
    sandbox.limits.deadline = Duration::from_millis(300);
    let outcome = flood.command(program(sandbox, &[])).await;
    assert_eq!(outcome.result.map_err(|error| error.reason()), Err("DeadlineExceeded"));
    ensure!(
        outcome.figures.bytes_out > 1 << 20,
        "it was held up: {:?}",
        outcome.figures
    );
    let lines = all(reader).await;
    ensure!(lines.len() < 100, "{} lines", lines.len());
    let last = lines.last().context("no lines")?;
    ensure!(
        last.text.starts_with("… ") && last.text.ends_with(" bytes dropped: more than 1 KiB/s"),
        "{last:?}"
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn both_worlds_runs_as_0_3() -> Result<()> {
    let (sandbox, reader) = told(LineLimits::default());
    let outcome = host::load("both-worlds").await?.command(program(sandbox, &[])).await;
    assert_eq!(outcome.result, Ok(Exit { code: 0 }));
    let lines = all(reader).await;
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["0.3"]);
    Ok(())
}

#[tokio::test]
pub(crate) async fn async_export_is_called_and_ends_on_cancel() -> Result<()> {
    let guest = host::load("async-export").await?;
    let invocation = |milliseconds: u64| {
        anyhow::Ok(Invocation {
            function: "add-later".parse()?,
            args: json!([20, 22, milliseconds]),
            sandbox: host::sandbox(),
        })
    };
    let outcome = guest.invoke(invocation(20)?).await;
    assert_eq!(outcome.result?.json(), Some(&json!(42)));
    ensure!(
        outcome.figures.wall >= Duration::from_millis(20),
        "{:?}",
        outcome.figures
    );

    let hour = invocation(3_600_000)?;
    let cancel = hour.sandbox.cancel.clone();
    let call = tokio::spawn(async move { guest.invoke(hour).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cancel.cancel();
    let outcome = timeout(PROMPTLY, call).await??;
    assert_eq!(outcome.result, Err(InvokeError::Cancelled));
    Ok(())
}

#[tokio::test]
async fn a_program_ends_on_cancel() -> Result<()> {
    let flood = host::load("flood").await?;
    let (sandbox, reader) = told(LineLimits::default());
    let cancel = sandbox.cancel.clone();
    let run = tokio::spawn(async move { flood.command(program(sandbox, &[])).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cancel.cancel();
    assert_eq!(timeout(PROMPTLY, run).await??.result, Err(InvokeError::Cancelled));
    // The run let go of its lines, so that the reader sees their end.
    ensure!(!timeout(PROMPTLY, all(reader)).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn cat_03_copies_nothing_when_there_is_nothing() -> Result<()> {
    let outcome = host::load("cat-03").await?.command(program(host::sandbox(), &[])).await;
    assert_eq!(outcome.result, Ok(Exit { code: 0 }));
    Ok(())
}

#[tokio::test]
async fn a_component_is_run_as_what_it_is() -> Result<()> {
    let addition = host::load("addition").await?;
    let outcome = addition.command(program(host::sandbox(), &[])).await;
    assert_eq!(outcome.result, Err(InvokeError::NotACommand));
    let serving = Serving::begin(addition, ServiceLimits::default())?;
    assert_eq!(serving.run.await?.result, Err(InvokeError::NotAService));
    Ok(())
}

/// A service, and what it tells.
struct Serving {
    run: JoinHandle<Outcome<Served>>,
    events: mpsc::Receiver<ServiceEvent>,
    sandbox: Sandbox,
}

impl Serving {
    fn begin(guest: Prepared, limits: ServiceLimits) -> Result<Self> {
        let (sender, events) = mpsc::channel(16);
        let sandbox = host::sandbox();
        let service = Service {
            listener: TcpListener::bind("127.0.0.1:0")?,
            limits,
            sandbox: sandbox.clone(),
            events: sender,
        };
        let run = tokio::spawn(async move { guest.serve(service).await });
        Ok(Self { run, events, sandbox })
    }

    async fn event(&mut self) -> Result<ServiceEvent> {
        timeout(PATIENCE, self.events.recv()).await?.context("it ended")
    }
}

#[tokio::test]
async fn a_service_is_ready_tells_failures_and_ends_within_a_second() -> Result<()> {
    let limits = ServiceLimits::default();
    let mut serving = Serving::begin(host::load("http-fail").await?, limits)?;
    let ServiceEvent::Ready(address) = serving.event().await? else {
        anyhow::bail!("not ready")
    };
    let ask = async |path: &str| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    };
    let mut response = String::new();
    ask("/fine").await?.read_to_string(&mut response).await?;
    ensure!(response.contains("fine"), "{response}");

    ask("/trap").await?.read_to_string(&mut response).await?;
    let ServiceEvent::Failed(InvokeError::Trap { backtrace, .. }) = serving.event().await? else {
        anyhow::bail!("not a trap")
    };
    ensure!(
        backtrace.iter().any(|line| line.contains("fall_over_the_edge")),
        "{backtrace:?}"
    );

    let _spins = ask("/spin").await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    serving.sandbox.cancel.cancel();
    let outcome = timeout(PATIENCE, serving.run).await??;
    ensure!(begun.elapsed() < PROMPTLY, "{:?}", begun.elapsed());
    assert_eq!(outcome.result, Ok(Served { requests: 3, failed: 1 }));
    let figures = outcome.figures;
    ensure!(
        figures.peak_memory > 65_536 && figures.cpu >= Duration::from_millis(20),
        "{figures:?}"
    );
    assert_eq!(figures.bytes_out, 5);
    ensure!(
        TcpStream::connect(address).await.is_err(),
        "the listener is there still"
    );
    Ok(())
}

/// A client that goes away takes its instance with it.
#[tokio::test]
async fn nobody_waits_for_a_client_that_went_away() -> Result<()> {
    let limits = ServiceLimits {
        requests: std::num::NonZeroUsize::MIN,
        ..ServiceLimits::default()
    };
    let mut serving = Serving::begin(host::load("http-fail").await?, limits)?;
    let ServiceEvent::Ready(address) = serving.event().await? else {
        anyhow::bail!("not ready")
    };
    let mut gone = TcpStream::connect(address).await?;
    gone.write_all(b"GET /spin HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(gone);
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await?;
    let mut response = String::new();
    // Long before the first request's time is up.
    timeout(limits.request / 2, stream.read_to_string(&mut response)).await??;
    ensure!(response.starts_with("HTTP/1.1 200"), "{response}");
    serving.sandbox.cancel.cancel();
    timeout(PATIENCE, serving.run).await??.result?;
    Ok(())
}
