use std::sync::Arc;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, mpsc},
};

use super::*;
use crate::{
    engine::{Engine, EngineConfig},
    proplet::vitals::{Pulse, Question},
};

const WELL: Pulse = Pulse {
    connected: true,
    durable: true,
    draining: false,
};

/// An endpoint, and the loop that it asks: `None` is one that doesn't turn.
async fn endpoint() -> (impl AsyncFn(&str) -> (u16, String), Arc<Mutex<Option<Pulse>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, mut questions) = mpsc::channel::<Question>(1);
    let pulse = Arc::new(Mutex::new(Some(WELL)));
    let heart = pulse.clone();
    tokio::spawn(async move {
        let mut unanswered = vec![];
        while let Some(question) = questions.recv().await {
            match *heart.lock().await {
                Some(pulse) => question.send(pulse).unwrap(),
                None => unanswered.push(question),
            }
        }
    });
    let told = Told {
        doctor: Doctor::new(asked, Engine::new(EngineConfig::default()).unwrap()),
        metrics: Metrics::default(),
        journal: "/nowhere".into(),
    };
    tokio::spawn(serve(listener, told));
    let get = async move |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    };
    (get, pulse)
}

#[tokio::test]
async fn it_tells_the_truth() {
    let (get, pulse) = endpoint().await;
    let check = async |now: Option<Pulse>, health: u16, readiness: u16, unwell: &[&str]| {
        *pulse.lock().await = now;
        assert_eq!(get("/healthz").await.0, health, "{now:?}");
        let (status, body) = get("/readyz").await;
        assert_eq!(status, readiness, "{now:?}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["ready"], status == 200);
        let parts = ["broker", "journal", "engine", "accepting"];
        let bad: Vec<_> = parts.into_iter().filter(|part| body[part]["ok"] == false).collect();
        assert_eq!(bad, unwell, "{body}");
    };
    check(Some(WELL), 200, 200, &[]).await;
    let cut_off = Pulse {
        connected: false,
        ..WELL
    };
    check(Some(cut_off), 200, 503, &["broker"]).await;
    let full = Pulse { durable: false, ..WELL };
    check(Some(full), 200, 503, &["journal"]).await;
    let ending = Pulse { draining: true, ..WELL };
    check(Some(ending), 200, 503, &["accepting"]).await;
    check(None, 503, 503, &["broker", "journal", "accepting"]).await;
    let (status, text) = get("/metrics").await;
    assert!(
        status == 200 && text.contains("# TYPE proplet_attempts_accepted counter"),
        "{text}"
    );
    assert_eq!(get("/").await.0, 404);
}

/// `canary.wasm` is what `canary.wat` says.
#[test]
fn the_canary_is_its_source() {
    let wasm = wat::parse_str(include_str!("../canary.wat")).unwrap();
    assert_eq!(wasm, include_bytes!("../canary.wasm"));
}
