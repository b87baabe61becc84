//! Logs on standard error: nothing but warnings unless more is asked for.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, prelude::*};

use crate::args::{Format, Global};

/// Starts logging for this process.
pub fn start(global: &Global) {
    let ours = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        (_, 2) => LevelFilter::DEBUG,
        (_, _) => LevelFilter::TRACE,
    };
    // What libraries say about their work is of use to those who search a fault in it.
    let others = if global.verbose > 2 {
        LevelFilter::DEBUG
    } else {
        LevelFilter::ERROR
    };
    // These say as errors what our own errors say better, and what is tried again.
    let repeats = if global.verbose > 2 { others } else { LevelFilter::OFF };
    let filter = Targets::new()
        .with_default(others)
        .with_target("kube_client", repeats)
        .with_target("rustls_platform_verifier", repeats)
        .with_target("propeller", ours);
    // Where even standard error is gone, there is nobody to tell.
    let logs = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match global.output {
        Format::Json => registry.with(logs.json()).init(),
        _ => {
            let choice = anstream::AutoStream::choice(&io::stderr());
            registry
                .with(logs.with_ansi(choice != anstream::ColorChoice::Never))
                .init();
        }
    }
}
