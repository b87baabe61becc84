//! How much there can be of instances, and of what is in one.

use std::{io, net::SocketAddr};

use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};

use super::*;
use crate::engine::{Served, Service, ServiceEvent, ServiceLimits};

fn small() -> Engine {
    Engine::new(EngineConfig {
        instances: NonZeroU32::new(8).unwrap(),
        ..EngineConfig::default()
    })
    .unwrap()
}

#[tokio::test]
async fn one_instance_too_many_is_refused_and_harms_no_other() {
    let engine = small();
    let (spin, add) = (
        load(&engine, &spin()).await.unwrap(),
        load(&engine, &add()).await.unwrap(),
    );
    let spinning = invocation("f", json!([]));
    let calls: Vec<_> = (0..9)
        .map(|_| {
            let (spin, spinning) = (spin.clone(), spinning.clone());
            tokio::spawn(async move { spin.invoke(spinning).await })
        })
        .collect();
    while calls.iter().all(|call| !call.is_finished()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = add.invoke(invocation("f", json!([1, 2]))).await.result.unwrap_err();
    assert_eq!(refused.reason(), "Busy", "{refused}");
    assert!(refused.to_string().contains('8'), "{refused}");

    spinning.sandbox.cancel.cancel();
    let reasons = join_all(calls).await.into_iter();
    let mut reasons: Vec<_> = reasons.map(|call| call.unwrap().result.unwrap_err().reason()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons.split_off(1), ["Cancelled"; 8]);
    assert_eq!(reasons, ["Busy"]);
    assert!(add.invoke(invocation("f", json!([1, 2]))).await.result.is_ok());
}

#[tokio::test]
async fn a_thousand_instances_live_at_once() {
    let engine = engine();
    let spin = load(&engine, &spin()).await.unwrap();
    let spinning = invocation("f", json!([]));
    let mut calls: Vec<_> = (0..1000).map(|_| spin.invoke(spinning.clone())).collect();
    let ends = async {
        let ends = join_all(calls.drain(..)).await;
        ends.into_iter()
            .map(|end| end.result.unwrap_err().reason())
            .collect::<Vec<_>>()
    };
    let cancel = spinning.sandbox.cancel.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
    };
    let (ends, ()) = tokio::join!(ends, stop);
    assert_eq!(ends, vec!["Cancelled"; 1000]);
}

#[tokio::test]
async fn a_component_that_no_slot_can_hold_is_refused_with_the_limit() {
    let check = async |core: &str, words: &str| {
        let error = load(&small(), &format!("(component {core})")).await.err().unwrap();
        assert_eq!(error.reason(), "ComponentTooLarge", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let one = "(core module $m (memory 1))";
    check(&format!("{one}{}", "(core instance (instantiate $m))".repeat(65)), "64").await;
    check(
        "(core module $m (table 2000000 funcref)) (core instance (instantiate $m))",
        "1048576",
    )
    .await;
    let none = "(core module $m)";
    check(
        &format!("{none}{}", "(core instance (instantiate $m))".repeat(513)),
        "512",
    )
    .await;
}

#[tokio::test]
async fn what_needs_concurrency_runs_beside_what_does_not() {
    let engine = engine();
    let asynchronous = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 7)))
        (core instance $m (instantiate $m))
        (func (export "f") async (result u32) (canon lift (core func $m "f"))))"#;
    let prepared = load(&engine, asynchronous).await.unwrap();
    assert!(prepared.contract().needs_03());
    let returned = prepared.invoke(invocation("f", json!([]))).await.result.unwrap();
    assert_eq!(returned.json(), Some(&json!(7)));
    let add = load(&engine, &add()).await.unwrap();
    assert!(add.invoke(invocation("f", json!([1, 2]))).await.result.is_ok());
}

/// A service that answers nothing, and has `parts` beside what it needs.
fn holds(parts: &str) -> String {
    format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $response))
            (core module $guest (func (export "handle") (param i32 i32) (loop $again (br $again))))
            (core instance $guest (instantiate $guest))
            {parts}
            (func $handle (param "request" (own $request)) (param "response-out" (own $response))
                (canon lift (core func $guest "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

/// The status of the answer.
async fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.get(9..12).unwrap_or_default().to_owned())
}

/// A service that runs, and what it runs in.
struct Serving {
    address: SocketAddr,
    cancel: CancellationToken,
    outcome: JoinHandle<Outcome<Served>>,
    events: mpsc::Receiver<ServiceEvent>,
}

async fn serve(service: Prepared, request: Duration) -> Serving {
    let Invocation { mut sandbox, .. } = invocation("f", json!([]));
    sandbox.limits.memory = 256 << 20;
    let (cancel, (sender, mut events)) = (sandbox.cancel.clone(), mpsc::channel(64));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = ServiceLimits {
        request,
        ..ServiceLimits::default()
    };
    let outcome = tokio::spawn(async move {
        let events = sender;
        service
            .serve(Service {
                listener,
                limits,
                sandbox,
                events,
            })
            .await
    });
    let Some(ServiceEvent::Ready(address)) = events.recv().await else {
        panic!("it doesn't serve")
    };
    Serving {
        address,
        cancel,
        outcome,
        events,
    }
}

/// Empty memories are no bytes, and parts without a memory aren't even that: what bounds them is the service's share of the pool.
#[tokio::test]
async fn a_service_leaves_the_others_their_slots() {
    let engine = engine();
    let add = load(&engine, &add()).await.unwrap();
    for (part, count) in [("(memory 0)", 64), ("", 511)] {
        let instances = "(core instance (instantiate $part))".repeat(count);
        let parts = format!("(core module $part {part}) {instances}");
        let service = load(&engine, &holds(&parts)).await.unwrap();
        let serving = serve(service, Duration::from_millis(500)).await;
        let clients: Vec<_> = (0..40).map(|_| tokio::spawn(get(serving.address))).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            let sum = add.invoke(invocation("f", json!([1, 2]))).await;
            assert!(sum.result.is_ok(), "beside {part}: {:?}", sum.result);
        }
        for client in clients {
            let status = client.await.unwrap().unwrap();
            assert!(["503", "504"].contains(&status.as_str()), "{part}: {status}");
        }
        serving.cancel.cancel();
        assert!(serving.outcome.await.unwrap().result.is_ok());
    }
}

/// Its client doesn't wait for the answer.
#[tokio::test]
async fn a_request_that_is_given_up_is_counted() {
    let engine = engine();
    let mut serving = serve(load(&engine, &holds("")).await.unwrap(), PATIENCE).await;
    let given_up = tokio::time::timeout(Duration::from_millis(300), get(serving.address)).await;
    assert!(given_up.is_err(), "it answers nothing");
    // The next one is served when the engine has dropped the first, which it does at a tick.
    let second = tokio::time::timeout(Duration::from_millis(100), get(serving.address)).await;
    assert!(second.is_err());
    serving.cancel.cancel();
    let outcome = serving.outcome.await.unwrap();
    assert_eq!(
        outcome.result.map(|served| (served.requests, served.failed)),
        Ok((2, 0))
    );
    assert!(
        outcome.figures.cpu > Duration::from_millis(100),
        "{:?}",
        outcome.figures
    );
    assert!(serving.events.try_recv().is_err(), "nothing failed");
}

#[tokio::test]
async fn guests_stand_back_where_they_should() {
    let niceness = async |guest_niceness: u8| {
        let engine = Engine::new(EngineConfig {
            guest_niceness,
            ..EngineConfig::default()
        })
        .unwrap();
        let look = async { rustix::process::getpriority_process(None).unwrap() };
        engine.among_guests(look).await.unwrap()
    };
    let own = niceness(0).await;
    assert_eq!(niceness(15).await, (own + 15).min(19));
}
