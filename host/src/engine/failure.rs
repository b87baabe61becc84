//! Why a run came to nothing.

use propeller_api::Memory;
use propeller_types::{ArgsError, FindError};
use serde_json::Value;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{Limits, memory, state::State};

/// Bytes of a message that the guest may have written.
const MESSAGE_BYTES: usize = 256;

/// Bytes of a backtrace that are kept. Names are chosen by the guest, so the number of frames bounds nothing.
const BACKTRACE_BYTES: usize = 4 << 10;

/// Why a call returned no value, a program didn't end by itself, or a service doesn't serve. Each has a stable [`reason`](Self::reason) that the control plane decides by.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvokeError {
    /// The function isn't there, or the name means several.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The arguments don't fit the function.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// It was to be run as a program.
    #[error("the component is not a program: it doesn't export wasi:cli/run; call one of its functions instead")]
    NotACommand,
    /// It was to serve HTTP.
    #[error(
        "the component is not a service: it exports neither wasi:http/incoming-handler@0.2 nor wasi:http/handler@0.3"
    )]
    NotAService,
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
    /// A request failed after it was refused memory that other requests of its service hold.
    #[error(
        "the service's requests need more memory together than its limit of {}; raise resources.memory",
        Memory::from_bytes(*limit)
    )]
    Crowded {
        /// Bytes allowed over all instances and connections of the service.
        limit: u64,
    },
    /// It took longer than it may.
    #[error("it did not end within {} s", deadline.as_secs_f64())]
    DeadlineExceeded {
        /// How long it may take.
        deadline: std::time::Duration,
    },
    /// It was stopped from outside.
    #[error("it was cancelled")]
    Cancelled,
    /// The result is larger than a report carries.
    #[error("the result is larger than {limit} bytes of JSON; return less, or store it and return where")]
    ResultTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// All instances that the host can have are there already.
    #[error("the host has no room for another instance ({detail}); try again later, or raise the number of instances")]
    Busy {
        /// What there is no more of.
        detail: String,
    },
    /// The host failed, not the guest: it has no memory or address space left, for instance.
    #[error("the host failed to run it: {detail}")]
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
            Self::NotACommand => "NotAProgram",
            Self::NotAService => "NotAService",
            Self::ErrResult { .. } => "ErrResult",
            Self::Trap { .. } => "Trap",
            Self::Exited { .. } => "Exited",
            Self::OutOfMemory { .. } => "OutOfMemory",
            Self::Crowded { .. } => "Crowded",
            Self::DeadlineExceeded { .. } => "DeadlineExceeded",
            Self::Cancelled => "Cancelled",
            Self::ResultTooLarge { .. } => "ResultTooLarge",
            Self::Busy { .. } => "Busy",
            Self::Host { .. } => "HostFailure",
        }
    }

    /// Where the guest was, a line per function, innermost first.
    pub fn backtrace(&self) -> &[String] {
        match self {
            Self::Trap { backtrace, .. } => backtrace,
            _ => &[],
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
        if state.memory.crowded() {
            return Self::Crowded { limit: limits.memory };
        }
        Self::Trap {
            message: message(error),
            backtrace: backtrace.map(lines).unwrap_or_default(),
        }
    }

    /// What an error before any call means: memories and tables of their initial size are made then, and start functions run.
    pub(super) fn from_instantiation(error: &wasmtime::Error, state: &State, limits: &Limits) -> Self {
        let guest = error.is::<Trap>() || error.is::<WasmBacktrace>() || error.is::<I32Exit>();
        if guest || state.memory.refused() || state.memory.crowded() {
            Self::from_guest(error, state, limits)
        } else if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
            let detail = full.to_string();
            Self::Busy { detail }
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
