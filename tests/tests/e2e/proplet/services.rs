//! HTTP services: told where they listen, up until they are stopped.

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use propeller_api::{Memory, Service, Work};
use propeller_artifact::Pushed;
use propeller_protocol::{Channel, HeldState, Outcome, Stage, Start, requires};
use propeller_tests::{PATIENCE, wait_for};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    endpoints::get,
    site::{Site, ack, stop},
};

async fn service(site: &Site, task: &str, pushed: &Pushed) -> Result<Start> {
    let start = site.task(task, pushed, Work::Service(Service::default())).await?;
    Ok(Start {
        requires: vec![requires::SERVICE.to_owned()],
        ..start
    })
}

/// Where it listens, without the scheme.
async fn address(site: &Site, start: &Start) -> Result<String> {
    let listens = |stage: &Stage| matches!(stage, Stage::Started { address: Some(_), .. });
    match site.wait_for_stage(start, "an address", listens).await? {
        Stage::Started { address: Some(url), .. } => {
            let address = url.strip_prefix("http://").context("no URL")?;
            Ok(address.to_owned())
        }
        other => bail!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_serves_until_it_is_stopped() -> Result<()> {
    let mut site = Site::new().await?;
    let _proplet = site.start(&["--capacity-tasks", "1"]).await?;
    let hello = site.push("http-hello").await?;
    let start = service(&site, "hello", &hello).await?;
    site.say(Channel::Start, &start).await?;
    let at = address(&site, &start).await?;
    let (status, body) = get(&at, "/").await?;
    ensure!(status == 200, "{status} {body}");

    // It holds its room, and whoever comes to know of it later is told where it is.
    let next = site.addition("next", &site.push("addition").await?).await?;
    site.say(Channel::Start, &next).await?;
    site.wait_for_inventory("one that waits", |held| {
        held.iter().any(|held| held.state == HeldState::Queued)
    })
    .await?;
    let told = site.reports(&start).len();
    site.broker.kill()?;
    site.broker.start_again().await?;
    wait_for("the address again", PATIENCE, async || {
        let later = site.reports(&start).split_off(told);
        ensure!(
            later
                .iter()
                .any(|stage| matches!(stage, Stage::Started { address: Some(_), .. })),
            "{later:?}"
        );
        Ok(())
    })
    .await?;
    ensure!(get(&at, "/").await?.0 == 200, "it went on without the broker");

    site.wait_for_presence_after(site.presences()).await?;
    site.say(Channel::Stop, &stop(&start)).await?;
    assert_eq!(site.wait_for_failure(&start).await?.reason, "Cancelled");
    ensure!(TcpStream::connect(&at).await.is_err(), "it still listens");
    site.say(Channel::Ack, &ack(&start)).await?;
    site.wait_for_outcome(&next).await.map(drop)
}

#[tokio::test]
async fn a_service_ends_when_the_proplet_does() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&["--drain-seconds", "600"]).await?;
    let start = service(&site, "hello", &site.push("http-hello").await?).await?;
    site.say(Channel::Start, &start).await?;
    address(&site, &start).await?;
    let process = proplet.process()?;
    process.signal(Signal::TERM)?;
    let status = process.wait_for_end(PATIENCE).await?;
    ensure!(status.success(), "{status}");
    assert_eq!(site.wait_for_failure(&start).await?.reason, "Interrupted");
    Ok(())
}

#[tokio::test]
async fn what_is_no_service_fails_and_a_taken_port_does_too() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let addition = service(&site, "addition", &site.push("addition").await?).await?;
    site.say(Channel::Start, &addition).await?;
    assert_eq!(site.wait_for_failure(&addition).await?.reason, "NotAService");

    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut start = service(&site, "taken", &site.push("http-hello").await?).await?;
    let port = taken.local_addr()?.port().try_into().ok();
    start.work = Work::Service(Service { port });
    site.say(Channel::Start, &start).await?;
    assert_eq!(site.wait_for_failure(&start).await?.reason, "ListenFailed");
    Ok(())
}

/// Requests that are under way at the same moment have the service's memory together, and who finds none left is told to come again.
#[tokio::test]
pub(crate) async fn http_hold_shares_the_memory_of_its_service() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let mut start = service(&site, "hold", &site.push("http-hold").await?).await?;
    start.limits.memory = Some(Memory::from_bytes(MEMORY));
    site.say(Channel::Start, &start).await?;
    let at = address(&site, &start).await?;

    // All at once they want half as much again as there is.
    let (status, _) = hold(&at, 100).await?;
    ensure!(status == 500, "{status} for more than there is for all");
    let requests = try_join_all((0..12).map(|_| hold(&at, 8))).await?;
    let count = |wanted: u16| requests.iter().filter(|(status, _)| *status == wanted).count();
    let (held, refused) = (count(200), count(503));
    ensure!((4..8).contains(&held), "{held} of them hold 8 MiB");
    ensure!(held + refused == 12, "{refused} were refused");

    drop(requests);
    wait_for("memory that was given back", PATIENCE, async || {
        let again = try_join_all((0..4).map(|_| hold(&at, 8))).await?;
        ensure!(again.iter().all(|(status, _)| *status == 200), "not yet");
        Ok(())
    })
    .await?;
    site.say(Channel::Stop, &stop(&start)).await?;
    match site.wait_for_outcome(&start).await? {
        Outcome::Failed { usage, .. } => {
            let peak = usage.peak_memory_bytes;
            ensure!((MEMORY / 2..=MEMORY).contains(&peak), "{peak} bytes at its peak");
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}

/// For the service that holds.
const MEMORY: u64 = 64 << 20;

/// Asks it to hold so many MiB: the status, and the connection, with which it ends.
async fn hold(at: &str, mebibytes: u32) -> Result<(u16, TcpStream)> {
    let mut stream = TcpStream::connect(at).await?;
    let head = format!("POST /{mebibytes} HTTP/1.1\r\nHost: lab.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = vec![0; "HTTP/1.1 200".len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    let status = String::from_utf8(answer)?
        .rsplit(' ')
        .next()
        .context("no status")?
        .parse()?;
    Ok((status, stream))
}

/// A service whose every instance traps as it begins.
const FALLS: &str = r#"(component
    (import "wasi:http/types@0.2.0" (instance $types
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $response))
    (core module $guest
        (func $fall (unreachable))
        (start $fall)
        (func (export "handle") (param i32 i32)))
    (core instance $guest (instantiate $guest))
    (func $handle (param "request" (own $request)) (param "response-out" (own $response))
        (canon lift (core func $guest "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;

#[tokio::test]
async fn a_service_that_cannot_begin_is_tried_again_until_it_is_stopped() -> Result<()> {
    let site = Site::new().await?;
    let proplet = site.start(&[]).await?;
    let falls = site.push_bytes("falls", wat::parse_str(FALLS)?).await?;
    let start = service(&site, "falls", &falls).await?;
    site.say(Channel::Start, &start).await?;
    wait_for("a second failure", PATIENCE, async || {
        let failures = proplet.log().matches("a service failed, and is started again").count();
        ensure!(failures >= 2, "{failures} failures");
        Ok(())
    })
    .await?;
    let listens = |stage: &Stage| matches!(stage, Stage::Started { address: Some(_), .. });
    ensure!(!site.reports(&start).iter().any(listens), "nobody could reach it");
    let says_why =
        |stage: &Stage| matches!(stage, Stage::Started { problem: Some(why), .. } if why.contains("unreachable"));
    site.wait_for_stage(&start, "why it doesn't listen", says_why).await?;
    site.say(Channel::Stop, &stop(&start)).await?;
    assert_eq!(site.wait_for_failure(&start).await?.reason, "Cancelled");
    Ok(())
}
