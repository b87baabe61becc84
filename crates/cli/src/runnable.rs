//! A component that is to be run: its types at once, and its code when the types are found to be right.

use std::{
    mem,
    num::{NonZeroU32, NonZeroUsize},
    thread,
};

use propeller_host::engine::{CacheConfig, CompileBounds, Compiler, Engine, EngineConfig, EngineError, Prepared};
use propeller_types::Contract;

use crate::{
    component::{Access, Origin, Unread},
    failure::Failure,
    source::Source,
};

/// Of compiled code that's kept between runs.
const CODE_BYTES: u64 = 1 << 30;

/// Composed components have a memory per part, each of which takes the room of one that has one.
const MEMORIES: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// A component, and the engine that it's to run in.
pub struct Runnable {
    component: Unread,
    engine: Engine,
    known: Known,
}

enum Known {
    /// It was compiled before, and its types were kept with its code.
    Code(Prepared),
    /// Its bytes were read for them.
    Types(Contract),
}

impl Runnable {
    /// Gets it, pulled if need be, and its types. At most `instances` of it live at the same time.
    pub async fn load(source: &Source, access: &Access<'_>, instances: NonZeroU32) -> Result<Self, Failure> {
        let component = Unread::load(source, access).await?;
        let engine = engine(access, instances)?;
        let known = match engine.warm(&component.digest).await {
            Some(prepared) => Known::Code(prepared),
            None => Known::Types(component.contract()?),
        };
        Ok(Self {
            component,
            engine,
            known,
        })
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.component.origin
    }

    /// What it can.
    pub fn contract(&self) -> &Contract {
        match &self.known {
            Known::Code(prepared) => prepared.contract(),
            Known::Types(contract) => contract,
        }
    }

    /// Compiles it, unless it is.
    pub async fn prepare(self) -> Result<Prepared, Failure> {
        if let Known::Code(prepared) = self.known {
            return Ok(prepared);
        }
        let Unread { digest, bytes, .. } = self.component;
        let prepared = self.engine.prepare(&digest, bytes).await?;
        tracing::debug!(%digest, "compiled");
        Ok(prepared)
    }
}

fn engine(access: &Access<'_>, instances: NonZeroU32) -> Result<Engine, Failure> {
    let (guest_threads, slots) = match instances {
        // One instance is never in two places. A pool for one has room for the largest component that may run.
        NonZeroU32::MIN => (NonZeroUsize::MIN, instances),
        _ => (
            thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            instances.saturating_mul(MEMORIES),
        ),
    };
    // Every field is said: the default asks the operating system for processors, which takes longer than a call.
    let config = EngineConfig {
        guest_threads,
        // Whoever types waits for it.
        guest_niceness: 0,
        instances: slots,
        shares: NonZeroU32::MIN,
        warm_components: NonZeroUsize::MIN,
        warm_bytes: usize::MAX,
        cache: access.environment.cache(access.args).map(|directory| CacheConfig {
            directory: directory.join("code"),
            max_bytes: CODE_BYTES,
        }),
        compiler: Compiler::this_program(CompileBounds::default()),
    };
    let engine = match Engine::new(config.clone()) {
        Err(EngineError::Cache(error)) => {
            // The first line that a service writes is its URL.
            tracing::info!("compiled code isn't kept: {error}");
            Engine::new(EngineConfig { cache: None, ..config })?
        }
        engine => engine?,
    };
    // It's needed until the process ends, and the kernel takes it apart faster than it would itself, thread by thread.
    mem::forget(engine.clone());
    Ok(engine)
}
