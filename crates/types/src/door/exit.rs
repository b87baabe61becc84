//! The code that a module exits with.
//!
//! Behind `proc_exit` the adapter has `exit` of WASI 0.2, which knows success and failure only. So the module is made to import `exit-with-code` in
//! its place, which has the same type in the canonical ABI: that makes a `u8` of an `i32` by its last byte, as Unix does of a program's code.

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI;
use wasm_encoder::{
    ImportSection, RawSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{ImportSectionReader, Parser, Payload};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::{LiftError, encode::refused};

/// The name of `proc_exit` among the imports of [`WASI`].
pub(super) const PROC_EXIT: &str = "proc_exit";

/// The interface, in the version that the adapter imports.
const EXIT: &str = "wasi:cli/exit@0.2.12";

/// It in a world, which is merged with what else describes the module.
const WORLD: &str = "package propeller:exit;
    world exit { import wasi:cli/exit@0.2.12; }
    package wasi:cli@0.2.12 {
        interface exit { exit: func(status: result); exit-with-code: func(status-code: u8); }
    }";

/// The module with `exit-with-code` in place of `proc_exit`, and a `component-type` section that describes it.
pub(super) fn with_code(bytes: &[u8]) -> Result<Vec<u8>, LiftError> {
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(refused)?;
        if let Payload::ImportSection(section) = payload {
            module.section(&imports(section)?);
        } else if let Some((id, range)) = payload.as_section() {
            let data = bytes.get(range).unwrap_or_default();
            module.section(&RawSection { id, data });
        }
    }
    let mut module = module.finish();
    let mut resolve = Resolve::default();
    let package = resolve.push_source("exit.wit", WORLD);
    package
        .and_then(|package| resolve.select_world(&[package], None))
        .and_then(|world| wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8))
        .map_err(refused)?;
    Ok(module)
}

fn imports(section: ImportSectionReader<'_>) -> Result<ImportSection, LiftError> {
    let mut imports = ImportSection::new();
    for import in section.into_imports() {
        let import = import.map_err(refused)?;
        let ty = RoundtripReencoder.entity_type(import.ty).map_err(refused)?;
        let (module, name) = match (import.module, import.name) {
            (WASI, PROC_EXIT) => (EXIT, "exit-with-code"),
            other => other,
        };
        imports.import(module, name, ty);
    }
    Ok(imports)
}
