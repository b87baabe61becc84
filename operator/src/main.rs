//! `propeller-operator`: the control plane on Kubernetes.

use std::{
    error::Error,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use propeller_control::error::chain;
use propeller_operator::{
    crds, kubernetes,
    settings::{Flags, LogFormat, Machine, Settings},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The control plane of Propeller on Kubernetes.
///
/// Watches Tasks and Proplets, resolves components, dispatches over MQTT and records what proplets report. The cluster is that of
/// KUBECONFIG, or the one that it runs in.
///
/// Every setting can be given in the file, in the environment and as a flag; a flag beats the environment, and the environment beats the
/// file. `mqtt.broker` in the file is PROPELLER_OPERATOR_MQTT_BROKER and --mqtt-broker. Registries, with mirrors, certificate authorities
/// and credentials, are set in the file only.
#[derive(Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Command {
    #[command(subcommand)]
    subcommand: Option<Subcommands>,
    #[command(flatten)]
    flags: Flags,
}

const AFTER_HELP: &str = "\
The MQTT password is taken from the file that --mqtt-password-file names, or from PROPELLER_OPERATOR_MQTT_PASSWORD. The level of log \
lines is set by RUST_LOG, as in RUST_LOG=propeller_control=debug.

Exit codes: 0 after an orderly end, 1 when the operator can't start or go on, 2 when a setting is wrong.";

/// A setting is wrong, as with every other program.
const USAGE: u8 = 2;

#[derive(Subcommand)]
enum Subcommands {
    /// Run the operator, as without a subcommand
    Run(Box<Flags>),
    /// Write the custom resource definitions as YAML, one file each
    Crds {
        /// Directory to write to
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let command = Command::parse();
    let done = match command.subcommand {
        Some(Subcommands::Crds { dir }) => write_crds(&dir),
        Some(Subcommands::Run(flags)) => return operate(*flags),
        None => return operate(command.flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref(), ExitCode::FAILURE),
    }
}

fn operate(flags: Flags) -> ExitCode {
    let settings = match Settings::load(flags, Machine::read()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, ExitCode::from(USAGE)),
    };
    start_log(settings.log_format);
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &dyn Error, code: ExitCode) -> ExitCode {
    eprintln!("error: {}", chain(error));
    code
}

fn write_crds(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    for (name, yaml) in crds::files()? {
        let path = dir.join(name);
        fs::write(&path, yaml).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

#[tokio::main]
async fn run(settings: Settings) -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed"))?;
    kubernetes::run(settings, shutdown()?).await
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Cancelled by SIGTERM, which is what a kubelet sends, and by SIGINT.
fn shutdown() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancel = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancel.cancel();
    });
    Ok(token)
}
