//! From bytes to something that can be instantiated in microseconds.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use propeller_types::{Contract, ReadError, lift};
use tokio::task::{JoinError, JoinHandle};
use wasmtime::component::{Component, InstancePre, Linker};

use super::{Engine, failure::clip, state::State};

/// What comes of a compilation. It has many readers, so both sides are cheap to clone.
pub(super) type Ready = Result<Arc<Code>, PrepareError>;

/// A component compiled and linked, without the engine that it belongs to: the engine keeps it, and mustn't keep itself alive by that.
pub(super) struct Code {
    pub(super) pre: InstancePre<State>,
    pub(super) contract: Contract,
}

/// A component that is ready to be called, any number of times and at the same time.
#[derive(Clone)]
pub struct Prepared {
    engine: Engine,
    code: Arc<Code>,
}

impl Prepared {
    pub(super) fn new(engine: Engine, code: Arc<Code>) -> Self {
        Self { engine, code }
    }

    /// The component's world and types.
    pub fn contract(&self) -> &Contract {
        &self.code.contract
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn pre(&self) -> &InstancePre<State> {
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
    /// The bytes aren't a component, or its types can't be read.
    #[error("cannot read the component's types")]
    Contract(#[source] Arc<ReadError>),
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
            Self::UnknownImport { .. } => "UnknownImport",
            Self::Host { .. } => "HostFailure",
        }
    }
}

/// What waits for a compilation that runs elsewhere.
pub(super) fn flight(compilation: JoinHandle<Result<Ready, JoinError>>) -> BoxFuture<'static, Ready> {
    let host_failed = |failure: JoinError| {
        Err(PrepareError::Host {
            detail: failure.to_string(),
        })
    };
    async move { compilation.await.flatten().unwrap_or_else(host_failed) }.boxed()
}

/// Blocks for as long as the compiler needs: milliseconds to seconds.
pub(super) fn compile(engine: &wasmtime::Engine, linker: &Linker<State>, bytes: &[u8]) -> Ready {
    let bytes = &*lift(bytes).map_err(|error| PrepareError::Contract(Arc::new(error.into())))?;
    let contract = Contract::read(bytes).map_err(|error| PrepareError::Contract(Arc::new(error)))?;
    let component = Component::from_binary(engine, bytes).map_err(|error| PrepareError::Compile {
        detail: clip(format!("{error:#}")),
    })?;
    let pre = linker.instantiate_pre(&component);
    let pre = pre.map_err(|error| unknown_import(&contract, &error))?;
    Ok(Arc::new(Code { pre, contract }))
}

/// Wasmtime says which import it is only in words, so look which of the component's imports those words quote.
fn unknown_import(contract: &Contract, error: &wasmtime::Error) -> PrepareError {
    let words = error.to_string();
    let import = contract
        .import_names()
        .find(|name| words.contains(&format!("`{name}`")));
    let details: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
    PrepareError::UnknownImport {
        import: clip(import.unwrap_or("?").to_owned()),
        detail: clip(details.join(": ")),
    }
}
