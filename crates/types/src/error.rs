//! What can be wrong with a component's bytes and with a call's arguments.
//!
//! Each error has a [`reason`](ReadError::reason): a CamelCase label that doesn't change, for conditions and metrics.
//! Messages are for people, say what to change, and stay short whatever the input was.

use crate::LiftError;

/// Why bytes have no [`Contract`](crate::Contract).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes don't start as WebAssembly does.
    #[error("not WebAssembly: the file doesn't start with `\\0asm`; give the built .wasm component")]
    NotWasm,
    /// The bytes are a core module that can't become a component.
    #[error(transparent)]
    CoreModule(#[from] LiftError),
    /// The bytes are a WIT package encoded as WebAssembly: it describes components, and has nothing to run.
    #[error("a WIT package, not a component: there is no code in it; give the component that implements it")]
    WitPackage,
    /// The bytes start as a component, and are cut off, damaged or invalid.
    #[error("a malformed component: {problem} (at byte {offset}); build it or fetch it again")]
    Malformed {
        /// Where in the file the problem was noticed, in bytes.
        offset: usize,
        /// What the validator found.
        problem: String,
    },
    /// The component is valid, and describes more than a component has reason to.
    #[error("a component whose imports, exports and types take more than {limit} bytes to describe; export less")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl ReadError {
    /// The stable label of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotWasm => "NotWasm",
            Self::CoreModule(_) => "CoreModule",
            Self::WitPackage => "WitPackage",
            Self::Malformed { .. } => "MalformedComponent",
            Self::TooLarge { .. } => "ComponentTooLarge",
        }
    }
}

/// Why arguments don't fit a function's parameters.
///
/// Places inside arguments are written as people write them: `args[1].points[3].x`, or `args.shape.points[3].x` for
/// arguments given by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// Fewer arguments by position than there are parameters that need one.
    #[error("too few arguments: expected {expected}, found {found}; add {missing}")]
    TooFewArguments {
        /// How many parameters there are.
        expected: usize,
        /// How many arguments were given.
        found: usize,
        /// The parameters without an argument, with their types.
        missing: String,
    },
    /// More arguments by position than there are parameters.
    #[error("too many arguments: expected {expected}, found {found}")]
    TooManyArguments {
        /// How many parameters there are.
        expected: usize,
        /// How many arguments were given.
        found: usize,
    },
    /// An argument by a name that no parameter has.
    #[error("unknown argument `{name}`: {known}")]
    UnknownArgument {
        /// The name, as given.
        name: String,
        /// What the parameters are called, as a sentence.
        known: String,
    },
    /// A parameter that needs an argument and got none, where arguments are given by name.
    #[error("missing argument `{name}`: {expected}")]
    MissingArgument {
        /// The parameter's name.
        name: String,
        /// What it takes, as in the message of a wrong type.
        expected: String,
    },
    /// An argument, or a part of one, that isn't a value of its type.
    #[error("{path}: {problem}")]
    WrongArgumentType {
        /// Where, such as `args[1].points[3].x`.
        path: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// A type in the function's signature that arguments and results can't carry.
    #[error("{place}: {why} can't be passed in a call; only values can")]
    UnsupportedType {
        /// The parameter and its type, or the result and its type.
        place: String,
        /// What it is, such as `a resource handle`.
        why: String,
    },
    /// The arguments leave out so many optional fields that their values would be far larger than their text.
    #[error("{path}: the arguments leave out more than {limit} optional fields; pass less at a time")]
    TooManyOmitted {
        /// Where the limit was passed.
        path: String,
        /// How many may be left out in one call.
        limit: usize,
    },
    /// The call isn't WAVE text.
    #[error("can't read the call: {problem} at column {column}; write it as `add(20, 22)`")]
    InvalidCall {
        /// Characters before the place, and one.
        column: usize,
        /// What the parser stumbled over.
        problem: String,
    },
    /// The name before the parenthesis isn't a function's name.
    #[error("can't read the call")]
    InvalidFunction(#[source] crate::InvalidFunctionRef),
}

impl ArgsError {
    /// The stable label of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooFewArguments { .. } => "TooFewArguments",
            Self::TooManyArguments { .. } => "TooManyArguments",
            Self::UnknownArgument { .. } => "UnknownArgument",
            Self::MissingArgument { .. } => "MissingArgument",
            Self::WrongArgumentType { .. } => "WrongArgumentType",
            Self::UnsupportedType { .. } => "UnsupportedType",
            Self::TooManyOmitted { .. } => "TooManyOmitted",
            Self::InvalidCall { .. } | Self::InvalidFunction(_) => "InvalidCall",
        }
    }
}

/// A value that holds a handle (resource, stream, future, error context) or a map, which neither JSON nor WAVE can
/// write.
///
/// [`Function::argument_types`](crate::Function::argument_types) refuses functions that return such values, before they
/// are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the result holds a resource, stream, future or map, which has no text form")]
pub struct UnsupportedValue;

impl UnsupportedValue {
    /// The stable label of this error, the same as for a signature that is refused beforehand.
    pub fn reason(&self) -> &'static str {
        "UnsupportedType"
    }
}
