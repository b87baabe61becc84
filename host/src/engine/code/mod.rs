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
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use propeller_api::Digest;
use propeller_types::{Contract, lift, outline};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

pub use cache::{CacheConfig, CacheError};
pub use compile::{CompileBounds, Compiler};
pub use compiler::compile_child;
pub(super) use prepared::Code;
pub use prepared::{PrepareError, Prepared};

use super::{EngineConfig, EngineError, executor::Executor, ticker::Activity};
use cache::{Cache, Entry, STALE};
use engines::{Engines, Home};
use lock::Lock;
use shelf::{Found, Ready, Room, Shelf};

/// Compilations at the same moment, beside one that takes long. One alone uses every processor for most of its time; the other lane lets something
/// small pass by something large.
const COMPILATIONS: usize = 1;

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
    /// For what takes long.
    slow: Semaphore,
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
                slow: Semaphore::new(1),
            }),
        })
    }

    /// The component of this digest, made of `bytes` unless it's there already.
    pub(super) async fn prepare(&self, digest: &Digest, bytes: Bytes) -> Result<Arc<Code>, PrepareError> {
        if let Some(Found::Ready(code)) = self.shelf.get(digest) {
            self.works.note_use(digest, &code);
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
        if let Found::Ready(code) = &found {
            self.works.note_use(digest, code);
        }
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
        let turn = self.turns.acquire().await.ok();
        let (contract, component) = blocking(move || read(bytes)).await??;
        let home = self.engines.of(&contract).map_err(PrepareError::host)?;
        let compiled = self.compile(&home, &component, turn).await?;
        let works = self.clone();
        blocking(move || {
            // What can't be linked isn't kept: it would only take the place of what runs.
            let code = load::from_memory(&home, contract.clone(), &compiled)?;
            let mapped = works
                .keep(&digest, &compiled, &component)
                .map(|entry| load::from_file(&home, contract, &entry.file));
            // Mapped, it's memory that the kernel can have back.
            Ok(mapped.and_then(Result::ok).unwrap_or(code))
        })
        .await?
    }

    /// Compiles, and makes way for others if that takes long: a few that take minutes would else hold up all that's new. They take turns of their own,
    /// one at a time. Who finds that one taken begins again when it's free, since a process that waits would hold its memory.
    async fn compile(
        &self,
        home: &Arc<Home>,
        component: &Bytes,
        turn: Option<SemaphorePermit<'_>>,
    ) -> Result<Vec<u8>, PrepareError> {
        let Some(bounds) = self.compiler.bounds() else {
            return self.compiler.compile(home, component.clone()).await;
        };
        {
            let mut compiling = pin!(self.compiler.compile(home, component.clone()));
            match timeout(bounds.quick, compiling.as_mut()).await {
                Ok(compiled) => return compiled,
                Err(_) => {
                    if let Ok(_slow) = self.slow.try_acquire() {
                        drop(turn);
                        return compiling.await;
                    }
                }
            }
        }
        drop(turn);
        let _slow = self.slow.acquire().await;
        self.compiler.compile(home, component.clone()).await
    }

    /// What is in use all the time isn't read from the disk, which would be taken for not being used at all.
    fn note_use(&self, digest: &Digest, code: &Code) {
        if let Some(cache) = &self.cache
            && code.is_due(STALE)
        {
            cache.touch(digest);
        }
    }

    /// Waits until no other process compiles this digest. Whatever goes wrong with that costs a second compilation at most.
    async fn lock(&self, digest: &Digest) -> Alone {
        let Some(cache) = &self.cache else {
            return Alone::AtOnce(None);
        };
        // As long as it may take there. After that, compiling a second time is better than waiting for longer.
        let others = self
            .compiler
            .bounds()
            .map_or(CompileBounds::default().wall, |bounds| bounds.wall);
        let begin = Instant::now();
        let mut waited = false;
        loop {
            match cache.try_lock(digest) {
                Ok(Some(lock)) if waited => return Alone::Later(Some(lock)),
                Ok(Some(lock)) => return Alone::AtOnce(Some(lock)),
                Ok(None) if begin.elapsed() < others => sleep(ASKED).await,
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
        let code = Contract::read(&entry.outline)
            .map_err(|error| PrepareError::Contract(Arc::new(error)))
            .and_then(|contract| {
                let home = self.engines.of(&contract).map_err(PrepareError::host)?;
                load::from_file(&home, contract, &entry.file)
            });
        match &code {
            Ok(_) => {}
            Err(error @ PrepareError::Host { .. }) => tracing::warn!(%digest, %error, "compiled code can't be loaded"),
            Err(error) => cache.discard(digest, error),
        }
        code.ok()
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
