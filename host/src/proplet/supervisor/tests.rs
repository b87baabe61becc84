//! Attempts that run, without a ledger that says what is to be done with them.

use std::{net::Ipv4Addr, time::Duration};

use propeller_api::Digest;
use propeller_artifact::{Client, ClientConfig};
use propeller_delivery::reason;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    engine::{Engine, EngineConfig, Means, Policy},
    proplet::{config::ServiceSettings, gate::Rules, limits::tests as limits, logs, metrics::Metrics},
};

const PATIENCE: Duration = Duration::from_secs(60);
const PROMPTLY: Duration = Duration::from_secs(1);

/// What spins needs no memory, and is warm: nothing is fetched.
async fn spinning(uids: &[(&str, u32)]) -> (Supervisor, TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineConfig::default()).unwrap();
    let spin = wat::parse_str(
        r#"(component
            (core module $m (func (export "f") (loop $again (br $again))))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    );
    let digest = Digest::from_sha256([7; 32]);
    engine.prepare(&digest, spin.unwrap()).await.unwrap();
    // It fails if another test was first, with the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut supervisor = Supervisor::new(Workshop {
        engine,
        artifacts: Client::new(ClientConfig::new(scratch.path())).unwrap(),
        room: Room::new(1 << 20),
        settings: limits::settings(),
        service: ServiceSettings {
            address: Ipv4Addr::LOCALHOST.into(),
            host: "localhost".to_owned(),
        },
        rules: Arc::new(Rules {
            policy: Policy::default(),
            means: Means::system(),
        }),
        logs: mpsc::channel(logs::QUEUE).0,
        metrics: Metrics::default(),
    });
    for (uid, attempt) in uids {
        let mut start = limits::start(uid);
        start.attempt.attempt = *attempt;
        start.component = digest.clone();
        supervisor.run(Box::new(start));
    }
    (supervisor, scratch)
}

/// Which attempt ended, and why.
async fn ended(supervisor: &mut Supervisor) -> (String, String) {
    match supervisor.news().await {
        News::Ended(attempt, Outcome::Failed { failure, .. }) => (attempt.to_string(), failure.reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stop_ends_what_runs_of_the_task_up_to_its_attempt() {
    let (mut supervisor, _scratch) = spinning(&[("a", 1), ("a", 2), ("a", 3), ("b", 1)]).await;
    let early = timeout(Duration::from_millis(50), supervisor.news()).await;
    assert!(early.is_err(), "they spin");
    let Start {
        controller,
        attempt: mut last,
        ..
    } = limits::start("a");
    last.attempt = 2;
    supervisor.stop(&"another".parse().unwrap(), &last);
    let early = timeout(Duration::from_millis(50), supervisor.news()).await;
    assert!(early.is_err(), "another control plane's stop ends nothing");
    supervisor.stop(&controller, &last);
    let mut stopped = Vec::new();
    for _ in 0..2 {
        let (attempt, reason) = timeout(PROMPTLY, ended(&mut supervisor)).await.unwrap();
        assert_eq!(reason, reason::CANCELLED, "{attempt}");
        stopped.push(attempt);
    }
    stopped.sort();
    assert_eq!(stopped, ["default/addition#1", "default/addition#2"]);
    assert_eq!(supervisor.running(), 2);
    supervisor.interrupt();
    let (_, reason) = timeout(PATIENCE, ended(&mut supervisor)).await.unwrap();
    assert_eq!(reason, reason::INTERRUPTED);
}
