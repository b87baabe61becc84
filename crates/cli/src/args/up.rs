//! `propeller up`: its flags and help.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, ValueHint};
use propeller_bus::BrokerUrl;

use super::KeyValue;

const API: SocketAddr = at(7770);
const MQTT: SocketAddr = at(1883);
const REGISTRY: SocketAddr = at(5000);

const fn at(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// `propeller up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything runs in this one process, and is reachable from this machine only unless an address says otherwise. What is acknowledged is on disk: \
kill it at any moment, start it again, and every task goes on. Ctrl-C and SIGTERM let the tasks of the local proplet finish; a second one doesn't.

The other commands find it by what it writes to ~/.local/state/propeller/server.json, which only you can read. \
Of several, they find the one that was there first.

Examples:
  propeller up
  propeller up --mqtt mqtts://mqtt.lab --mqtt-username control --mqtt-password-file password --no-proplet
  propeller up --proplet-config proplet.toml")]
pub struct Up {
    /// Directory for the state [default: ~/.local/state/propeller/up]
    #[arg(long, value_name = "DIR", env = "PROPELLER_STATE_DIR", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// Where the API and the web page are served; port 0 is one that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = API)]
    pub listen: SocketAddr,
    /// Go on with what can be read of a damaged state, and keep the damaged file beside it
    #[arg(long)]
    pub repair: bool,
    /// The message bus.
    #[command(flatten)]
    pub mqtt: MqttArgs,
    /// Where components are.
    #[command(flatten)]
    pub components: ComponentArgs,
    /// Who runs them.
    #[command(flatten)]
    pub proplet: PropletArgs,
    /// Configuration file with mirrors, CAs and credentials of registries [default: ~/.config/propeller/config.toml if there is one]
    #[arg(long, value_name = "FILE", env = "PROPELLER_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// The message bus.
#[derive(Debug, Args)]
#[command(next_help_heading = "Message bus")]
pub struct MqttArgs {
    /// Where the embedded broker listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = MQTT)]
    pub mqtt_listen: SocketAddr,
    /// Where the embedded broker listens for devices, with TLS, such as 0.0.0.0:8883 [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "mqtt")]
    pub mqtts_listen: Option<SocketAddr>,
    /// What devices know this machine by: a name or an address [default: its host name]
    #[arg(long, value_name = "HOST", requires = "mqtts_listen")]
    pub host: Option<String>,
    /// Use this broker in place of the embedded one: mqtt://HOST[:1883] or mqtts://HOST[:8883]
    #[arg(long, value_name = "URL", conflicts_with = "mqtt_listen")]
    pub mqtt: Option<BrokerUrl>,
    /// User name at that broker
    #[arg(long, value_name = "NAME", requires = "mqtt")]
    pub mqtt_username: Option<String>,
    /// File with the password for that broker
    #[arg(long, value_name = "FILE", requires = "mqtt", value_hint = ValueHint::FilePath)]
    pub mqtt_password_file: Option<PathBuf>,
    /// PEM file of the certificate authorities to trust for that broker [default: the system's]
    #[arg(long, value_name = "FILE", requires = "mqtt", value_hint = ValueHint::FilePath)]
    pub mqtt_ca: Option<PathBuf>,
}

/// Where components are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Components")]
pub struct ComponentArgs {
    /// Where the embedded registry listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = REGISTRY)]
    pub registry_listen: SocketAddr,
    /// Start no registry: components are in others, such as this one
    #[arg(long = "registry", value_name = "HOST[:PORT]", conflicts_with = "registry_listen")]
    pub other_registry: Option<String>,
}

/// Who runs them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Local proplet")]
pub struct PropletArgs {
    /// Start no proplet here
    #[arg(long)]
    pub no_proplet: bool,
    /// A label of the local proplet. Can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", conflicts_with = "no_proplet")]
    pub labels: Vec<KeyValue>,
    /// TOML file with settings of the local proplet, such as its labels and `[policy]`
    #[arg(long, value_name = "FILE", conflicts_with = "no_proplet", value_hint = ValueHint::FilePath)]
    pub proplet_config: Option<PathBuf>,
}
