//! What of a core module shows outside: its imports and exports, and what describes them.

use std::collections::{HashMap, HashSet};

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI;
use wasmparser::{
    BinaryReaderError, CompositeInnerType, CustomSectionReader, Export, ExternalKind, FuncType, KnownCustom, Name,
    NameSectionReader, Parser, Payload, TypeRef, ValType, ValidPayload, Validator, WasmFeatures, types::Types,
};

use super::{LiftError, exit::PROC_EXIT, flat::MAX_PARAMS};
use crate::text::clip;

/// How many imports, and how many exports, a module may have. Toolchains make some hundreds, and what the encoder does grows
/// with their square: a thousand take it a second, ten thousand minutes.
const MAX_ITEMS: usize = 1_000;
/// How many `component-type` sections a module may have: each linked library leaves one.
const MAX_DESCRIPTIONS: usize = 100;
/// How large they may be together, in bytes. One that describes all of WASI 0.2 takes some 60 KB.
const MAX_DESCRIBED: usize = 1 << 20;

/// A valid core module, as far as the door needs to know it.
pub(super) struct Survey<'a> {
    types: Types,
    imports: Vec<(&'a str, &'a str)>,
    pub(super) exports: Vec<Export<'a>>,
    /// Whether it imports `proc_exit`, with the type that it has, and with no other. With another one, the adapter says so.
    pub(super) exits: bool,
    /// Whether it has a `component-type` section.
    pub(super) describes_world: bool,
    /// The names of exported functions' first variables, by function and variable.
    locals: HashMap<(u32, u32), &'a str>,
}

impl<'a> Survey<'a> {
    /// Validates everything but function bodies, which is left to whoever compiles them.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, LiftError> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let (mut imports, mut exports, mut customs) = (Vec::new(), Vec::new(), Vec::new());
        // Imported functions come first, and the index of each is how many came before.
        let (mut functions, mut exits) = (0, Vec::new());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(malformed)?;
            if let ValidPayload::End(types) = validator.payload(&payload).map_err(malformed)? {
                check_memories(&types)?;
                return Ok(Self {
                    exits: !exits.is_empty() && exits.iter().all(|index| takes_a_code(&types, *index)),
                    describes_world: describes_world(&customs)?,
                    locals: locals(&customs, &exports),
                    types,
                    imports,
                    exports,
                });
            }
            match payload {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(malformed)?;
                        imports.push((import.module, import.name));
                        if (import.module, import.name) == (WASI, PROC_EXIT) {
                            exits.push(functions);
                        }
                        if matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                            functions += 1;
                        }
                        bound(imports.len(), MAX_ITEMS, "imports")?;
                    }
                }
                Payload::ExportSection(section) => {
                    bound(section.count() as usize, MAX_ITEMS, "exports")?;
                    exports = section.into_iter().collect::<Result<_, _>>().map_err(malformed)?;
                }
                Payload::CustomSection(section) => customs.push(section),
                _ => {}
            }
        }
        // The parser gives an end, or fails: this is for the compiler.
        Err(LiftError::Malformed {
            offset: bytes.len(),
            problem: "unexpected end".to_owned(),
        })
    }

    /// Only WASI preview 1 can be provided to a module that doesn't say what else its imports are.
    pub(super) fn check_imports(&self) -> Result<(), LiftError> {
        match self.imports.iter().find(|(module, _)| *module != WASI) {
            None => Ok(()),
            Some((module, name)) => Err(LiftError::UnknownImport {
                import: format!("{}.{}", clip(module), clip(name)),
                advice: advice(module, name),
            }),
        }
    }

    pub(super) fn imports_wasi(&self) -> bool {
        self.imports.iter().any(|(module, _)| *module == WASI)
    }

    /// Whether it's a program: one that exports `_start`.
    pub(super) fn is_command(&self) -> bool {
        self.functions()
            .any(|(name, ty, _)| name == "_start" && ty.params().is_empty() && ty.results().is_empty())
    }

    /// The exported functions: name, type and index.
    pub(super) fn functions(&self) -> impl Iterator<Item = (&'a str, &FuncType, u32)> {
        self.exports.iter().filter_map(|export| {
            let ty = self.function_type(export)?;
            Some((export.name, ty, export.index))
        })
    }

    fn function_type(&self, export: &Export<'_>) -> Option<&FuncType> {
        if export.kind != ExternalKind::Func {
            return None;
        }
        let ty = self.types.as_ref().core_function_at(export.index);
        match &self.types[ty].composite_type.inner {
            CompositeInnerType::Func(ty) => Some(ty),
            _ => None,
        }
    }

    /// What the module calls this variable of an exported function, if it says so. The first ones are its parameters.
    pub(super) fn local(&self, function: u32, variable: u32) -> Option<&'a str> {
        self.locals.get(&(function, variable)).copied()
    }
}

/// Whether the imported function is a `(param i32)`.
fn takes_a_code(types: &Types, index: u32) -> bool {
    let types = types.as_ref();
    if index >= types.function_count() {
        return false;
    }
    let ty = types.core_function_at(index);
    match &types[ty].composite_type.inner {
        CompositeInnerType::Func(ty) => ty.params() == [ValType::I32] && ty.results().is_empty(),
        _ => false,
    }
}

fn malformed(error: BinaryReaderError) -> LiftError {
    LiftError::Malformed {
        offset: error.offset(),
        problem: clip(error.message()),
    }
}

fn bound(found: usize, limit: usize, what: &'static str) -> Result<(), LiftError> {
    if found > limit {
        Err(LiftError::TooMuch { what, limit })
    } else {
        Ok(())
    }
}

/// The canonical ABI and the adapter work in one memory that has 32-bit addresses and one thread.
fn check_memories(types: &Types) -> Result<(), LiftError> {
    let types = types.as_ref();
    for memory in (0..types.memory_count()).map(|index| types.memory_at(index)) {
        if memory.shared {
            return Err(LiftError::UnsupportedMemory { kind: "shared" });
        }
        if memory.memory64 {
            return Err(LiftError::UnsupportedMemory { kind: "64-bit" });
        }
    }
    Ok(())
}

fn describes_world(customs: &[CustomSectionReader<'_>]) -> Result<bool, LiftError> {
    let descriptions = customs
        .iter()
        .filter(|section| section.name().starts_with("component-type"));
    let sizes: Vec<_> = descriptions.map(|section| section.data().len()).collect();
    bound(sizes.len(), MAX_DESCRIPTIONS, "`component-type` sections")?;
    bound(sizes.iter().sum(), MAX_DESCRIBED, "bytes of `component-type` sections")?;
    Ok(!sizes.is_empty())
}

fn locals<'a>(customs: &[CustomSectionReader<'a>], exports: &[Export<'a>]) -> HashMap<(u32, u32), &'a str> {
    let functions = exports.iter().filter(|export| export.kind == ExternalKind::Func);
    let functions: HashSet<u32> = functions.map(|export| export.index).collect();
    let mut locals = HashMap::new();
    for section in customs {
        if let KnownCustom::Name(names) = section.as_known() {
            // Engines ignore what is wrong in a `name` section, and so what it says after that.
            let _ = read_locals(names, &functions, &mut locals);
        }
    }
    locals
}

fn read_locals<'a>(
    names: NameSectionReader<'a>,
    functions: &HashSet<u32>,
    locals: &mut HashMap<(u32, u32), &'a str>,
) -> wasmparser::Result<()> {
    for subsection in names {
        let Name::Local(named) = subsection? else { continue };
        for function in named {
            let function = function?;
            for variable in function.names {
                let variable = variable?;
                if functions.contains(&function.index) && (variable.index as usize) < MAX_PARAMS {
                    locals.insert((function.index, variable.index), variable.name);
                }
            }
        }
    }
    Ok(())
}

/// What to do about an import that isn't of WASI preview 1, by where such imports come from.
fn advice(module: &str, name: &str) -> &'static str {
    match (module, name) {
        ("env", "abort") => "compile AssemblyScript with `--use abort=`",
        ("wasi_unstable", _) => "it's of an older WASI; build it again for wasip1",
        ("gojs" | "go", _) => "build Go with GOOS=wasip1",
        ("wbg" | "__wbindgen_placeholder__", _) => "wasm-bindgen is for browsers; build for wasm32-wasip2 without it",
        ("env", _) => "link what is missing into the module, or describe it in WIT and build a component",
        _ => "describe it in WIT and build a component",
    }
}
