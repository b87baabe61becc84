//! Flags, and the environment variables that stand for them.

use std::{collections::BTreeSet, ffi::OsString, num::NonZeroU32, path::PathBuf};

use clap::{CommandFactory, Parser, ValueEnum};
use propeller_api::PropletId;
use serde::Deserialize;

use super::{
    groups::{
        ArtifactFlags, CapacityFlags, EngineFlags, HttpFlags, MqttFlags, ServiceFlags, TaskFlags, TelemetryFlags,
    },
    settings::PASSWORD_VARIABLE,
};

/// Runs WebAssembly components on this machine, as a Propeller control plane asks over MQTT.
///
/// Every setting can be given in the file, in the environment and as a flag; a flag beats the environment, and the environment beats the
/// file. `mqtt.broker` in the file is PROPLET_MQTT_BROKER and --mqtt-broker. Registries, with mirrors, certificate authorities and
/// credentials, and what tasks may be granted (`[policy]`) are set in the file only.
///
/// SIGTERM and SIGINT let running tasks finish for --drain-seconds; a second one ends the proplet at once.
#[derive(Debug, Default, Parser)]
#[command(name = "proplet", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Flags {
    /// TOML file with settings.
    #[arg(long, value_name = "FILE", env = "PROPLET_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// File that `propeller proplet add` wrote for this device: identity, broker, secret. What the other settings say is stronger
    #[arg(long, value_name = "FILE", env = "PROPLET_JOIN", hide_env_values = true)]
    pub join: Option<PathBuf>,
    /// Identity: MQTT client id, user name and last level of every topic. 1 to 63 of a-z, 0-9 and - [default: the host name]
    #[arg(long, env = "PROPLET_ID", hide_env_values = true)]
    pub id: Option<PropletId>,
    /// A label for the Proplet resource that may be made for this proplet. Can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", env = "PROPLET_LABELS", hide_env_values = true, value_delimiter = ',', value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Directory for the journal and the artifact cache, of this proplet alone [default: /var/lib/proplet for root, else below
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIRECTORY", env = "PROPLET_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// Seconds between heartbeats [default: 10]
    #[arg(
        long,
        value_name = "SECONDS",
        env = "PROPLET_HEARTBEAT_SECONDS",
        hide_env_values = true
    )]
    pub heartbeat_seconds: Option<NonZeroU32>,
    /// Seconds that running tasks have to finish when the proplet is asked to end [default: 30]
    #[arg(long, value_name = "SECONDS", env = "PROPLET_DRAIN_SECONDS", hide_env_values = true)]
    pub drain_seconds: Option<u32>,
    /// How log lines look [default: text]
    #[arg(long, value_name = "FORMAT", env = "PROPLET_LOG_FORMAT", hide_env_values = true)]
    pub log_format: Option<LogFormat>,
    /// What the session with the broker needs.
    #[command(flatten, next_help_heading = "Message bus")]
    pub mqtt: MqttFlags,
    /// What is announced.
    #[command(flatten, next_help_heading = "Capacity")]
    pub capacity: CapacityFlags,
    /// What one task gets.
    #[command(flatten, next_help_heading = "Tasks")]
    pub task: TaskFlags,
    /// Where services listen.
    #[command(flatten, next_help_heading = "Services")]
    pub service: ServiceFlags,
    /// What is fetched.
    #[command(flatten, next_help_heading = "Artifacts")]
    pub artifacts: ArtifactFlags,
    /// How guests run.
    #[command(flatten, next_help_heading = "Engine")]
    pub engine: EngineFlags,
    /// Health and metrics.
    #[command(flatten, next_help_heading = "Health and metrics")]
    pub http: HttpFlags,
    /// Traces.
    #[command(flatten, next_help_heading = "Telemetry")]
    pub telemetry: TelemetryFlags,
}

const AFTER_HELP: &str = "\
The MQTT password is taken from the file that --mqtt-password-file names, or from PROPLET_MQTT_PASSWORD. The level of log lines is set \
by RUST_LOG, as in RUST_LOG=propeller_host=debug.

Exit codes: 0 after an orderly end, 1 when the proplet can't start or go on, 2 when a setting is wrong, 130 when a second signal cut the \
end short.";

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For log collectors: an object per line.
    Json,
}

impl Flags {
    /// The variables that look like ours and aren't: misspelt, most likely.
    ///
    /// They are no error, since Kubernetes gives every pod such variables (`PROPLET_SERVICE_HOST`) when a service is called `proplet`.
    pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
        let command = Self::command();
        let known = command
            .get_arguments()
            .filter_map(|argument| argument.get_env()?.to_str());
        let known: BTreeSet<&str> = known.chain([PASSWORD_VARIABLE]).collect();
        let ours = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| name.starts_with("PROPLET_"));
        ours.filter(|name| !known.contains(name.as_str())).collect()
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
