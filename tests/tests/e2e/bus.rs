//! The MQTT session that control plane and proplet share, against a real broker that goes away and comes back.

use std::{collections::BTreeSet, future::pending, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use propeller_bus::{Event, Events, Options, Publication, Publisher, Qos, Subscription, connect};
use propeller_tests::{Mosquitto, PATIENCE, Program, Spy, mosquitto::Access, scratch};
use rustix::process::Signal;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_session_comes_back_whether_or_not_the_broker_remembers_it() -> Result<()> {
    let mut broker = Mosquitto::start(Access::Anyone).await?;
    let (_publisher, mut events) = start(options(broker.addr()))?;
    assert!(!connected(&mut events).await?);

    broker.kill()?;
    broker.start_again().await?;
    assert!(!connected(&mut events).await?, "a killed broker has lost its sessions");
    hears(&mut events, &broker, "after the kill").await?;

    broker.restart().await?;
    assert!(
        connected(&mut events).await?,
        "a broker that was stopped in order has kept its sessions"
    );
    hears(&mut events, &broker, "after the restart").await
}

#[tokio::test]
async fn what_is_published_while_the_broker_is_away_arrives_in_order() -> Result<()> {
    let mut broker = Mosquitto::start(Access::Anyone).await?;
    let receiver = Options {
        client_id: "receiver".into(),
        ..options(broker.addr())
    };
    let (_receiver, mut received) = start(receiver)?;
    let (publisher, mut events) = start(options(broker.addr()))?;
    connected(&mut received).await?;
    connected(&mut events).await?;

    broker.stop().await?;
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for payload in &expected {
        publisher.publish(publication("m/in", payload)).await?;
    }
    assert!(!publisher.is_empty());
    broker.start_again().await?;
    timeout(PATIENCE, publisher.flush()).await??;
    assert_eq!(messages(&mut received, expected.len()).await?, expected);
    Ok(())
}

/// So do brokers that know only an older MQTT.
#[tokio::test]
async fn a_broker_that_hangs_up_without_an_answer_is_said_to_need_mqtt_5() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let broker = format!("mqtt://{}", listener.local_addr()?);
    let hang_up = async {
        loop {
            let (mut stream, _) = listener.accept().await?;
            ensure!(stream.read(&mut [0; 1024]).await? > 0, "no CONNECT");
        }
    };
    let proplet = Program::new("proplet").await?;
    let state = proplet.folder().join("state");
    let proplet = proplet
        .args(["--id", "edge-1", "--mqtt-broker", &broker, "--state-dir"])
        .arg(state);
    tokio::select! {
        hung_up = hang_up => hung_up,
        said = proplet.start("it must speak MQTT 5") => said.map(drop),
    }
}

/// The client library drops what wasn't acknowledged when the broker doesn't know the session any more.
#[tokio::test]
async fn what_a_dying_broker_did_not_acknowledge_is_published_again() -> Result<()> {
    let mut broker = Mosquitto::start(Access::Anyone).await?;
    let (publisher, mut events) = start(options(broker.addr()))?;
    connected(&mut events).await?;

    broker.process()?.signal(Signal::STOP)?;
    for number in 0..100 {
        let retained = Publication {
            retain: true,
            ..publication(&format!("m/kept/{number}"), "kept")
        };
        publisher.publish(retained).await?;
    }
    broker.kill()?;
    broker.start_again().await?;
    timeout(PATIENCE, publisher.flush()).await??;
    assert!(!connected(&mut events).await?);

    let spy = Spy::connect(broker.addr(), "m/kept/+").await?;
    for number in 0..100 {
        let topic = format!("m/kept/{number}");
        spy.wait_for_message(&topic, |message| message.topic == topic).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_consumer_that_stands_still_loses_nothing_and_holds_nobody_up() -> Result<()> {
    let broker = Mosquitto::start(Access::Anyone).await?;
    let (publisher, mut events) = start(options(broker.addr()))?;
    connected(&mut events).await?;
    let spy = Spy::connect(broker.addr(), "m/out").await?;

    let expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    for payload in &expected {
        spy.publish("m/in", payload.as_str()).await?;
    }
    publisher.publish(publication("m/out", "meanwhile")).await?;
    spy.wait_for_message("what is published meanwhile", |message| message.payload == b"meanwhile")
        .await?;
    assert_eq!(messages(&mut events, expected.len()).await?, expected);
    Ok(())
}

#[tokio::test]
async fn the_will_is_told_after_a_cut_and_not_after_a_goodbye() -> Result<()> {
    let broker = Mosquitto::start(Access::Anyone).await?;
    let spy = Spy::connect(broker.addr(), "m/#").await?;
    let with_will = |payload: &str| Options {
        will: Some(publication("m/will", payload)),
        ..options(broker.addr())
    };

    let (publisher, mut events) = start(with_will("after a goodbye"))?;
    connected(&mut events).await?;
    publisher.publish(publication("m/last", "")).await?;
    publisher.flush().await?;
    publisher.close().await;
    assert_eq!(next_but_messages(&mut events).await?, None);
    publisher
        .publish(publication("m/last", ""))
        .await
        .expect_err("the session was closed");
    ensure!(!publisher.offer(publication("m/last", "")));

    let cut_off = with_will("after a cut");
    let cut = || {
        let runtime = Runtime::new()?;
        // Kept until the runtime is gone: a session whose ends are dropped says goodbye.
        let session = runtime.block_on(async {
            let mut session = start(cut_off)?;
            connected(&mut session.1).await?;
            anyhow::Ok(session)
        });
        runtime.shutdown_timeout(PATIENCE);
        session.map(drop)
    };
    spawn_blocking(cut).await??;
    let will = spy
        .wait_for_message("a will", |message| message.topic == "m/will")
        .await?;
    assert_eq!(will.payload, b"after a cut");
    Ok(())
}

#[tokio::test]
async fn whoever_uses_the_same_client_id_takes_the_session_over() -> Result<()> {
    let broker = Mosquitto::start(Access::Anyone).await?;
    let (_first, mut first) = start(options(broker.addr()))?;
    connected(&mut first).await?;
    let (_second, mut second) = start(options(broker.addr()))?;
    assert!(connected(&mut second).await?);
    let event = next_but_messages(&mut first).await?;
    ensure!(
        matches!(event, Some(Event::TakenOver | Event::Disconnected { .. })),
        "{event:?}"
    );
    Ok(())
}

/// Mosquitto 2.0.11 ends such a connection without a word, so this broker is made of bytes.
#[tokio::test]
async fn a_broker_that_tells_of_a_takeover_is_understood_and_left_alone() -> Result<()> {
    const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
    const SESSION_TAKEN_OVER: [u8; 4] = [0xe0, 2, 0x8e, 0];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (_publisher, mut events) = start(options(listener.local_addr()?))?;
    let (mut connection, _) = listener.accept().await?;
    connection
        .write_all(&[&CONNACK[..], &SESSION_TAKEN_OVER].concat())
        .await?;
    assert!(!connected(&mut events).await?);
    assert_eq!(next_but_messages(&mut events).await?, Some(Event::TakenOver));
    ensure!(
        timeout(Duration::from_secs(2), listener.accept()).await.is_err(),
        "it is back already"
    );
    Ok(())
}

#[tokio::test]
async fn what_the_broker_refuses_is_told_and_ends_nothing() -> Result<()> {
    let access = Access::Accounts {
        control: ("control", "secret"),
        proplets: &[("edge-1", "one")],
    };
    let broker = Mosquitto::start(access).await?;
    let spy = Spy::connect_as(broker.addr(), Some(("control", "secret")), "m/#").await?;
    let account = |password: &str| Options {
        username: Some("edge-1".into()),
        password: Some(password.into()),
        subscriptions: vec![],
        ..options(broker.addr())
    };

    let (_stranger, mut events) = start(account("guess"))?;
    for _ in 0..2 {
        let event = next_but_messages(&mut events).await?;
        ensure!(
            matches!(&event, Some(Event::Refused { reason, .. }) if reason.contains("password")),
            "{event:?}"
        );
    }

    let (publisher, mut events) = start(account("one"))?;
    connected(&mut events).await?;
    publisher
        .publish(publication("m/d/c/c/control/proplet/results/edge-2", "for another"))
        .await?;
    publisher
        .publish(publication("m/d/c/c/control/proplet/results/edge-1", "its own"))
        .await?;
    timeout(PATIENCE, publisher.flush()).await??;
    spy.wait_for_message("its own message", |message| message.payload == b"its own")
        .await?;
    assert_eq!(spy.messages().len(), 1, "spoke for another");
    assert_eq!(refused(&mut events).await?, ("publication", "NotAuthorized".to_owned()));
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_for_the_broker_is_told_and_holds_nothing_up() -> Result<()> {
    let broker = Mosquitto::start(Access::Limited("max_packet_size 2000")).await?;
    let (publisher, mut events) = start(options(broker.addr()))?;
    connected(&mut events).await?;
    let large = "x".repeat(3000);
    publisher.publish(publication("m/in", &large)).await?;
    publisher.publish(publication("m/in", "small")).await?;
    timeout(PATIENCE, publisher.flush()).await??;
    assert_eq!(
        refused(&mut events).await?,
        ("publication", "PacketTooLarge".to_owned())
    );
    publisher.offer(publication("m/in", &large));
    assert_eq!(
        refused(&mut events).await?,
        ("publication", "PacketTooLarge".to_owned())
    );
    Ok(())
}

/// Mosquitto answers no publication with a QoS of 1 so: what is beyond the queue of a subscriber it drops, and says nothing. Others do.
#[tokio::test]
async fn a_quota_that_is_exceeded_is_told() -> Result<()> {
    const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
    const SUBACK: [u8; 6] = [0x90, 4, 0, 1, 0, 0x97];
    const PUBACK: [u8; 6] = [0x40, 4, 0, 2, 0x97, 0];
    const DISCONNECT: [u8; 4] = [0xe0, 2, 0x97, 0];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (publisher, mut events) = start(options(listener.local_addr()?))?;
    publisher.publish(publication("m/out", "over the quota")).await?;
    let (mut connection, _) = listener.accept().await?;
    connection.write_all(&CONNACK).await?;
    assert!(!connected(&mut events).await?);
    until_heard(&mut connection, b"over the quota").await?;
    connection.write_all(&[&SUBACK[..], &PUBACK].concat()).await?;
    let quota = || "QuotaExceeded".to_owned();
    assert_eq!(refused(&mut events).await?, ("subscription", quota()));
    assert_eq!(refused(&mut events).await?, ("publication", quota()));
    assert!(publisher.is_empty(), "it's done with");
    connection.write_all(&DISCONNECT).await?;
    assert_eq!(refused(&mut events).await?, ("connection", quota()));
    let event = next_but_messages(&mut events).await?;
    ensure!(
        matches!(&event, Some(Event::Disconnected { reason }) if reason.contains("QuotaExceeded")),
        "{event:?}"
    );
    Ok(())
}

/// Until those bytes have come in on the connection.
async fn until_heard(connection: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut heard = Vec::new();
    let hear = async {
        while !heard.windows(bytes.len()).any(|window| window == bytes) {
            ensure!(connection.read_buf(&mut heard).await? > 0, "the session has ended");
        }
        Ok(())
    };
    timeout(PATIENCE, hear).await?
}

/// What the broker refuses next, and its answer.
async fn refused(events: &mut Events) -> Result<(&'static str, String)> {
    match next_but_messages(events).await? {
        Some(Event::Refused { what, code, .. }) => Ok((what.label(), code)),
        other => bail!("{other:?} instead of a refusal"),
    }
}

#[tokio::test]
async fn tls_trusts_the_configured_authority_only() -> Result<()> {
    let broker = Mosquitto::start(Access::Anyone).await?;
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)?;
    let port = terminate_tls(TlsAcceptor::from(Arc::new(config)), broker.addr()).await?;

    let folder = scratch::folder("bus")?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certificate.cert.pem())?;
    let secure = Options {
        broker: format!("mqtts://localhost:{port}").parse()?,
        ..options(broker.addr())
    };
    let (_publisher, mut events) = start(Options {
        ca: Some(ca.clone().into()),
        ..secure.clone()
    })?;
    connected(&mut events).await?;
    hears(&mut events, &broker, "through TLS").await?;

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&ca, other.cert.pem())?;
    let stranger = Options {
        ca: Some(ca.clone().into()),
        client_id: "stranger".into(),
        ..secure.clone()
    };
    let (publisher, mut events) = start(stranger)?;
    ensure!(
        timeout(Duration::from_secs(2), events.next()).await.is_err(),
        "trusted a stranger"
    );
    publisher.close().await;

    std::fs::write(&ca, "no certificate")?;
    let error = start(Options {
        ca: Some(ca.into()),
        ..secure
    })
    .err()
    .context("accepted an empty file")?;
    assert!(
        error.to_string().contains("no usable certificate authorities"),
        "{error}"
    );
    Ok(())
}

/// A session that hears `m/in`.
fn options(broker: SocketAddr) -> Options {
    let subscription = |filter: &str| Subscription {
        filter: filter.to_owned(),
        qos: Qos::AtLeastOnce,
    };
    Options {
        broker: format!("mqtt://{broker}")
            .parse()
            .expect("an address and a port make a URL"),
        client_id: "bus".into(),
        username: None,
        password: None,
        ca: None,
        keep_alive: Duration::from_secs(5),
        session_expiry: Duration::from_secs(3600),
        max_packet_bytes: 1 << 20,
        will: None,
        subscriptions: vec![subscription("m/in"), subscription("m/also/+")],
    }
}

fn start(options: Options) -> Result<(Publisher, Events)> {
    Ok(connect(options, CancellationToken::new())?)
}

fn publication(topic: &str, payload: &str) -> Publication {
    Publication {
        topic: topic.to_owned(),
        payload: payload.to_owned().into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expiry: None,
    }
}

/// Waits for the next time that the session is up, and says whether the broker had kept it.
async fn connected(events: &mut Events) -> Result<bool> {
    loop {
        match next_but_messages(events).await? {
            Some(Event::Connected { session_present }) => return Ok(session_present),
            Some(_) => {}
            None => anyhow::bail!("the session has ended"),
        }
    }
}

async fn next_but_messages(events: &mut Events) -> Result<Option<Event>> {
    loop {
        let event = timeout(PATIENCE, events.next()).await.context("nothing happens")?;
        if !matches!(event, Some(Event::Message { .. })) {
            return Ok(event);
        }
    }
}

/// Checks that the session is subscribed to both of its filters.
async fn hears(events: &mut Events, broker: &Mosquitto, payload: &str) -> Result<()> {
    let spy = Spy::connect(broker.addr(), "nothing").await?;
    for topic in ["m/in", "m/also/this"] {
        spy.publish(topic, payload).await?;
        // Messages from before may come again.
        while messages(events, 1).await? != [payload] {}
    }
    Ok(())
}

/// Waits for that many different messages, and returns their payloads in the order in which they first came. One of QoS 1 may come twice.
async fn messages(events: &mut Events, count: usize) -> Result<Vec<String>> {
    let (mut seen, mut payloads) = (BTreeSet::new(), Vec::new());
    while payloads.len() < count {
        let event = timeout(PATIENCE, events.next()).await;
        let event = event.with_context(|| format!("no more messages after {}", payloads.len()))?;
        if let Event::Message { topic, payload, .. } = event.context("the session has ended")? {
            let payload = String::from_utf8(payload.into())?;
            if seen.insert((topic, payload.clone())) {
                payloads.push(payload);
            }
        }
    }
    Ok(payloads)
}

/// Serves TLS on a free port, and passes on what comes to `target`. It ends with the test's runtime.
async fn terminate_tls(acceptor: TlsAcceptor, target: SocketAddr) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut broker = TcpStream::connect(target).await?;
                copy_bidirectional(&mut stream, &mut broker).await
            });
        }
        pending::<()>().await
    });
    Ok(port)
}
