//! Where components become code: once per digest, however many ask for it, and not for longer than anybody does.
//!
//! ```text
//!  digest ──► shelf ──────────────────────────────────────────────────────────────► Prepared
//!               │ not there                                             ▲ keep
//!             cache on disk ──► outline ──► types ─────────► map ──► link
//!               │ not there                                   ▲ keep
//!             bytes ──► door ──► types ──► which engine ──► compile, in a child process
//! ```
//!
//! All below the shelf is a *flight*: one piece of work that everyone who wants its digest waits for. What compiles runs on threads of its own, so it
//! makes progress whoever waits and whatever guests do; when the last of them goes away it's dropped, and what it started ends with it.

mod cache;
mod child;
mod compile;
mod compiler;
mod engines;
mod load;
mod lock;
mod pool;
mod prepared;
mod seal;
mod shelf;
mod sweep;
mod target;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use propeller_api::Digest;
use propeller_types::{Contract, lift, outline};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

pub use cache::{CacheConfig, CacheError};
pub use compile::{CompileBounds, Compiler};
pub use compiler::compile_child;
pub(super) use prepared::Code;
pub use prepared::{PrepareError, Prepared};

use super::{EngineConfig, EngineError, executor::Executor, ticker::Activity};
use cache::{Cache, Entry};
use engines::Engines;
use lock::Lock;
use shelf::{Found, Ready, Room, Shelf};

/// Compilations at the same moment. One alone uses every processor for most of its time; a second one lets something small pass by
/// something large.
const COMPILATIONS: usize = 2;

/// How long the compilation of the same digest by another process is waited for. It takes a few seconds; whatever that process does instead,
/// compiling a second time is better than waiting for longer.
const OTHERS: Duration = Duration::from_secs(30);

/// How often another process is asked whether it's done.
const ASKED: Duration = Duration::from_millis(20);

/// Why a flight brought nothing.
#[derive(Debug, Clone)]
pub(super) enum Miss {
    /// It was only to look into the cache.
    NotCached,
    /// The component can't be run.
    Failed(PrepareError),
}

/// Makes components ready and keeps them so.
pub(super) struct Foundry {
    works: Arc<Works>,
    shelf: Shelf,
    /// For what compiles. Most processes find all their code on disk, so it's started when it's needed.
    executor: OnceLock<Executor>,
}

/// What flights work with.
struct Works {
    engines: Engines,
    cache: Option<Cache>,
    compiler: Compiler,
    turns: Semaphore,
}

impl Foundry {
    /// `activity` is that of the threads on which guests run.
    pub(super) fn start(config: EngineConfig, activity: Arc<Activity>) -> Result<Self, EngineError> {
        let slots = pool::Slots {
            instances: config.instances,
            shares: config.shares,
        };
        let engines = Engines::start(slots, activity)?;
        let open = |cache| Cache::open(cache, &engines.plain().engine);
        Ok(Self {
            shelf: Shelf::new(Room {
                components: config.warm_components,
                bytes: config.warm_bytes,
            }),
            executor: OnceLock::new(),
            works: Arc::new(Works {
                cache: config.cache.map(open).transpose()?,
                engines,
                compiler: config.compiler,
                turns: Semaphore::new(COMPILATIONS),
            }),
        })
    }

    /// The component of this digest, made of `bytes` unless it's there already.
    pub(super) async fn prepare(&self, digest: &Digest, bytes: Bytes) -> Result<Arc<Code>, PrepareError> {
        if let Some(Found::Ready(code)) = self.shelf.get(digest) {
            return Ok(code);
        }
        let executor = self.executor()?;
        loop {
            let found = self.shelf.get_or_start(digest, || {
                let (works, digest, bytes) = (self.works.clone(), digest.clone(), bytes.clone());
                fly(executor, async move {
                    works.make(digest, bytes).await.map_err(Miss::Failed)
                })
            });
            match self.land(digest, found).await {
                Ok(code) => return Ok(code),
                Err(Miss::Failed(error)) => return Err(error),
                // It was the flight of somebody who had no bytes.
                Err(Miss::NotCached) => {}
            }
        }
    }

    /// The component of this digest if it's ready, being made so, or on disk.
    pub(super) async fn find(&self, digest: &Digest) -> Option<Arc<Code>> {
        // A file is read and mapped: a thread of the caller's runtime is blocked by that, but not for long.
        let look = || {
            let (works, digest) = (self.works.clone(), digest.clone());
            let found = works.find(digest);
            async move { found.await.ok_or(Miss::NotCached) }.boxed()
        };
        let found = match &self.works.cache {
            Some(_) => self.shelf.get_or_start(digest, look),
            None => self.shelf.get(digest)?,
        };
        self.land(digest, found).await.ok()
    }

    /// Waits for what was found, and keeps what comes of it.
    async fn land(&self, digest: &Digest, found: Found) -> Ready {
        let flight = match found {
            Found::Ready(code) => return Ok(code),
            Found::Flying(flight) => flight,
        };
        match flight.clone().await {
            Ok(code) => {
                self.shelf.keep(digest, &code);
                Ok(code)
            }
            Err(miss) => {
                self.shelf.forget(digest, &flight);
                Err(miss)
            }
        }
    }

    fn executor(&self) -> Result<&Executor, PrepareError> {
        if let Some(executor) = self.executor.get() {
            return Ok(executor);
        }
        let started = Executor::for_code().map_err(PrepareError::host)?;
        // Somebody else may have been faster. Then that one is taken, and this one ends.
        Ok(self.executor.get_or_init(|| started))
    }
}

/// Work that ends when it's dropped.
fn fly(executor: &Executor, work: impl Future<Output = Ready> + Send + 'static) -> BoxFuture<'static, Ready> {
    let flight = AbortOnDropHandle::new(executor.handle().spawn(work));
    let died = |error| Err(Miss::Failed(PrepareError::host(error)));
    async move { flight.await.unwrap_or_else(died) }.boxed()
}

impl Works {
    /// From the disk.
    async fn find(self: Arc<Self>, digest: Digest) -> Option<Arc<Code>> {
        self.cache.as_ref()?;
        blocking(move || self.load(&digest)).await.ok()?
    }

    /// From the disk, or from the bytes.
    async fn make(self: Arc<Self>, digest: Digest, bytes: Bytes) -> Result<Arc<Code>, PrepareError> {
        if let Some(code) = self.clone().find(digest.clone()).await {
            return Ok(code);
        }
        let _lock = match self.lock(&digest).await {
            Alone::AtOnce(lock) => lock,
            Alone::Later(lock) => match self.clone().find(digest.clone()).await {
                Some(code) => return Ok(code),
                None => lock,
            },
        };
        // Fails only if somebody closed the semaphore, and nobody does.
        let _turn = self.turns.acquire().await;
        let (contract, component) = blocking(move || read(bytes)).await??;
        let home = self.engines.of(&contract).map_err(PrepareError::host)?;
        let compiled = self.compiler.compile(&home, component.clone()).await?;
        let works = self.clone();
        blocking(move || match works.keep(&digest, &compiled, &component) {
            Some(entry) => load::from_file(&home, contract, &entry.path),
            None => load::from_memory(&home, contract, &compiled),
        })
        .await?
    }

    /// Waits until no other process compiles this digest. Whatever goes wrong with that costs a second compilation at most.
    async fn lock(&self, digest: &Digest) -> Alone {
        let Some(cache) = &self.cache else {
            return Alone::AtOnce(None);
        };
        let begin = Instant::now();
        let mut waited = false;
        loop {
            match cache.try_lock(digest) {
                Ok(Some(lock)) if waited => return Alone::Later(Some(lock)),
                Ok(Some(lock)) => return Alone::AtOnce(Some(lock)),
                Ok(None) if begin.elapsed() < OTHERS => sleep(ASKED).await,
                Ok(None) => return Alone::Later(None),
                Err(error) => {
                    tracing::warn!(%digest, %error, "cannot see whether another process compiles this");
                    return Alone::AtOnce(None);
                }
            }
            waited = true;
        }
    }

    fn load(&self, digest: &Digest) -> Option<Arc<Code>> {
        let cache = self.cache.as_ref()?;
        let entry = cache.find(digest)?;
        let contract = Contract::read(&entry.outline).map_err(|error| error.to_string());
        let code = contract.and_then(|contract| {
            let home = self.engines.of(&contract).map_err(|error| error.to_string())?;
            load::from_file(&home, contract, &entry.path).map_err(|error| error.to_string())
        });
        code.inspect_err(|error| cache.discard(digest, error)).ok()
    }

    /// Puts code into the cache. A disk that is full, for instance, is no reason not to run what was compiled.
    fn keep(&self, digest: &Digest, compiled: &[u8], component: &[u8]) -> Option<Entry> {
        let cache = self.cache.as_ref()?;
        let kept = cache.keep(digest, compiled, outline(component)?);
        kept.inspect_err(|error| tracing::warn!(%digest, %error, "compiled code isn't kept on disk"))
            .ok()
    }
}

/// Nobody else compiles the digest, as far as can be known.
enum Alone {
    AtOnce(Option<Lock>),
    /// Another process did, and may have put it into the cache.
    Later(Option<Lock>),
}

/// Runs something that takes milliseconds or more on a thread that nothing else waits for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PrepareError> {
    spawn_blocking(work).await.map_err(PrepareError::host)
}

/// Through the door, where a core module becomes a component.
fn read(bytes: Bytes) -> Result<(Contract, Bytes), PrepareError> {
    let failed = |error| PrepareError::Contract(Arc::new(error));
    let component = match lift(&bytes).map_err(|error| failed(error.into()))? {
        Cow::Owned(component) => Bytes::from(component),
        Cow::Borrowed(_) => bytes.clone(),
    };
    Ok((Contract::read(&component).map_err(failed)?, component))
}
