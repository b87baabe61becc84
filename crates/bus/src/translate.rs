//! Our words in the client library's.

use std::time::Duration;

use rumqttc::{
    NetworkOptions, Transport,
    v5::{
        MqttOptions,
        mqttbytes::{
            QoS,
            v5::{ConnectProperties, ConnectReturnCode, Filter, LastWill, PublishProperties},
        },
    },
};
use secrecy::ExposeSecret;

use crate::{Options, Publication, Qos, Subscription};

/// For name lookup, TCP, TLS and the broker's answer together.
const CONNECT_SECONDS: u64 = 10;
/// The library asserts it.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(crate) struct Bounds {
    /// QoS 1 messages that the broker sends ahead of our acknowledgements.
    pub(crate) incoming: u16,
    /// QoS 1 publications that we send ahead of the broker's.
    pub(crate) outgoing: u16,
}

pub(crate) fn connect(options: &Options, transport: Transport, bounds: &Bounds) -> MqttOptions {
    let Options { broker, client_id, .. } = options;
    let mut mqtt = MqttOptions::new(client_id, broker.host(), broker.port());
    mqtt.set_transport(transport)
        .set_keep_alive(keep_alive(options))
        .set_clean_start(false)
        .set_manual_acks(true)
        .set_connection_timeout(CONNECT_SECONDS)
        .set_outgoing_inflight_upper_limit(bounds.outgoing)
        .set_connect_properties(ConnectProperties {
            session_expiry_interval: Some(seconds(options.session_expiry)),
            receive_maximum: Some(bounds.incoming),
            max_packet_size: Some(options.max_packet_bytes),
            ..ConnectProperties::new()
        });
    // Without it, every small packet may wait for the acknowledgement of the one before.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    if let Some(username) = &options.username {
        let password = options.password.as_ref().map(ExposeSecret::expose_secret);
        mqtt.set_credentials(username, password.unwrap_or_default());
    }
    if let Some(Publication {
        topic,
        payload,
        qos: level,
        retain,
        ..
    }) = &options.will
    {
        mqtt.set_last_will(LastWill::new(topic, payload.to_vec(), qos(*level), *retain, None));
    }
    mqtt
}

pub(crate) fn keep_alive(options: &Options) -> Duration {
    options.keep_alive.max(SHORTEST_KEEP_ALIVE)
}

pub(crate) fn filter(subscription: &Subscription) -> Filter {
    Filter::new(&subscription.filter, qos(subscription.qos))
}

pub(crate) fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}

pub(crate) fn properties(expiry: Option<Duration>) -> PublishProperties {
    PublishProperties {
        message_expiry_interval: expiry.map(seconds),
        ..PublishProperties::default()
    }
}

/// Why the broker refused the connection, and what to do about it.
pub(crate) fn refusal(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword => "bad user name or password".to_owned(),
        ConnectReturnCode::NotAuthorized => "not authorized: check user name, password and client id".to_owned(),
        code => format!("{code:?}"),
    }
}

/// Whole seconds, and at least one: to MQTT, an expiry of zero seconds is another thing.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
}
