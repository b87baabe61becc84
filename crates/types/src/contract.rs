//! A component's world: what it imports, and what it exports to be called.

use std::{fmt, iter};

use serde::Serialize;

use crate::{Function, ReadError, decode, lift};

/// What a component needs and what it offers, as plain data. Serialised, it is what `propeller inspect --output json`
/// shows.
///
/// A built component doesn't keep the name of the world that it was built for, so there is none here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contract {
    /// What a host must provide, in the component's order.
    pub imports: Vec<Import>,
    /// What a host can use, in the component's order.
    pub exports: Vec<Export>,
    /// Definitions of the named types that functions exported by the world itself mention, as WIT text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Whether anything in the component needs the component model's async features; see [`Self::needs_03`].
    #[serde(skip)]
    pub(crate) is_concurrent: bool,
}

/// One thing that a component imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// An interface such as `wasi:io/streams@0.2.0`, or a plain name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// One thing that a component exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// An interface such as `propeller:examples/math@1.0.0`, or a plain name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub origin: Origin,
    /// Definitions of the named types in this interface, as WIT text: `record point { x: f64, y: f64 }`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The interface's functions, or the exported function itself.
    pub functions: Vec<Function>,
}

/// What sort of thing an import or export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An interface: an instance that groups functions and types.
    Interface,
    /// A function of the world itself.
    Function,
    /// A type that the world's own functions mention: nothing that a host provides.
    Type,
    /// A component, core module or value, which Propeller has no use for.
    Other,
}

/// Whose an export is. Only the author's are shown as the component's functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Written by the component's author.
    Author,
    /// An interface of WASI, which the host calls: `wasi:cli/run` makes a command, `wasi:http/…` a service.
    Wasi,
    /// Added by a toolchain: Python builds export an instance `exports` with nothing but `init`, QuickJS builds a function
    /// `init`. They are known by their signatures; an `init` with any other is the author's.
    Toolchain,
}

/// A generation of WASI. The later one counts as the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Wasi {
    /// Any 0.2.
    #[serde(rename = "0.2")]
    V02,
    /// Any 0.3, which is made of async functions.
    #[serde(rename = "0.3")]
    V03,
}

/// As people say it: `0.2`.
impl fmt::Display for Wasi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V02 => "0.2",
            Self::V03 => "0.3",
        })
    }
}

impl Contract {
    /// Reads the world of the component in `bytes`.
    ///
    /// Everything but the code of functions is validated; that is left to whoever compiles it. A core module is read as
    /// the component that [`lift`] makes of it.
    ///
    /// # Errors
    ///
    /// [`ReadError`] for anything that isn't a valid component, and can't become one.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let bytes = &*lift(bytes)?;
        if !bytes.starts_with(b"\0asm") {
            return Err(ReadError::NotWasm);
        }
        let world = decode::World::validate(bytes)?;
        if world.is_wit_package() {
            Err(ReadError::WitPackage)
        } else {
            world.contract()
        }
    }

    /// The author's functions, in the component's order: what a Task can call.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.all_functions()
            .filter(|(_, origin)| *origin == Origin::Author)
            .map(|(function, _)| function)
    }

    /// Which `wasi:cli/run` it exports, if it's a program with a beginning and an end; 0.3 if it exports both.
    pub fn command(&self) -> Option<Wasi> {
        self.exports_interface("wasi:cli/run@0.2.", "wasi:cli/run@0.3.")
    }

    /// Which handler of HTTP requests it exports: `wasi:http/incoming-handler` of 0.2 or `wasi:http/handler` of 0.3; 0.3 if
    /// it exports both.
    pub fn service(&self) -> Option<Wasi> {
        self.exports_interface("wasi:http/incoming-handler@0.2.", "wasi:http/handler@0.3.")
    }

    /// Whether only an engine with the component model's concurrency can run it: it imports or exports an interface of
    /// WASI 0.3, or has async functions, streams, futures or error contexts anywhere, nested components included. An engine
    /// without is faster, and runs everything else.
    pub fn needs_03(&self) -> bool {
        let imports = self.imports.iter().map(|import| &import.name);
        let exports = self.exports.iter().map(|export| &export.name);
        let is_03 = |name: &String| name.starts_with("wasi:") && name.contains("@0.3.");
        self.is_concurrent || imports.chain(exports).any(is_03)
    }

    fn exports_interface(&self, of_02: &str, of_03: &str) -> Option<Wasi> {
        let generation = |export: &Export| match &export.name {
            _ if export.kind != Kind::Interface => None,
            name if is_release(name, of_03) => Some(Wasi::V03),
            name if is_release(name, of_02) => Some(Wasi::V02),
            _ => None,
        };
        self.exports.iter().filter_map(generation).max()
    }

    /// Every exported function and whose it is.
    pub(crate) fn all_functions(&self) -> impl Iterator<Item = (&Function, Origin)> {
        self.exports
            .iter()
            .flat_map(|export| export.functions.iter().zip(iter::repeat(export.origin)))
    }

    /// The names of all imports but types, as the configuration of an OCI artifact lists them.
    pub fn import_names(&self) -> impl Iterator<Item = &str> {
        self.imports
            .iter()
            .filter(|import| import.kind != Kind::Type)
            .map(|import| import.name.as_str())
    }

    /// The names of all exports but types, as the configuration of an OCI artifact lists them.
    pub fn export_names(&self) -> impl Iterator<Item = &str> {
        self.exports
            .iter()
            .filter(|export| export.kind != Kind::Type)
            .map(|export| export.name.as_str())
    }
}

/// A draft of an interface (`@0.3.0-rc-2026-01-06`) is another one, which hosts of the release don't find.
fn is_release(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|patch| !patch.contains('-'))
}

impl Origin {
    /// Whose an export of that name with these functions is: a toolchain's if it's named `init` or `exports` and has
    /// nothing but its `init`.
    pub(crate) fn of(name: &str, functions: &[Function]) -> Self {
        match (name, functions) {
            (wasi, _) if wasi.starts_with("wasi:") => Self::Wasi,
            ("exports" | "init", [init]) if is_toolchains(init) => Self::Toolchain,
            _ => Self::Author,
        }
    }
}

/// The function that readies an interpreter while the component is built, known by its signature, so that an author's own
/// `init` is never taken for it:
///
/// - QuickJS: `init: func(shim: string, script: string, …) -> result<_, string>`
/// - Python: `init: func(app-name: string, …) -> result<_, string>`
fn is_toolchains(function: &Function) -> bool {
    let params = function.params.iter();
    let strings = params.take_while(|param| param.ty.to_string() == "string");
    let strings: Vec<_> = strings.map(|param| param.name.as_str()).collect();
    let fails_with_text = function
        .result
        .as_ref()
        .is_some_and(|ty| ty.to_string() == "result<_, string>");
    function.name == "init" && fails_with_text && matches!(strings[..], ["shim", "script", ..] | ["app-name", ..])
}
