//! Starting, and ending.

use std::{fs, net::TcpListener, path::Path};

use propeller_bus::{Event, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Accounts, Bench, Broker, BrokerConfig, accounts, connected, heard, in_time, next, options, password, peer::Peer,
    publication, publish, refused, start, told,
};
use crate::broker::TlsListener;

#[tokio::test]
async fn a_second_listener_speaks_tls() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificate(directory.path());
    let broker = Broker::start(BrokerConfig {
        tls: Some(tls.clone()),
        ..BrokerConfig::new(directory.path().join("mqtt"), accounts())
    });
    let broker = broker.await.unwrap();
    let port = broker.tls_address().unwrap().port();
    assert_ne!(port, broker.address().port());

    let topic = "m/lab/c/main/control/manager/start/edge-1";
    let (_edge, mut edge) = start(Options {
        broker: format!("mqtts://localhost:{port}").parse().unwrap(),
        ca: Some(tls.certificate.into()),
        ..options(broker.address(), "edge-1", &[topic])
    });
    connected(&mut edge).await;
    let (control, mut events) = start(options(broker.address(), "control", &[]));
    connected(&mut events).await;
    publish(&control, publication(topic, "through TLS")).await;
    assert_eq!(heard(&mut edge).await, "through TLS");
    let ended = broker.ended();
    in_time(broker.stop()).await.unwrap();
    in_time(ended).await;
}

/// Over a bare socket, since the client library misses a DISCONNECT without properties.
#[tokio::test]
async fn it_stops_in_order_while_clients_are_connected() {
    let bench = Bench::new().await;
    let (_publisher, mut control) = bench.session("control", &["m/#"]);
    connected(&mut control).await;
    let address = bench.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&greeting("edge-1")).await.unwrap();
    let mut kind = [0; 2];
    in_time(socket.read_exact(&mut kind)).await.unwrap();
    assert_eq!(kind[0], 0x20, "no CONNACK");
    let mut rest = vec![0; kind[1].into()];
    in_time(socket.read_exact(&mut rest)).await.unwrap();

    in_time(bench.broker.stop()).await.unwrap();
    let mut said = Vec::new();
    in_time(socket.read_to_end(&mut said)).await.unwrap();
    assert_eq!(
        (said[0], said[2]),
        (0xE0, 0x8B),
        "no DISCONNECT with \"server shutting down\": {said:x?}"
    );
    assert!(matches!(next(&mut control).await, Event::Disconnected { .. }));
    TcpListener::bind(address).expect("the port is free again");
}

/// The bytes of a CONNECT of MQTT 5.
fn greeting(user: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05\xc2\0\x3c\0".to_vec();
    for text in [user, user, &password(user)] {
        body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.as_bytes());
    }
    [&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

#[tokio::test]
async fn one_that_is_dropped_ends_by_itself() {
    let bench = Bench::new().await;
    let mut edge = Peer::of(bench.address(), "edge-1").await;
    drop(bench.broker);
    edge.end().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let bench = Bench::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let config = BrokerConfig::new(elsewhere.path(), Accounts::new());
    let second = BrokerConfig {
        bind: bench.address(),
        ..config.clone()
    };
    let error = told(&refused(Broker::start(second).await));
    let expected = format!("cannot listen on {}", bench.address());
    assert!(error.contains(&expected) && error.contains("in use"), "{error}");

    let tls = TlsListener {
        bind: bench.address(),
        ..certificate(elsewhere.path())
    };
    let second = BrokerConfig {
        tls: Some(tls),
        ..config
    };
    let error = told(&refused(Broker::start(second).await));
    assert!(error.contains(&expected) && error.contains("in use"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "in the way").unwrap();
    // Into the last not even root can write.
    for path in [&file, &file.join("below"), Path::new("/proc")] {
        let error = told(&refused(Broker::start(BrokerConfig::new(path, Accounts::new())).await));
        let expected = format!("cannot keep the broker's state in {}", path.display());
        assert!(error.contains(&expected) && error.contains("may write"), "{error}");
    }
}

#[tokio::test]
async fn a_directory_is_one_brokers_at_a_time() {
    let bench = Bench::new().await;
    let directory = bench.directory.path().join("mqtt");
    let second = BrokerConfig::new(&directory, Accounts::new());
    let error = told(&refused(Broker::start(second.clone()).await));
    let expected = format!("{} is already in use", directory.display());
    assert!(error.contains(&expected), "{error}");
    in_time(bench.broker.stop()).await.unwrap();
    Broker::start(second).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = certificate(directory.path());
    let check = async |tls: TlsListener, expected: &str| {
        let config = BrokerConfig {
            tls: Some(tls),
            ..BrokerConfig::new(directory.path().join("mqtt"), Accounts::new())
        };
        let error = told(&refused(Broker::start(config).await));
        assert!(error.contains(expected), "{error}");
    };
    let absent = TlsListener {
        certificate: directory.path().join("absent.pem"),
        ..good.clone()
    };
    check(absent, "cannot read a certificate from").await;
    let swapped = TlsListener {
        key: good.certificate.clone(),
        ..good.clone()
    };
    check(swapped, "cannot read a private key from").await;
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let foreign = TlsListener {
        key: certificate(&other).key,
        ..good
    };
    check(foreign, "does not start").await;
}

/// A listener with a certificate for `localhost`.
fn certificate(directory: &Path) -> TlsListener {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let listener = TlsListener {
        bind: ([127, 0, 0, 1], 0).into(),
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    };
    fs::write(&listener.certificate, issued.cert.pem()).unwrap();
    fs::write(&listener.key, issued.signing_key.serialize_pem()).unwrap();
    listener
}
