//! `proplet`: reads its settings, sets up logging and TLS, and runs.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use propeller_host::{
    engine::compile_child,
    proplet::{Ended, Flags, LogFormat, Machine, Proplet, Settings, Telemetry, TelemetryError, signals},
};
use tracing_subscriber::{EnvFilter, Layer, filter::FilterExt, layer::SubscriberExt, util::SubscriberInitExt};

/// A setting is wrong, as with every other program.
const USAGE: u8 = 2;
/// What a shell says of a program that a signal ended.
const FORCED: u8 = 130;

fn main() -> ExitCode {
    if let Some(exit) = compile_child(env::args_os()) {
        return exit;
    }
    let settings = match Settings::load(Flags::parse(), Machine::read()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("proplet: {:#}", anyhow::Error::from(error));
            return ExitCode::from(USAGE);
        }
    };
    // It fails only if there is one already, and nobody else is here to install one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let telemetry = match set_up(&settings) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("proplet: {:#}", anyhow::Error::from(error));
            return ExitCode::from(USAGE);
        }
    };
    for variable in Flags::unknown_variables(env::vars_os().map(|(name, _)| name)) {
        tracing::warn!(variable, "this environment variable sets nothing: is it misspelt?");
    }
    let ended = run(settings);
    telemetry.flush();
    match ended {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Forced) => ExitCode::from(FORCED),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Runtime::new()?;
    let proplet = async {
        let signals = signals()?;
        Ok(Proplet::start(settings)?.run(signals).await?)
    };
    // On a thread of the runtime, not on this one: what the loop and the session with the broker hand each other then seldom wakes another thread.
    let ended = runtime.block_on(async { tokio::spawn(proplet).await? });
    // Not dropped: that would wait for file operations that nobody needs any more.
    runtime.shutdown_background();
    ended
}

/// Logs, and traces if they are wanted.
fn set_up(settings: &Settings) -> Result<Telemetry, TelemetryError> {
    let telemetry = Telemetry::new(settings)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let logs = match settings.log_format {
        LogFormat::Text => logs.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => logs.json().boxed(),
    };
    let logs = logs.with_filter(filter.and(Telemetry::not_spans()));
    tracing_subscriber::registry().with(telemetry.layer()).with(logs).init();
    Ok(telemetry)
}
