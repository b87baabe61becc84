//! A component that is ready, and why another isn't.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use propeller_api::Memory;
use propeller_types::{Contract, ReadError};
use wasmtime::component::{Component, InstancePre};

use crate::engine::{Engine, failure::clip, run::Exports, state::State};

/// A component compiled and linked, without the engine that it belongs to: the engine keeps it, and mustn't keep itself alive by that.
pub(in crate::engine) struct Code {
    pre: InstancePre<State>,
    contract: Contract,
    exports: Exports,
    at_once: u32,
    /// When the disk was told last that it's in use.
    told: Mutex<Instant>,
}

impl Code {
    /// `at_once` of its instances fit into one service's share of the pool.
    pub(super) fn new(pre: InstancePre<State>, contract: Contract, at_once: u32) -> Self {
        Self {
            at_once,
            told: Mutex::new(Instant::now()),
            pre,
            contract,
            exports: Exports::default(),
        }
    }

    /// Whether this hasn't been asked for so long.
    pub(super) fn is_due(&self, pause: Duration) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.elapsed() > pause;
        if is_due {
            *told = Instant::now();
        }
        is_due
    }

    /// Addresses that the code takes, and at most as much memory.
    pub(super) fn bytes(&self) -> usize {
        let range = self.pre.component().image_range();
        range.end.addr().saturating_sub(range.start.addr())
    }
}

/// A component that is ready to be called, any number of times and at the same time.
#[derive(Clone)]
pub struct Prepared {
    engine: Engine,
    code: Arc<Code>,
}

impl Prepared {
    pub(in crate::engine) fn new(engine: Engine, code: Arc<Code>) -> Self {
        Self { engine, code }
    }

    /// The component's world and types.
    pub fn contract(&self) -> &Contract {
        &self.code.contract
    }

    pub(in crate::engine) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(in crate::engine) fn exports(&self) -> &Exports {
        &self.code.exports
    }

    /// The component as Wasmtime has it, with the engine that it was compiled for: for benchmarks, which hold the sandbox against Wasmtime
    /// alone.
    pub fn component(&self) -> &Component {
        self.code.pre.component()
    }

    /// Instances that a service of it may have at once.
    pub(in crate::engine) fn at_once(&self) -> u32 {
        self.code.at_once
    }

    pub(in crate::engine) fn pre(&self) -> &InstancePre<State> {
        &self.code.pre
    }
}

/// The bytes aren't a component that this host can run.
///
/// Everyone who waits for a compilation gets the same error, so it can be cloned. Wasmtime's own errors can't, and are kept as their words.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PrepareError {
    /// Not a component, or an invalid one, or one that uses features that this host has not.
    #[error("cannot compile the component: {detail}")]
    Compile {
        /// What the compiler says.
        detail: String,
    },
    /// Compiling took longer than it may.
    #[error(
        "compiling the component did not end within {} s; make it smaller, or raise the time that compiling may take",
        limit.as_secs_f64()
    )]
    CompileTooLong {
        /// How long it may take.
        limit: Duration,
    },
    /// The compiler was refused memory.
    #[error(
        "compiling the component needs more than {} of memory; make it smaller, or raise what compiling may take",
        Memory::from_bytes(*limit)
    )]
    CompileOutOfMemory {
        /// Bytes that the compiler may have.
        limit: u64,
    },
    /// The compiled code is larger than it may be.
    #[error(
        "the component's compiled code is larger than {}; make it smaller, or raise what code may take",
        Memory::from_bytes(*limit)
    )]
    CodeTooLarge {
        /// Bytes that code may have.
        limit: u64,
    },
    /// The bytes aren't a component, or its types can't be read.
    #[error("cannot read the component's types")]
    Contract(#[source] Arc<ReadError>),
    /// The component has more memories, tables, or instances inside of it than any instance may have.
    #[error("the component is too large to be instantiated: {detail}")]
    TooLarge {
        /// Which limit it exceeds.
        detail: String,
    },
    /// The component imports what this host has not, or has with other types.
    #[error("the component imports `{import}`, which this host does not provide: {detail}")]
    UnknownImport {
        /// Name of the interface or function.
        import: String,
        /// What exactly is missing.
        detail: String,
    },
    /// The host failed, not the component.
    #[error("the host failed to compile the component: {detail}")]
    Host {
        /// What happened.
        detail: String,
    },
}

impl PrepareError {
    /// A stable label for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Contract(error) => error.reason(),
            Self::Compile { .. } => "CompileFailed",
            Self::CompileTooLong { .. } => "CompileTooLong",
            Self::CompileOutOfMemory { .. } => "CompileOutOfMemory",
            Self::CodeTooLarge { .. } => "CompileTooLarge",
            Self::TooLarge { .. } => "ComponentTooLarge",
            Self::UnknownImport { .. } => "UnknownImport",
            Self::Host { .. } => "HostFailure",
        }
    }

    pub(super) fn host(error: impl std::fmt::Display) -> Self {
        Self::Host {
            detail: clip(format!("{error:#}")),
        }
    }
}
