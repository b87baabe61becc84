//! The door: a core module becomes a component, so that there is one kind of thing behind it.
//!
//! The outcome depends on the module's bytes alone. So the control plane, which only reads types, and the host, which
//! runs the code, see the same component; digests remain those of the bytes that came in.
//!
//! | A core module | becomes a component that exports |
//! |---|---|
//! | with a `component-type` section, as `wit-bindgen` and its like leave one | the world that the section describes |
//! | that exports `_start`: a program for WASI preview 1 | `wasi:cli/run`, and its functions as below |
//! | that exports functions of numbers | those functions |
//!
//! Behind an import of `wasi_snapshot_preview1` goes Wasmtime's adapter: the one for commands where the module exports
//! `_start`, else the one for reactors. No other import is possible without a section that describes it.
//!
//! # Functions of numbers
//!
//! A function with up to 16 parameters and at most one result is lifted as it is: `i32` is `s32`, `i64` is `s64`, floats
//! are floats. Core types have no sign. Signed is what people mean most often (`int`, Go's `int64`, AssemblyScript's `i32`),
//! and -1 shows as -1; a `u32` beyond 2^31 is passed as the negative number with the same bits.
//!
//! Names become WIT's kebab-case: `add_two`, `addTwo` and `main.add-two` are `add-two`, `add-two` and `main-add-two`. Two
//! names that become one are refused. Parameters have the names that the `name` section gives them, if it names all of
//! them and no two alike, else `p0`, `p1` and so on.
//!
//! What toolchains export beside isn't lifted: names that begin with an underscore or with `cabi_`, `asyncify_`,
//! `emscripten_` or `stack` and a capital letter, and `malloc`, `calloc`, `realloc` and `free` if they take and give what
//! C's do. `_initialize` is called once, before the first call. Memories, tables and globals aren't seen from outside.

mod encode;
mod error;
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
    if survey.describes_world {
        return encode::component(bytes, &survey).map(Cow::Owned);
    }
    survey.check_imports()?;
    let module = flat::describe(bytes, &survey)?;
    encode::component(&module, &survey).map(Cow::Owned)
}
