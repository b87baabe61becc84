//! An exported function, as a compiled component has it.

use std::{borrow::Cow, sync::OnceLock};

use propeller_types::{Function, FunctionRef};
use wasmtime::component::{ComponentExportIndex, Type, types::ComponentItem};

use crate::engine::{InvokeError, Prepared};

/// What a call needs to know of its function.
#[derive(Clone)]
pub(super) struct Export {
    pub(super) index: ComponentExportIndex,
    pub(super) params: Vec<(String, Type)>,
    pub(super) results: usize,
}

/// Names that are remembered. A function has three at most: bare, with its interface, and with the interface's version.
const REMEMBERED: usize = 256;

/// The functions of a component that were called before, by what callers call them. Finding one by its name and collecting its types takes
/// longer than a short call.
///
/// A list that only grows at its end: who looks through it takes no lock and counts no reference, for which calls on several threads
/// would have to wait for each other.
#[derive(Default)]
pub(in crate::engine) struct Exports(OnceLock<Box<Known>>);

struct Known {
    name: FunctionRef,
    export: Export,
    next: Exports,
}

impl Exports {
    /// The function of this name. Only what can be called is found.
    pub(super) fn find(&self, prepared: &Prepared, name: &FunctionRef) -> Result<Cow<'_, Export>, InvokeError> {
        let mut end = self;
        for _ in 0..REMEMBERED {
            let Some(known) = end.0.get() else {
                return end.remember(prepared, name);
            };
            if known.name == *name {
                return Ok(Cow::Borrowed(&known.export));
            }
            end = &known.next;
        }
        Export::find(prepared, name).map(Cow::Owned)
    }

    /// Adds a function to the end of the list, unless somebody else adds one just now: one of both is found anew next time.
    fn remember(&self, prepared: &Prepared, name: &FunctionRef) -> Result<Cow<'_, Export>, InvokeError> {
        let export = Export::find(prepared, name)?;
        // What couldn't be set is given back, and not needed.
        let _ = self.0.set(Box::new(Known {
            name: name.clone(),
            export: export.clone(),
            next: Self::default(),
        }));
        Ok(Cow::Owned(export))
    }
}

impl Export {
    fn find(prepared: &Prepared, name: &FunctionRef) -> Result<Self, InvokeError> {
        let function = prepared.contract().find(name)?;
        function.argument_types()?;
        Self::of(prepared, function)
    }

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
