//! The engines of a process: one for what needs WASI 0.3 or async functions, and a faster one for everything else.
//!
//! Support for concurrency makes Wasmtime bookkeep tasks in every call, which takes longer than such a call itself. The linkers differ
//! as well: an engine without it refuses the functions of WASI 0.3. Most processes never need the second engine, so it's made when the
//! first component does.

use std::sync::{Arc, Mutex, PoisonError};

use propeller_types::Contract;
use wasmtime::{Engine, component::Linker};

use super::{
    pool::{self, Share, Slots},
    target::Target,
};
use crate::engine::{
    EngineError, linker,
    state::State,
    ticker::{Activity, Ticker},
};

/// An engine with what it offers to components.
pub(super) struct Home {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    pub(super) target: Target,
    /// Of its pool, for one service.
    pub(super) share: Share,
}

/// One or two [`Home`]s.
pub(super) struct Engines {
    plain: Arc<Home>,
    concurrent: Mutex<Option<Arc<Home>>>,
    slots: Slots,
    ticker: Ticker,
}

impl Engines {
    /// Makes the first engine, with slots for so many instances.
    pub(super) fn start(slots: Slots, activity: Arc<Activity>) -> Result<Self, EngineError> {
        let ticker = Ticker::start(activity)?;
        Ok(Self {
            plain: Arc::new(Home::new(false, slots, &ticker)?),
            concurrent: Mutex::default(),
            slots,
            ticker,
        })
    }

    /// The engine without concurrency.
    pub(super) fn plain(&self) -> &Arc<Home> {
        &self.plain
    }

    /// The engine that this component needs.
    pub(super) fn of(&self, contract: &Contract) -> Result<Arc<Home>, EngineError> {
        if !contract.needs_03() {
            return Ok(self.plain.clone());
        }
        let mut concurrent = self.concurrent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = &*concurrent {
            return Ok(home.clone());
        }
        let home = Arc::new(Home::new(true, self.slots, &self.ticker)?);
        Ok(concurrent.insert(home).clone())
    }
}

impl Home {
    fn new(concurrency: bool, slots: Slots, ticker: &Ticker) -> Result<Self, EngineError> {
        let (engine, target, share) =
            pool::engine(concurrency, slots).map_err(|error| EngineError::Configure(error.into_boxed_dyn_error()))?;
        ticker.add(engine.weak());
        Ok(Self {
            linker: linker::linker(&engine, concurrency)?,
            engine,
            target,
            share,
        })
    }
}
