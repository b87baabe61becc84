//! `propeller proplet`: its flags and help.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::ArgValueCompleter;
use propeller_api::PropletId;
use propeller_bus::BrokerUrl;

use super::{KeyValue, ServerArgs};
use crate::control::names;

/// `propeller proplet`.
#[derive(Debug, Args)]
pub struct PropletCommand {
    /// What to do.
    #[command(subcommand)]
    pub verb: PropletVerb,
}

/// What is done with a proplet.
#[derive(Debug, Subcommand)]
pub enum PropletVerb {
    /// Let a device in: its Proplet, its credentials, and the one file that it needs
    Add(Box<AddProplet>),
    /// Let a device in no more: its Proplet goes, and its credentials with it
    Remove(RemoveProplet),
}

/// `propeller proplet add`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file has a secret in it that is told nowhere else: it is written for you alone to read, and belongs on the device, where \
`proplet --join FILE` reads it.

With `propeller up`, the credentials are those of its embedded broker, which must listen for devices (`propeller up --mqtts-listen 0.0.0.0:8883`). \
With another broker, `--broker` says where devices find it, and `--mosquitto` keeps its files: `passwords`, to which the device is added, and `acl`, \
which holds each device to its own topics. Mosquitto reads them with `password_file` and `acl_file`, and again on SIGHUP. With `--kube`, the file \
also becomes the Secret `proplet-NAME`, with the key `join.toml`, for a proplet in a pod.

Examples:
  propeller proplet add edge-1 --label site=lab
  propeller proplet add edge-1 --kube --broker mqtts://mqtt.lab --ca lab-ca.pem --mosquitto /etc/mosquitto")]
pub struct AddProplet {
    /// Its identity: 1 to 63 of a-z, 0-9 and -
    #[arg(value_name = "NAME")]
    pub name: PropletId,
    /// A label of its Proplet, if that isn't there yet. Can be repeated
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE")]
    pub labels: Vec<KeyValue>,
    /// File to write [default: NAME.join.toml]
    #[arg(long = "to", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Give it other credentials; those that it has are worth nothing then
    #[arg(long)]
    pub replace: bool,
    /// A broker that isn't `propeller up`'s.
    #[command(flatten)]
    pub broker: OtherBroker,
    /// Where it is to appear.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A broker that isn't `propeller up`'s.
#[derive(Debug, Args)]
#[command(next_help_heading = "Another broker")]
pub struct OtherBroker {
    /// Where devices find it: mqtts://HOST[:8883] or mqtt://HOST[:1883]
    #[arg(long, value_name = "URL", required_if_eq("kube", "true"))]
    pub broker: Option<BrokerUrl>,
    /// PEM file of the certificate authorities that devices are to trust [default: the system's]
    #[arg(long, value_name = "FILE", requires = "broker", value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
    /// Directory of Mosquitto's files `passwords` and `acl`, made if they aren't there
    #[arg(long, value_name = "DIR", requires = "broker", value_hint = ValueHint::DirPath)]
    pub mosquitto: Option<PathBuf>,
}

/// `propeller proplet remove`.
#[derive(Debug, Args)]
pub struct RemoveProplet {
    /// Its name
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(names::proplets))]
    pub name: PropletId,
    /// Directory of Mosquitto's files, from which it is taken too
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub mosquitto: Option<PathBuf>,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}
