//! From validated bytes to a [`Contract`].
//!
//! This reads the validator's types directly. wit-component would decode them into a WIT package first: it refuses
//! valid components that WIT can't express, asserts where hostile bytes need errors, and merges the two sides of an
//! interface that is both imported and exported.

use wasmparser::{
    BinaryReaderError, Parser, Payload, ValidPayload, Validator, WasmFeatures,
    component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentFuncTypeId, ComponentItem},
    types::Types,
};

use crate::{
    Contract, Export, Function, Import, Kind, Origin, Param, ReadError,
    text::clip,
    wit_type::{TypeReader, WitType},
};

/// The largest contract, in bytes of memory. A long name costs a component a few bytes each time it's used again, and
/// us all of it; contracts of real components take some kilobytes.
const MAX_CONTRACT: usize = 16 << 20;

/// What WASI 0.3 is made of. A component that is valid without these can run in an engine that hasn't got them.
const CONCURRENCY: WasmFeatures = WasmFeatures::CM_ASYNC
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_THREADING)
    .union(WasmFeatures::CM_ERROR_CONTEXT);

/// The outside of a component that was found valid.
pub(crate) struct World {
    types: Types,
    imports: Vec<String>,
    exports: Vec<String>,
    is_concurrent: bool,
}

impl World {
    /// Validates everything but function bodies. Every proposal is allowed: whether the engine has it is the engine's
    /// to say. A second validator, which gives up at the first use of concurrency, tells whether there is any: it knows every
    /// place where that can be, builtins and nested components too.
    ///
    /// The validator bounds what hostile bytes can ask for: types are at most 100 deep, and all types of the outside
    /// together at most a million nodes.
    pub(crate) fn validate(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let mut without_concurrency = Some(Validator::new_with_features(
            WasmFeatures::all().difference(CONCURRENCY),
        ));
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let mut depth = 1_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(malformed)?;
            without_concurrency.take_if(|validator| validator.payload(&payload).is_err());
            match validator.payload(&payload).map_err(malformed)? {
                ValidPayload::End(types) if depth == 1 => {
                    return Ok(Self {
                        types,
                        imports,
                        exports,
                        is_concurrent: without_concurrency.is_none(),
                    });
                }
                ValidPayload::End(_) => depth -= 1,
                ValidPayload::Parser(_) => depth += 1,
                ValidPayload::Ok | ValidPayload::Func(..) => {}
            }
            match payload {
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        imports.push(import.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        exports.push(export.map_err(malformed)?.name.name.to_owned());
                    }
                }
                // The parser takes the end of the bytes for the end of all that is open between sections.
                Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. }
                    if unchecked_range.end > bytes.len() =>
                {
                    return Err(cut_off(bytes));
                }
                _ => {}
            }
        }
        // The parser gives an end for every beginning, or fails: this is for the compiler.
        Err(cut_off(bytes))
    }

    /// A WIT package is encoded as a component that exports component types and nothing else.
    pub(crate) fn is_wit_package(&self) -> bool {
        let describes = |(_, item): (_, &ComponentItem)| {
            matches!(
                item.ty,
                ComponentEntityType::Type {
                    created: ComponentAnyTypeId::Component(_),
                    ..
                }
            )
        };
        self.imports.is_empty() && !self.exports.is_empty() && self.exported().all(describes)
    }

    pub(crate) fn contract(&self) -> Result<Contract, ReadError> {
        let mut builder = Builder {
            types: &self.types,
            reader: TypeReader::new(&self.types),
            left: MAX_CONTRACT,
        };
        for (name, item) in self.imported().chain(self.exported()) {
            builder.reader.learn_names(name, item);
        }
        let import = |(name, item): (&str, _)| Import {
            name: name.to_owned(),
            kind: kind(item),
        };
        let mut types = Vec::new();
        for (name, item) in self.imported() {
            types.extend(builder.definition(name, item)?);
        }
        let exports = self
            .exported()
            .map(|(name, item)| builder.export(name, item))
            .collect::<Result<_, _>>()?;
        Ok(Contract {
            imports: self.imported().map(import).collect(),
            exports,
            types,
            is_concurrent: self.is_concurrent,
        })
    }

    fn imported(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let types = self.types.as_ref();
        self.imports
            .iter()
            .filter_map(move |name| Some((name.as_str(), types.component_item_for_import(name)?)))
    }

    fn exported(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let types = self.types.as_ref();
        self.exports
            .iter()
            .filter_map(move |name| Some((name.as_str(), types.component_item_for_export(name)?)))
    }
}

/// The contract in the making.
struct Builder<'a> {
    types: &'a Types,
    reader: TypeReader<'a>,
    /// How much of [`MAX_CONTRACT`] is left.
    left: usize,
}

impl Builder<'_> {
    fn export(&mut self, name: &str, item: &ComponentItem) -> Result<Export, ReadError> {
        let (mut types, mut functions) = (Vec::new(), Vec::new());
        match item.ty {
            ComponentEntityType::Func(id) => functions.push(self.function(None, name, id)?),
            ComponentEntityType::Instance(id) => {
                for (member, item) in &self.types[id].exports {
                    if let ComponentEntityType::Func(id) = item.ty {
                        functions.push(self.function(Some(name), member, id)?);
                    }
                    types.extend(self.definition(member, item)?);
                }
            }
            _ => {}
        }
        Ok(Export {
            name: name.to_owned(),
            kind: kind(item),
            origin: Origin::of(name, &functions),
            types,
            functions,
        })
    }

    fn function(
        &mut self,
        interface: Option<&str>,
        name: &str,
        id: ComponentFuncTypeId,
    ) -> Result<Function, ReadError> {
        let ty = &self.types[id];
        let params = ty.params.iter().map(|(name, ty)| Param {
            name: name.to_string(),
            ty: self.reader.read(*ty),
        });
        let params: Vec<_> = params.collect();
        let result = ty.result.map(|ty| self.reader.read(ty));
        let types: usize = params.iter().map(|param| param.name.len() + param.ty.size()).sum();
        let size = interface.map_or(0, str::len) + name.len() + types + result.as_ref().map_or(0, WitType::size);
        self.spend(size_of::<Function>() + size)?;
        Ok(Function {
            interface: interface.map(str::to_owned),
            name: name.to_owned(),
            params,
            result,
            is_async: ty.async_,
        })
    }

    fn definition(&mut self, name: &str, item: &ComponentItem) -> Result<Option<String>, ReadError> {
        let definition = self.reader.definition(name, item);
        self.spend(definition.as_ref().map_or(0, String::len))?;
        Ok(definition)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or(ReadError::TooLarge { limit: MAX_CONTRACT })?;
        Ok(())
    }
}

fn cut_off(bytes: &[u8]) -> ReadError {
    ReadError::Malformed {
        offset: bytes.len(),
        problem: "unexpected end".to_owned(),
    }
}

fn malformed(error: BinaryReaderError) -> ReadError {
    ReadError::Malformed {
        offset: error.offset(),
        problem: clip(error.message()),
    }
}

fn kind(item: &ComponentItem) -> Kind {
    match item.ty {
        ComponentEntityType::Instance(_) => Kind::Interface,
        ComponentEntityType::Func(_) => Kind::Function,
        ComponentEntityType::Type { .. } => Kind::Type,
        _ => Kind::Other,
    }
}
