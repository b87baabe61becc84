//! The door: a core module becomes a component, so that there is one kind of thing behind it.
//!
//! The outcome depends on the module's bytes alone. So the control plane, which only reads types, and the host, which
//! runs the code, see the same component; digests remain those of the bytes that came in.
//!
//! Users read about it in `docs/modules.md`, which is this:
//!
#![doc = include_str!("../../../docs/modules.md")]

mod encode;
mod error;
mod exit;
mod flat;
mod names;
mod survey;

use std::borrow::Cow;

pub use error::LiftError;
use survey::Survey;

/// The component that `bytes` stand for: the bytes themselves, unless they are a core module.
///
/// What isn't WebAssembly at all passes too: [`Contract::read`](crate::Contract::read) says so.
///
/// # Errors
///
/// [`LiftError`] if a core module is invalid, or has imports or exports that no component can have.
pub fn lift(bytes: &[u8]) -> Result<Cow<'_, [u8]>, LiftError> {
    if !wasmparser::Parser::is_core_wasm(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let survey = Survey::of(bytes)?;
    let mut module = Cow::Borrowed(bytes);
    if !survey.describes_world {
        survey.check_imports()?;
        module = Cow::Owned(flat::describe(bytes, &survey)?);
    }
    if survey.exits {
        module = Cow::Owned(exit::with_code(&module)?);
    }
    encode::component(&module, &survey).map(Cow::Owned)
}
