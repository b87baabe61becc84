//! From compiled code to something that can be instantiated in microseconds.
//!
//! The only place where compiled code, which the processor will run as it is, comes in. Wasmtime looks at its headers and believes the rest.

use std::{fs::File, io, os::fd::AsRawFd, sync::Arc};

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
pub(super) fn from_file(home: &Home, contract: Contract, file: &File) -> Result<Arc<Code>, PrepareError> {
    // The very file that was verified, whatever has its name by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    #[allow(
        unsafe_code,
        reason = "Wasmtime runs what it's given, and maps the file as long as the code lives"
    )]
    // SAFETY: the caller has read the file through and found it sealed by the key of this cache, so it is what this program's own compiler
    // wrote. It is in a directory that only this user can write to, where no program changes a file: files are put in place whole, by
    // rename, and removed, neither of which changes what is mapped.
    let component = unsafe { Component::deserialize_file(&home.engine, path) };
    link(home, contract, component)
}

fn link(home: &Home, contract: Contract, component: wasmtime::Result<Component>) -> Result<Arc<Code>, PrepareError> {
    let component = component.map_err(refusal)?;
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

/// Whatever Wasmtime itself doesn't like of code that was compiled for it, it's that the pool has no slot for it.
fn refusal(error: wasmtime::Error) -> PrepareError {
    let is_system =
        |cause: &(dyn std::error::Error + 'static)| cause.is::<io::Error>() || cause.is::<rustix::io::Errno>();
    if error.chain().any(is_system) {
        return PrepareError::host(error);
    }
    PrepareError::TooLarge {
        detail: clip(format!("{error:#}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_not_the_components_fault() {
        let reason = |error: wasmtime::Error| refusal(error).reason();
        let mapped = wasmtime::Error::from(rustix::io::Errno::NOMEM).context("failed to create mmap for file");
        assert_eq!(reason(mapped), "HostFailure");
        assert_eq!(reason(io::Error::from_raw_os_error(24).into()), "HostFailure");
        assert_eq!(
            reason(wasmtime::Error::msg("more tables than a slot has")),
            "ComponentTooLarge"
        );
    }
}
