//! Everything that decides what compiled code looks like.
//!
//! A process that compiles and one that runs the code must agree on all of it, or Wasmtime refuses the code. So both begin here, and what
//! concerns running alone (the pool) is added elsewhere.

use std::num::NonZeroUsize;

use wasmtime::{Config, WasmBacktraceDetails};

/// Frames of a guest's stack that a trap shows.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// What code is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// With the component model's async functions and WASI 0.3. A call costs several times as much with them, used or not.
    pub(super) concurrency: bool,
    /// How memories are laid out.
    pub(super) memories: Memories,
}

/// How a guest's memories are laid out in the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memories {
    /// 4 GiB of addresses for each, so that no access needs a check.
    Reserved,
    /// No more addresses than bytes, for processes that may not have so many; every access is checked.
    Tight,
}

impl Target {
    pub(super) fn config(self) -> Config {
        let mut config = Config::new();
        config
            .concurrency_support(self.concurrency)
            .epoch_interruption(true)
            .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
            // By default an environment variable decides whether a guest's debug information, which nobody vouches for, is parsed on a trap.
            .wasm_backtrace_details(WasmBacktraceDetails::Disable);
        if self.memories == Memories::Tight {
            config
                .memory_reservation(0)
                .memory_reservation_for_growth(0)
                .memory_guard_size(0);
        }
        config
    }

    /// As a word on a command line.
    pub(super) fn word(self) -> &'static str {
        match (self.concurrency, self.memories) {
            (false, Memories::Reserved) => "plain",
            (true, Memories::Reserved) => "concurrent",
            (false, Memories::Tight) => "plain-tight",
            (true, Memories::Tight) => "concurrent-tight",
        }
    }

    /// From that word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        let all = [false, true].into_iter().flat_map(|concurrency| {
            [Memories::Reserved, Memories::Tight].map(|memories| Self { concurrency, memories })
        });
        all.into_iter().find(|target| target.word() == word)
    }
}
