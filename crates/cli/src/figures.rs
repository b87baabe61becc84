//! What a run used, as `--output json` tells it.

use std::time::Duration;

use propeller_api::Usage;
use propeller_host::engine::Figures;
use serde::Serialize;

/// The figures of one run.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FiguresReport {
    /// Milliseconds from its begin to its end, without loading and compiling, to a microsecond.
    wall_millis: f64,
    /// Milliseconds of processor time.
    cpu_millis: f64,
    /// Most bytes that its memories and tables held together.
    peak_memory_bytes: u64,
    /// Bytes that it was given.
    bytes_in: u64,
    /// Bytes that it gave.
    bytes_out: u64,
}

impl From<Figures> for FiguresReport {
    fn from(figures: Figures) -> Self {
        let millis = |duration: Duration| duration.as_micros() as f64 / 1000.0;
        Self {
            wall_millis: millis(figures.wall),
            cpu_millis: millis(figures.cpu),
            peak_memory_bytes: figures.peak_memory,
            bytes_in: figures.bytes_in,
            bytes_out: figures.bytes_out,
        }
    }
}

/// What a proplet reported, in whole milliseconds.
impl From<Usage> for FiguresReport {
    fn from(usage: Usage) -> Self {
        Self {
            wall_millis: usage.wall_millis as f64,
            cpu_millis: usage.cpu_millis as f64,
            peak_memory_bytes: usage.peak_memory_bytes,
            bytes_in: usage.bytes_in,
            bytes_out: usage.bytes_out,
        }
    }
}
