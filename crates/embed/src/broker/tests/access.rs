//! Who gets in, and who may say and hear what.

use std::{
    io,
    sync::{Arc, Mutex},
};

use propeller_bus::{Event, Options, Refused};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{ConnectReturnCode, LastWill, PubAckReason, SubscribeReasonCode},
};
use tracing::level_filters::LevelFilter;

use super::{
    Bench, Role, SECRET, connected, hash, heard, in_time, next, options, password,
    peer::{Peer, greeting, stranger},
    publication, publish, refused, start,
};

const START: &str = "m/lab/c/main/control/manager/start";
const RESULTS: &str = "m/lab/c/main/control/proplet/results";

#[tokio::test]
async fn nobody_gets_in_without_the_password_of_an_account() {
    let bench = Bench::new().await;
    let mut wrong = stranger(bench.address(), "edge-1");
    wrong.set_credentials("edge-1", password("edge-2"));
    let mut unknown = stranger(bench.address(), "edge-3");
    unknown.set_credentials("edge-3", password("edge-3"));
    let mut empty = stranger(bench.address(), "control");
    empty.set_credentials("control", "");
    for options in [stranger(bench.address(), "control"), wrong, unknown, empty] {
        let code = refused(Peer::connect(options).await);
        assert_eq!(code, ConnectReturnCode::BadUserNamePassword);
    }

    let (_publisher, mut events) = start(Options {
        password: Some("guessed".into()),
        ..options(bench.address(), "control", &[])
    });
    let refused = Event::Refused {
        what: Refused::Connection,
        code: "BadUserNamePassword".to_owned(),
        reason: "bad user name or password".to_owned(),
    };
    assert_eq!(next(&mut events).await, refused);
}

#[tokio::test]
async fn a_proplet_connects_under_its_own_name_only() {
    let bench = Bench::new().await;
    for client in ["edge-2", "control", "edge-1-b", ""] {
        let mut options = stranger(bench.address(), client);
        options.set_credentials("edge-1", password("edge-1"));
        let code = refused(Peer::connect(options).await);
        assert_eq!(code, ConnectReturnCode::ClientIdentifierNotValid, "{client}");
    }
    Peer::of(bench.address(), "edge-1").await;
    let mut console = stranger(bench.address(), "console-7");
    console.set_credentials("control", password("control"));
    Peer::connect(console).await.unwrap();
}

#[tokio::test]
async fn a_proplet_publishes_on_its_own_topics_only() {
    let bench = Bench::new().await;
    let mut control = Peer::of(bench.address(), "control").await;
    assert_eq!(
        control.subscribe("m/#").await,
        SubscribeReasonCode::Success(QoS::AtLeastOnce)
    );
    let mut edge = Peer::of(bench.address(), "edge-1").await;
    for topic in [
        format!("{RESULTS}/edge-2"),
        format!("{RESULTS}/edge-1/more"),
        RESULTS.to_owned(),
        format!("{START}/edge-1"),
        format!("{START}/edge-2"),
        "m/lab/c/main/registry/proplet/edge-2".into(),
        "m/lab/c/main/registry/server/edge-1".into(),
        "elsewhere/edge-1".into(),
    ] {
        assert_eq!(edge.publish(&topic, "no").await, PubAckReason::NotAuthorized, "{topic}");
    }
    for topic in [
        format!("{RESULTS}/edge-1"),
        "m/lab/c/main/control/proplet/alive/edge-1".into(),
        "m/lab/c/main/registry/proplet/edge-1".into(),
    ] {
        assert_eq!(edge.publish(&topic, "yes").await, PubAckReason::Success, "{topic}");
        let message = control.message().await;
        assert_eq!((&*message.topic, &*message.payload), (topic.as_bytes(), &b"yes"[..]));
    }
}

#[tokio::test]
async fn a_proplet_hears_its_own_topics_only() {
    let bench = Bench::new().await;
    let mut edge = Peer::of(bench.address(), "edge-1").await;
    for filter in [
        &format!("{START}/edge-2"),
        &format!("{START}/+"),
        &format!("{START}/#"),
        &format!("{RESULTS}/edge-1"),
        &format!("{RESULTS}/edge-2"),
        "m/lab/c/main/registry/server/edge-2",
        "m/lab/c/main/registry/proplet/edge-1",
        "m/#",
        "#",
        "+/+/+/+/+/+/+/+",
        "$share/all/m/#",
        "$SYS/#",
    ] {
        assert_eq!(
            edge.subscribe(filter).await,
            SubscribeReasonCode::NotAuthorized,
            "{filter}"
        );
    }
    for filter in [
        "m/lab/c/main/control/manager/+/edge-1",
        "m/lab/c/main/registry/server/edge-1",
    ] {
        let code = edge.subscribe(filter).await;
        assert_eq!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce), "{filter}");
    }
    let mut control = Peer::of(bench.address(), "control").await;
    for (topic, payload) in [
        (format!("{START}/edge-2"), "for another"),
        (format!("{START}/edge-1"), "a start"),
        ("m/lab/c/main/registry/server/edge-2".into(), "for another"),
        ("m/lab/c/main/registry/server/edge-1".into(), "a chunk"),
    ] {
        control.publish(&topic, payload).await;
    }
    assert_eq!(&*edge.message().await.payload, b"a start");
    assert_eq!(&*edge.message().await.payload, b"a chunk");
}

#[tokio::test]
async fn a_control_plane_keeps_below_m() {
    let bench = Bench::new().await;
    let mut control = Peer::of(bench.address(), "control").await;
    for filter in ["#", "+/lab", "$SYS/#", "n/#"] {
        assert_eq!(
            control.subscribe(filter).await,
            SubscribeReasonCode::NotAuthorized,
            "{filter}"
        );
    }
    assert_eq!(control.publish("n/lab", "no").await, PubAckReason::NotAuthorized);
}

#[tokio::test]
async fn the_older_protocol_has_the_same_rules() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, SubscribeReasonCode};
    let bench = Bench::new().await;
    let mut control = Peer::of(bench.address(), "control").await;
    control.subscribe("m/#").await;

    let address = bench.address();
    let mut options = MqttOptions::new("edge-1", address.ip().to_string(), address.port());
    options.set_credentials("edge-1", password("edge-1"));
    let (client, mut events) = AsyncClient::new(options, 16);
    client
        .publish(format!("{RESULTS}/edge-2"), QoS::AtLeastOnce, false, "forged")
        .await
        .unwrap();
    client
        .publish(format!("{RESULTS}/edge-1"), QoS::AtLeastOnce, false, "own")
        .await
        .unwrap();
    client.subscribe("m/#", QoS::AtLeastOnce).await.unwrap();
    let answered = async {
        loop {
            if let Event::Incoming(Packet::SubAck(ack)) = events.poll().await.unwrap() {
                return ack.return_codes;
            }
        }
    };
    assert_eq!(in_time(answered).await, [SubscribeReasonCode::Failure]);
    assert_eq!(&*control.message().await.payload, b"own");
}

#[tokio::test]
async fn a_will_keeps_to_the_rules_too() {
    let bench = Bench::new().await;
    let mut control = Peer::of(bench.address(), "control").await;
    control.subscribe("m/#").await;
    let with_will = |topic: &str| {
        let mut options = greeting(bench.address(), "edge-1");
        options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, false, None));
        options
    };
    for topic in [
        "m/lab/c/main/control/proplet/alive/edge-2",
        "m/lab/c/main/control/manager/stop/edge-1",
        "elsewhere",
    ] {
        let code = refused(Peer::connect(with_will(topic)).await);
        assert_eq!(code, ConnectReturnCode::NotAuthorized, "{topic}");
    }
    let own = "m/lab/c/main/control/proplet/alive/edge-1";
    Peer::connect(with_will(own)).await.unwrap().cut();
    let will = control.message().await;
    assert_eq!((&*will.topic, &*will.payload), (own.as_bytes(), &b"gone"[..]));
}

#[tokio::test]
async fn an_account_is_made_while_the_broker_runs() {
    let bench = Bench::new().await;
    refused(Peer::connect(greeting(bench.address(), "edge-9")).await);
    bench
        .accounts
        .add("edge-9", Role::Proplet, hash(&password("edge-9")))
        .unwrap();
    let mut edge = Peer::of(bench.address(), "edge-9").await;
    let taken = edge.publish(&format!("{RESULTS}/edge-9"), "hello").await;
    assert_eq!(taken, PubAckReason::Success);
}

#[tokio::test]
async fn a_revoked_account_is_thrown_out_and_its_session_forgotten() {
    let bench = Bench::new().await;
    let own = format!("{START}/edge-1");
    let (publisher, mut control) = bench.session("control", &["m/lab/c/main/control/proplet/alive/+"]);
    connected(&mut control).await;
    let (edge_publisher, mut edge) = start(Options {
        will: Some(publication("m/lab/c/main/control/proplet/alive/edge-1", "gone")),
        ..options(bench.address(), "edge-1", &[&own])
    });
    connected(&mut edge).await;
    publish(
        &edge_publisher,
        publication("m/lab/c/main/control/proplet/alive/edge-1", "here"),
    )
    .await;
    assert_eq!(heard(&mut control).await, "here");
    let mut other = Peer::of(bench.address(), "edge-2").await;

    assert!(bench.accounts.revoke("edge-1"));
    assert!(matches!(next(&mut edge).await, Event::Disconnected { .. }));
    assert!(matches!(next(&mut edge).await, Event::Refused { .. }));
    edge_publisher.close().await;
    // Nobody else notices, and the will of one that may not speak isn't told.
    assert_ne!(
        other.publish(&format!("{RESULTS}/edge-2"), "x").await,
        PubAckReason::NotAuthorized
    );
    other
        .publish("m/lab/c/main/control/proplet/alive/edge-2", "still here")
        .await;
    assert_eq!(heard(&mut control).await, "still here");

    publish(&publisher, publication(&own, "for the old one")).await;
    bench
        .accounts
        .add("edge-1", Role::Proplet, hash(&password("edge-1")))
        .unwrap();
    let (_publisher, mut edge) = bench.session("edge-1", &[&own]);
    assert!(
        !connected(&mut edge).await,
        "the session of the revoked account is still there"
    );
    let mut witness = Peer::of(bench.address(), "edge-2").await;
    witness.subscribe(&format!("{START}/edge-2")).await;
    publish(&publisher, publication(&own, "for the new one")).await;
    assert_eq!(heard(&mut edge).await, "for the new one");
}

#[tokio::test]
async fn a_changed_password_ends_what_came_in_by_the_old_one() {
    let bench = Bench::new().await;
    let own = format!("{START}/edge-1");
    let (publisher, mut control) = bench.session("control", &[]);
    connected(&mut control).await;
    let mut edge = Peer::connect(persistent(&bench, "edge-1")).await.unwrap();
    edge.subscribe(&own).await;

    bench.accounts.add("edge-1", Role::Proplet, hash("new")).unwrap();
    edge.end().await;
    let code = refused(Peer::connect(persistent(&bench, "edge-1")).await);
    assert_eq!(code, ConnectReturnCode::BadUserNamePassword);
    publish(&publisher, publication(&own, "kept")).await;
    let mut options = persistent(&bench, "edge-1");
    options.set_credentials("edge-1", "new");
    let mut edge = Peer::connect(options).await.unwrap();
    assert_eq!(&*edge.message().await.payload, b"kept");
}

/// The log has all that the tests say from here on.
#[tokio::test]
async fn no_password_gets_into_a_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone());
    subscriber.init();
    let bench = Bench::new().await;
    let mut control = Peer::of(bench.address(), "control").await;
    control.publish("m/x", "x").await;
    let mut wrong = stranger(bench.address(), "a-thief");
    wrong.set_credentials("edge-1", password("guess"));
    refused(Peer::connect(wrong).await);
    bench.accounts.revoke("control");
    control.end().await;
    tracing::info!(?bench.accounts, ?bench.broker, "what we have");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // rumqttc shows the greeting of its user at this level, in its own process.
    let ours: Vec<&str> = text.lines().filter(|line| !line.contains("rumqttc")).collect();
    assert!(
        ours.iter()
            .any(|line| line.contains("doesn't let a client in") && line.contains("a-thief"))
    );
    for secret in [SECRET, "$argon2"] {
        assert!(!ours.iter().any(|line| line.contains(secret)), "{secret} in {ours:#?}");
    }
}

fn persistent(bench: &Bench, user: &str) -> rumqttc::v5::MqttOptions {
    let mut options = greeting(bench.address(), user);
    options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    options
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
