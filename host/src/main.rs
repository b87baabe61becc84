//! `proplet`: reads its settings, sets up logging and TLS, and runs.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use propeller_host::{
    engine::compile_child,
    proplet::{Ended, Flags, LogFormat, Machine, Proplet, Settings, signals},
};
use tracing_subscriber::EnvFilter;

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
    set_up_logs(settings.log_format);
    for variable in Flags::unknown_variables(env::vars_os().map(|(name, _)| name)) {
        tracing::warn!(variable, "this environment variable sets nothing: is it misspelt?");
    }
    match run(settings) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Forced) => ExitCode::from(FORCED),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<Ended> {
    // It fails only if there is one already, and nobody else is here to install one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(async {
        let signals = signals()?;
        Ok(Proplet::start(settings)?.run(signals).await?)
    });
    // Not dropped: that would wait for file operations that nobody needs any more.
    runtime.shutdown_background();
    ended
}

fn set_up_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().init(),
    }
}
