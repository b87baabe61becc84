//! Why a call didn't return a value.

use propeller_api::Memory;
use propeller_types::{ArgsError, FindError};
use serde_json::Value;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{Limits, memory, state::State};

/// Bytes of a message that the guest may have written.
const MESSAGE_BYTES: usize = 256;

/// Bytes of a backtrace that are kept. Names are chosen by the guest, so the number of frames bounds nothing.
const BACKTRACE_BYTES: usize = 4 << 10;

/// Why a call didn't return a value. Each has a stable [`reason`](Self::reason) that the control plane decides by.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvokeError {
    /// The function isn't there, or the name means several.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The arguments don't fit the function.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// The function returned the `err` of its `result`.
    #[error("the function returned an error{}", value.as_ref().map(shown).unwrap_or_default())]
    ErrResult {
        /// The error's value as JSON, if its type has one.
        value: Option<Value>,
    },
    /// The guest did what WebAssembly forbids, or gave up: unreachable code (where panics end), a wild address, a stack that's too deep.
    #[error("the guest failed: {message}")]
    Trap {
        /// What it did.
        message: String,
        /// Where: a line per function, innermost first. Empty if it was no code of the guest's.
        backtrace: Vec<String>,
    },
    /// The guest ended itself with `wasi:cli/exit`, and so without a value.
    #[error("the guest exited with code {code} instead of returning")]
    Exited {
        /// 0 if it meant success.
        code: i32,
    },
    /// The guest failed after it was refused memory.
    #[error("the guest needs more memory than its limit of {}; raise resources.memory", Memory::from_bytes(*limit))]
    OutOfMemory {
        /// Bytes allowed over all its memories and tables.
        limit: u64,
    },
    /// The call took longer than it may.
    #[error("the call did not end within {} s; raise activeDeadlineSeconds", deadline.as_secs_f64())]
    DeadlineExceeded {
        /// How long it may take.
        deadline: std::time::Duration,
    },
    /// The call was stopped from outside.
    #[error("the call was cancelled")]
    Cancelled,
    /// The result is larger than a report carries.
    #[error("the result is larger than {limit} bytes of JSON; return less, or store it and return where")]
    ResultTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The host failed, not the guest: it has no memory or address space left, for instance.
    #[error("the host failed to run the call: {detail}")]
    Host {
        /// What happened.
        detail: String,
    },
}

impl InvokeError {
    /// A stable label for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Find(error) => error.reason(),
            Self::Args(error) => error.reason(),
            Self::ErrResult { .. } => "ErrResult",
            Self::Trap { .. } => "Trap",
            Self::Exited { .. } => "Exited",
            Self::OutOfMemory { .. } => "OutOfMemory",
            Self::DeadlineExceeded { .. } => "DeadlineExceeded",
            Self::Cancelled => "Cancelled",
            Self::ResultTooLarge { .. } => "ResultTooLarge",
            Self::Host { .. } => "HostFailure",
        }
    }

    pub(super) fn host(error: impl std::fmt::Display) -> Self {
        Self::Host {
            detail: clip(format!("{error:#}")),
        }
    }

    /// What an error that Wasmtime gave out of guest code, or for a value from it, means.
    pub(super) fn from_guest(error: &wasmtime::Error, state: &State, limits: &Limits) -> Self {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self::Exited { code: exit.0 };
        }
        let backtrace = error.downcast_ref::<WasmBacktrace>();
        // With guest code on the stack it was an argument to the host that was too much.
        if backtrace.is_none() && is_too_much(error) {
            return Self::ResultTooLarge { limit: limits.result };
        }
        if state.memory.refused() || memory::is_out_of_handles(error) {
            return Self::OutOfMemory { limit: limits.memory };
        }
        Self::Trap {
            message: message(error),
            backtrace: backtrace.map(lines).unwrap_or_default(),
        }
    }

    /// What an error before any call means: memories and tables of their initial size are made then, and start functions run.
    pub(super) fn from_instantiation(error: &wasmtime::Error, state: &State, limits: &Limits) -> Self {
        let guest = error.is::<Trap>() || error.is::<WasmBacktrace>() || error.is::<I32Exit>();
        if guest || state.memory.refused() {
            Self::from_guest(error, state, limits)
        } else {
            Self::host(error)
        }
    }
}

/// Whether a value was more than the host takes at once. Wasmtime has no public type for it; a test holds its words.
fn is_too_much(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

fn message(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => clip(error.root_cause().to_string()),
    }
}

/// An error's value in a message for people; the whole of it is beside the message.
fn shown(value: &Value) -> String {
    clip(format!(": {value}"))
}

/// The start of a text that the guest may have written.
pub(super) fn clip(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
        text.push('…');
    }
    text
}

/// `0: 0x1234 - hoard.wasm!hoard::grab`, a line per frame, after Wasmtime's headline.
fn lines(backtrace: &WasmBacktrace) -> Vec<String> {
    let text = backtrace.to_string();
    let mut room = BACKTRACE_BYTES;
    let fits = |line: &&str| {
        let fits = line.len() <= room;
        room = room.saturating_sub(line.len());
        fits
    };
    text.lines()
        .skip(1)
        .map(str::trim)
        .take_while(fits)
        .map(str::to_owned)
        .collect()
}
