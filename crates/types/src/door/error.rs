//! Why a core module can't become a component.

/// Why a core module can't become a component. Each message names the import or export, and says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiftError {
    /// The bytes start as a core module, and are cut off, damaged or invalid.
    #[error("a malformed core module: {problem} (at byte {offset}); build it or fetch it again")]
    Malformed {
        /// Where in the file the problem was noticed, in bytes.
        offset: usize,
        /// What the validator found.
        problem: String,
    },
    /// An import that isn't of WASI preview 1, and that no `component-type` section describes.
    #[error(
        "the core module imports `{import}`, and only imports of `wasi_snapshot_preview1` can be provided: {advice}"
    )]
    UnknownImport {
        /// Module and name, as `env.abort`.
        import: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// An exported function that a component can't export.
    #[error("the core module exports `{export}`, {why}; change it, don't export it, or build a component")]
    UnsupportedExport {
        /// The function's name.
        export: String,
        /// What is the matter with it, such as `which gives 2 results`.
        why: String,
    },
    /// A memory that the component model can't work with.
    #[error("the core module has a {kind} memory; build it for wasm32 without threads")]
    UnsupportedMemory {
        /// `shared` or `64-bit`.
        kind: &'static str,
    },
    /// Two exports have the same name once that is in kebab-case.
    #[error("the core module exports `{first}` and `{second}`, which are both `{name}` in WIT; rename one")]
    NameClash {
        /// The export that comes first.
        first: String,
        /// The other.
        second: String,
        /// What both are called.
        name: String,
    },
    /// There is nothing to call.
    #[error("the core module exports no function that can be called: export one, or build for wasm32-wasip2")]
    NoFunctions,
    /// More of something than a component has reason to have.
    #[error("the core module has more than {limit} {what}; split it, or build a component")]
    TooMuch {
        /// What there is too much of, such as `exports`.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// What the module has isn't what its `component-type` sections or the ABI of WASI preview 1 say.
    #[error("the core module can't be made a component: {problem}; build it again with one version of its tools")]
    Encode {
        /// What wit-component says.
        problem: String,
    },
}
