//! From compiled code to something that can be instantiated in microseconds.
//!
//! The only place where compiled code, which the processor will run as it is, comes in. Wasmtime looks at its headers and believes the rest.

use std::{path::Path, sync::Arc};

use propeller_types::Contract;
use wasmtime::component::Component;

use super::{Code, PrepareError, engines::Home};
use crate::engine::failure::clip;

/// Memories of one component, as in the pool. Without a pool somebody must count them too.
const MEMORIES: u32 = 64;

/// Code in memory, which was compiled for this engine just now.
pub(super) fn from_memory(home: &Home, contract: Contract, code: &[u8]) -> Result<Arc<Code>, PrepareError> {
    #[allow(unsafe_code, reason = "Wasmtime runs what it's given")]
    // SAFETY: the bytes come from `compile`, which is this program's own compiler, here or in a child process, through memory and a pipe that
    // nobody else can reach.
    let component = unsafe { Component::deserialize(&home.engine, code) };
    link(home, contract, component)
}

/// Code in a file of the cache, which is mapped.
pub(super) fn from_file(home: &Home, contract: Contract, file: &Path) -> Result<Arc<Code>, PrepareError> {
    #[allow(
        unsafe_code,
        reason = "Wasmtime runs what it's given, and maps the file as long as the code lives"
    )]
    // SAFETY: the caller has read the file through and found it sealed by the key of this cache, so it is what this program's own compiler
    // wrote. It is in a directory that only this user can write to, where no program changes a file: files are put in place whole, by
    // rename, and removed, neither of which changes what is mapped.
    let component = unsafe { Component::deserialize_file(&home.engine, file) };
    link(home, contract, component)
}

/// Whatever Wasmtime doesn't like of code that was compiled for it, it's that the pool has no slot for it.
fn link(home: &Home, contract: Contract, component: wasmtime::Result<Component>) -> Result<Arc<Code>, PrepareError> {
    let component = component.map_err(|error| PrepareError::TooLarge {
        detail: clip(format!("{error:#}")),
    })?;
    let memories = component.resources_required().map_or(0, |needs| needs.num_memories);
    if memories > MEMORIES {
        let detail = format!("it has {memories} memories; this host runs components of up to {MEMORIES}");
        return Err(PrepareError::TooLarge { detail });
    }
    match home.linker.instantiate_pre(&component) {
        Ok(pre) => Ok(Arc::new(Code::new(pre, contract, home.share.fits(&component)))),
        Err(error) => Err(unknown_import(&contract, &error)),
    }
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
