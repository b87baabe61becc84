//! The brain as a whole, with a store in memory, a bus of channels and paused time.

mod delivery;
pub(crate) mod fixtures;
mod fleet;
mod resolving;
mod restored;
mod services;
mod store;
mod trouble;
mod world;
