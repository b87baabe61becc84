//! Where a guest's standard output and error go.

use wasmtime_wasi::WasiCtxBuilder;

/// What to do with the bytes that a guest writes to its standard output and error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Forget them.
    #[default]
    Discard,
    /// Write both to this process's standard error: its standard output is for results.
    Stderr,
}

impl Output {
    pub(super) fn connect(self, wasi: &mut WasiCtxBuilder) {
        match self {
            // What the builder does when it isn't told anything.
            Self::Discard => {}
            Self::Stderr => {
                wasi.stdout(std::io::stderr()).inherit_stderr();
            }
        }
    }
}
