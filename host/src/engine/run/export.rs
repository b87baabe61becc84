//! An exported function, as a compiled component has it.

use std::sync::{Arc, PoisonError, RwLock};

use propeller_types::{Function, FunctionRef};
use wasmtime::component::{ComponentExportIndex, Type, types::ComponentItem};

use crate::engine::{InvokeError, Prepared};

/// What a call needs to know of its function.
pub(super) struct Export {
    pub(super) index: ComponentExportIndex,
    pub(super) params: Vec<(String, Type)>,
    pub(super) results: usize,
}

/// The functions of a component that were called before, by what callers call them. Finding one by its name and collecting its types takes
/// longer than a short call. A function has three names at most: bare, with its interface, and with the interface's version.
#[derive(Default)]
pub(in crate::engine) struct Exports(RwLock<Vec<(FunctionRef, Arc<Export>)>>);

impl Exports {
    /// The function of this name. Only what can be called is found.
    pub(super) fn find(&self, prepared: &Prepared, name: &FunctionRef) -> Result<Arc<Export>, InvokeError> {
        if let Some(export) = self.known(name) {
            return Ok(export);
        }
        let function = prepared.contract().find(name)?;
        function.argument_types()?;
        let export = Arc::new(Export::of(prepared, function)?);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.push((name.clone(), export.clone()));
        Ok(export)
    }

    fn known(&self, name: &FunctionRef) -> Option<Arc<Export>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (_, export) = known.iter().find(|(known, _)| known == name)?;
        Some(export.clone())
    }
}

impl Export {
    fn of(prepared: &Prepared, function: &Function) -> Result<Self, InvokeError> {
        let component = prepared.pre().component();
        let interface = match &function.interface {
            Some(name) => Some(
                component
                    .get_export_index(None, name.as_str())
                    .ok_or_else(|| missing(function))?,
            ),
            None => None,
        };
        match component.get_export(interface.as_ref(), function.name.as_str()) {
            Some((ComponentItem::ComponentFunc(ty), index)) => Ok(Self {
                index,
                params: ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect(),
                results: ty.results().len(),
            }),
            _ => Err(missing(function)),
        }
    }
}

/// Contract and compiled code come from the same bytes, so this is for a reader that disagrees with the compiler.
fn missing(function: &Function) -> InvokeError {
    InvokeError::host(format!(
        "the compiled component has no function `{}`",
        function.reference()
    ))
}
