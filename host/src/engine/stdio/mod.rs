//! Where a guest's standard input comes from, and its standard output and error go.
//!
//! What both generations of WASI write ends in the same place, in the order in which it was written. Nothing here makes a guest wait for
//! whoever reads: lines that nobody takes are dropped, and how many that were is said in their place.

mod counted;
mod lines;
mod sink;
mod split;

use wasmtime_wasi::WasiCtxBuilder;

pub use lines::{Line, LineLimits, LineReader, Lines, Stream, lines};

use super::traffic::Traffic;
use counted::Counted;
use sink::Sink;

/// What a guest's three standard streams are connected to.
#[derive(Debug, Clone, Default)]
pub enum Stdio {
    /// No input, and output is forgotten.
    #[default]
    Discard,
    /// This process's own three, unbuffered, as for any program that is started in a terminal. A write waits for whoever reads them, and holds
    /// one of the engine's threads until then, so this is for a process that runs nothing else.
    Inherit,
    /// No input, and both outputs go to this process's standard error: its standard output is for results. A write waits as for `Inherit`.
    Stderr,
    /// No input, and both outputs are taken as lines, within bounds.
    Lines(Lines),
}

impl Stdio {
    pub(super) fn connect(&self, wasi: &mut WasiCtxBuilder, traffic: &Traffic) {
        let counted_stderr = || Counted::new(std::io::stderr(), traffic);
        match self {
            // What the builder does when it isn't told anything.
            Self::Discard => {}
            Self::Inherit => {
                wasi.stdin(Counted::new(wasmtime_wasi::cli::stdin(), traffic))
                    .stdout(Counted::new(std::io::stdout(), traffic))
                    .stderr(counted_stderr());
            }
            Self::Stderr => {
                wasi.stdout(counted_stderr()).stderr(counted_stderr());
            }
            Self::Lines(lines) => {
                wasi.stdout(Sink::new(lines, Stream::Stdout, traffic)).stderr(Sink::new(
                    lines,
                    Stream::Stderr,
                    traffic,
                ));
            }
        }
    }
}
