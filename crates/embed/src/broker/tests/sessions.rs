//! What the broker keeps, and passes on.

use propeller_bus::{Event, Options, Publication};
use propeller_protocol::MAX_MESSAGE_BYTES;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use std::time::Duration;

use super::{Bench, connected, heard, in_time, next, options, peer::Peer, publication, publish, start};

const TOPIC: &str = "m/lab/c/main/control/manager/start/edge-1";
const ALIVE: &str = "m/lab/c/main/control/proplet/alive/edge-1";

#[tokio::test]
async fn a_message_comes_with_its_properties_and_its_sender() {
    let bench = Bench::new().await;
    let mut edge = Peer::of(bench.address(), "edge-1").await;
    edge.subscribe(TOPIC).await;
    let mut control = Peer::of(bench.address(), "control").await;
    let properties = PublishProperties {
        message_expiry_interval: Some(60),
        correlation_data: Some("42".into()),
        user_properties: [("a", "b"), ("x-mqtt-sender", "somebody else")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..PublishProperties::default()
    };
    control.publish_with(TOPIC, "a start", properties).await;

    let message = edge.message().await;
    let got = message.properties.unwrap();
    assert_eq!(&*message.payload, b"a start");
    assert!(
        got.message_expiry_interval.is_some_and(|left| (1..=60).contains(&left)),
        "{got:?}"
    );
    assert_eq!(got.correlation_data.as_deref(), Some(&b"42"[..]));
    let property = |key: &str| {
        let all: Vec<&str> = got
            .user_properties
            .iter()
            .filter(|pair| pair.0 == key)
            .map(|pair| &*pair.1)
            .collect();
        all.join(",")
    };
    assert_eq!(
        (property("a"), property("x-mqtt-sender")),
        ("b".into(), "control".into())
    );
}

#[tokio::test]
async fn who_was_away_gets_what_was_said_meanwhile() {
    let bench = Bench::new().await;
    let (edge, mut events) = bench.session("edge-1", &[TOPIC]);
    assert!(!connected(&mut events).await);
    let (control, mut witness) = bench.session("control", &[TOPIC]);
    connected(&mut witness).await;
    publish(&control, publication(TOPIC, "0")).await;
    assert_eq!(heard(&mut events).await, "0");

    edge.close().await;
    let with_expiry = Publication {
        expiry: Some(Duration::from_secs(60)),
        ..publication(TOPIC, "1")
    };
    publish(&control, with_expiry).await;
    publish(&control, publication(TOPIC, "2")).await;
    let (_edge, mut events) = bench.session("edge-1", &[TOPIC]);
    assert!(connected(&mut events).await);
    let mut first = heard(&mut events).await;
    if first == "0" {
        // Its acknowledgement was still on the way when the session ended.
        first = heard(&mut events).await;
    }
    assert_eq!((first, heard(&mut events).await), ("1".into(), "2".into()));
}

#[tokio::test]
async fn sessions_and_their_messages_last_over_a_restart() {
    let bench = Bench::new().await;
    let (edge, mut events) = bench.session("edge-1", &[TOPIC]);
    connected(&mut events).await;
    edge.close().await;
    let (control, mut witness) = bench.session("control", &["m/+/c/+/control/proplet/+/+"]);
    connected(&mut witness).await;
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for payload in &expected {
        control.publish(publication(TOPIC, payload)).await.unwrap();
    }
    in_time(control.flush()).await.unwrap();

    let bench = bench.restart().await;
    assert!(
        connected(&mut witness).await,
        "the broker has forgotten a session that it served to the end"
    );
    let (edge, mut events) = bench.session("edge-1", &[TOPIC]);
    assert!(connected(&mut events).await, "the broker has forgotten a session");
    for payload in expected {
        assert_eq!(heard(&mut events).await, payload);
    }
    publish(&edge, publication(ALIVE, "back")).await;
    assert_eq!(heard(&mut witness).await, "back");
}

#[tokio::test]
async fn what_is_retained_lasts_over_a_restart() {
    let bench = Bench::new().await;
    let (edge, mut events) = bench.session("edge-1", &[]);
    connected(&mut events).await;
    let retained = |payload| Publication {
        retain: true,
        ..publication(ALIVE, payload)
    };
    publish(&edge, retained("first")).await;
    publish(&edge, retained("last")).await;
    edge.close().await;
    let bench = bench.restart().await;
    let (_control, mut events) = bench.session("control", &["m/+/c/+/control/proplet/alive/+"]);
    connected(&mut events).await;
    let payload = "last".into();
    let topic = ALIVE.to_owned();
    let retain = true;
    assert_eq!(next(&mut events).await, Event::Message { topic, payload, retain });
}

#[tokio::test]
async fn a_will_is_told_after_a_cut_and_kept_for_who_comes_later() {
    let bench = Bench::new().await;
    let (_control, mut control) = bench.session("control", &["m/+/c/+/control/proplet/alive/+"]);
    connected(&mut control).await;
    let with_will = |payload| Options {
        will: Some(Publication {
            retain: true,
            ..publication(ALIVE, payload)
        }),
        ..options(bench.address(), "edge-1", &[])
    };
    let (publisher, mut events) = start(with_will("never told"));
    connected(&mut events).await;
    publisher.close().await;

    let mut cut = super::peer::greeting(bench.address(), "edge-1");
    let will =
        rumqttc::v5::mqttbytes::v5::LastWill::new(ALIVE, "gone", rumqttc::v5::mqttbytes::QoS::AtLeastOnce, true, None);
    cut.set_last_will(will);
    Peer::connect(cut).await.unwrap().cut();
    assert_eq!(heard(&mut control).await, "gone");
    let (_late, mut late) = start(Options {
        client_id: "late".into(),
        ..options(bench.address(), "control", &["m/+/c/+/control/proplet/alive/+"])
    });
    assert_eq!(heard(&mut late).await, "gone");
}

#[tokio::test]
async fn the_largest_message_gets_through() {
    let bench = Bench::new().await;
    let (_edge, mut events) = bench.session("edge-1", &[TOPIC]);
    connected(&mut events).await;
    let (control, mut up) = bench.session("control", &[]);
    connected(&mut up).await;
    let large = "x".repeat(MAX_MESSAGE_BYTES);
    publish(&control, publication(TOPIC, &large)).await;
    assert_eq!(heard(&mut events).await.len(), MAX_MESSAGE_BYTES);
}
