//! What a component offers and what it can be called with, read from its bytes without an engine.
//!
//! Two things live here, and both sides of Propeller use them: the control plane to check a call before any proplet is
//! bothered, the host to make it.
//!
//! ```text
//! bytes ── lift ──► component bytes
//!
//! component bytes ── Contract::read ──► imports, exports, functions ── find(FunctionRef) ──► Function ── check_args
//!
//! JSON arguments ─────────────────────────── json::args_to_values ──► WIT values ──► json::from_value ──► JSON result
//! WAVE call ── wave::Call ── its JSON arguments ──┘                        └───────► wave::to_string  ──► WAVE result
//! ```
//!
//! The mapping is generic over the traits of [`wasm_wave::wasm`], so that `wasm_wave::value::Value` here and
//! `wasmtime::component::Val` in the host can't disagree: [`json`] has the table of forms.
//!
//! Bytes, names and arguments all come from outside. Nothing here compiles, runs, reads a file or panics, and what is
//! read or built is bounded: contracts in bytes, types by [`MAX_TYPE_WEIGHT`], values by the length of the arguments,
//! messages by a line or two.

mod args;
mod contract;
mod decode;
mod door;
mod error;
mod example;
mod find;
mod function;
mod function_ref;
pub mod json;
mod outline;
mod schema;
mod text;
pub mod wave;
mod wit_type;

pub use contract::{Contract, Export, Import, Kind, Origin, Wasi};
pub use door::{LiftError, lift};
pub use error::{ArgsError, ReadError, UnsupportedValue};
pub use find::FindError;
pub use function::{Function, Param};
pub use function_ref::{FunctionRef, InvalidFunctionRef};
pub use outline::outline;
pub use wit_type::{MAX_TYPE_WEIGHT, WitType};
