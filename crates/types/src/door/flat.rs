//! Functions of numbers, and the world that they make.

use std::collections::HashMap;

use wasm_encoder::{ExportKind, ExportSection, RawSection};
use wasmparser::{Export, ExternalKind, FuncType, Parser, Payload, ValType};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::{LiftError, encode::refused, names, survey::Survey};
use crate::text::clip;

/// How many parameters stay flat in the canonical ABI: MAX_FLAT_PARAMS of
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md>. More are passed in memory, which
/// a function that doesn't know of it can't read.
pub(super) const MAX_PARAMS: usize = 16;

/// A function of the author's, lifted.
struct Function<'a> {
    /// The core export.
    export: &'a str,
    index: u32,
    name: String,
    /// `func(a: s32, b: s32) -> s32`.
    signature: String,
}

/// The module with the author's functions under the names that they have in WIT, and with a `component-type` section that
/// describes them.
pub(super) fn describe(bytes: &[u8], survey: &Survey<'_>) -> Result<Vec<u8>, LiftError> {
    let functions = functions(survey)?;
    if functions.is_empty() && !survey.is_command() {
        return Err(LiftError::NoFunctions);
    }
    let mut module = with_exports(bytes, &exports(survey, &functions)?)?;
    let exported: String = functions
        .iter()
        .map(|function| format!("export %{}: {};\n", function.name, function.signature))
        .collect();
    let mut resolve = Resolve::default();
    let package = resolve.push_source(
        "module.wit",
        &format!("package propeller:lifted; world module {{ {exported} }}"),
    );
    let world = package.and_then(|package| resolve.select_world(&[package], None));
    world
        .and_then(|world| wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8))
        .map_err(refused)?;
    Ok(module)
}

/// The author's functions. A program needn't have any, so there what can't be lifted is left out.
fn functions<'a>(survey: &Survey<'a>) -> Result<Vec<Function<'a>>, LiftError> {
    let is_command = survey.is_command();
    let mut functions = Vec::new();
    for (export, ty, index) in survey.functions() {
        if is_toolchains(export, ty) {
            continue;
        }
        match Function::new(export, ty, index, survey) {
            Ok(function) => functions.push(function),
            Err(_) if is_command => {}
            Err(why) => {
                return Err(LiftError::UnsupportedExport {
                    export: clip(export),
                    why,
                });
            }
        }
    }
    Ok(functions)
}

impl<'a> Function<'a> {
    fn new(export: &'a str, ty: &FuncType, index: u32, survey: &Survey<'a>) -> Result<Self, String> {
        let name =
            names::kebab(export).ok_or("a name that WIT can't have (it needs a letter first, and 256 at most)")?;
        if ty.params().len() > MAX_PARAMS {
            return Err(format!(
                "which has {} parameters, and {MAX_PARAMS} are possible",
                ty.params().len()
            ));
        }
        let own = (0..ty.params().len()).map(|local| survey.local(index, local as u32));
        let params = names::of_params(own).into_iter().zip(ty.params());
        let params = params.map(|(name, ty)| Ok(format!("%{name}: {}", number(*ty)?)));
        let params = params.collect::<Result<Vec<_>, String>>()?.join(", ");
        let result = match ty.results() {
            [] => String::new(),
            [result] => format!(" -> {}", number(*result)?),
            several => return Err(format!("which gives {} results, and one is possible", several.len())),
        };
        Ok(Self {
            export,
            index,
            name,
            signature: format!("func({params}){result}"),
        })
    }
}

fn number(ty: ValType) -> Result<&'static str, String> {
    match ty {
        ValType::I32 => Ok("s32"),
        ValType::I64 => Ok("s64"),
        ValType::F32 => Ok("f32"),
        ValType::F64 => Ok("f64"),
        other => Err(format!("which takes or gives {other}, and only numbers are possible")),
    }
}

/// Whether a toolchain exports this beside what the author does; the door's documentation has the rule.
fn is_toolchains(name: &str, ty: &FuncType) -> bool {
    use ValType::I32;
    let is = |params: &[ValType], results: &[ValType]| ty.params() == params && ty.results() == results;
    let is_stacks = |rest: &str| rest.starts_with(|c: char| c.is_ascii_uppercase());
    match name {
        "malloc" => is(&[I32], &[I32]),
        "calloc" | "realloc" => is(&[I32, I32], &[I32]),
        "free" => is(&[I32], &[]),
        name if name.strip_prefix("stack").is_some_and(is_stacks) => true,
        name => ["_", "cabi_", "asyncify_", "emscripten_"]
            .iter()
            .any(|prefix| name.starts_with(prefix)),
    }
}

/// What the module exports as a part of its component: what the encoder looks for by name, and the author's functions.
fn exports(survey: &Survey<'_>, functions: &[Function<'_>]) -> Result<ExportSection, LiftError> {
    let mut section = ExportSection::new();
    let mut taken = HashMap::new();
    for Export { name, kind, index } in &survey.exports {
        let kind = match (*name, kind) {
            ("memory", ExternalKind::Memory) => ExportKind::Memory,
            ("_initialize" | "_start" | "cabi_realloc", ExternalKind::Func) => ExportKind::Func,
            _ => continue,
        };
        taken.insert(*name, *name);
        section.export(name, kind, *index);
    }
    for function in functions {
        if let Some(first) = taken.insert(&function.name, function.export) {
            return Err(LiftError::NameClash {
                first: clip(first),
                second: clip(function.export),
                name: clip(&function.name),
            });
        }
        section.export(&function.name, ExportKind::Func, function.index);
    }
    Ok(section)
}

/// The module with these exports in place of its own, and everything else as it is.
fn with_exports(bytes: &[u8], exports: &ExportSection) -> Result<Vec<u8>, LiftError> {
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(refused)?;
        if let Payload::ExportSection(_) = payload {
            module.section(exports);
        } else if let Some((id, range)) = payload.as_section() {
            let data = bytes.get(range).unwrap_or_default();
            module.section(&RawSection { id, data });
        }
    }
    Ok(module.finish())
}
