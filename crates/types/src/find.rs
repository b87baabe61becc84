//! From the name that people typed to the one function that it means.

use crate::{Contract, Function, FunctionRef, Origin, text};

/// How alike two names must be, from 0 to 1, for one to be offered in place of the other.
const ALIKE: f64 = 0.8;
/// How many exported functions are compared with a name that was mistyped.
const COMPARED: usize = 1_000;
/// Exported names longer than this, in bytes, aren't compared: nobody mistypes them.
const COMPARED_LENGTH: usize = 256;

/// Why a [`FunctionRef`] doesn't lead to one function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The component exports no such function.
    #[error("no export `{function}`: {hint}")]
    UnknownExport {
        /// The name that was looked for.
        function: FunctionRef,
        /// What there is, and what was perhaps meant.
        hint: String,
    },
    /// Several interfaces export a function of that name.
    #[error("`{function}` is exported more than once: say which, one of {}", text::list(.candidates.iter().map(ToString::to_string)))]
    AmbiguousExport {
        /// The name that was looked for.
        function: FunctionRef,
        /// The names that would have been clear.
        candidates: Vec<FunctionRef>,
    },
}

impl FindError {
    /// The stable label of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownExport { .. } => "UnknownExport",
            Self::AmbiguousExport { .. } => "AmbiguousExport",
        }
    }
}

impl Contract {
    /// The one function that `function` names.
    ///
    /// An exact name wins. Otherwise a bare name means the function of that name in any of the author's interfaces, or
    /// failing that in what a toolchain added, and an interface without a version means any version of it; `wasi:`
    /// interfaces are never guessed.
    ///
    /// # Errors
    ///
    /// [`FindError`] if no function or more than one is meant.
    pub fn find(&self, function: &FunctionRef) -> Result<&Function, FindError> {
        let ranked = self
            .all_functions()
            .filter_map(|(found, origin)| Some((rank(function, found, origin)?, found)));
        let ranked: Vec<_> = ranked.collect();
        let best = ranked.iter().map(|(rank, _)| *rank).min();
        let meant: Vec<_> = ranked
            .iter()
            .filter(|(rank, _)| Some(*rank) == best)
            .map(|(_, found)| *found)
            .collect();
        match meant.as_slice() {
            [] => Err(self.unknown(function)),
            [found] => Ok(found),
            several => {
                let candidates = several.iter().map(|found| found.reference()).collect();
                Err(FindError::AmbiguousExport {
                    function: function.clone(),
                    candidates,
                })
            }
        }
    }

    fn unknown(&self, function: &FunctionRef) -> FindError {
        let exported: Vec<_> = self.functions().map(Function::reference).collect();
        let hint = if let Some(near) = nearest(function, &exported) {
            format!("did you mean `{near}`?")
        } else if !exported.is_empty() {
            format!(
                "the component exports {}",
                text::list(exported.iter().map(ToString::to_string))
            )
        } else if !self.exports.is_empty() {
            let names = text::list(self.exports.iter().map(|export| &export.name));
            format!("the component exports no functions of its own, only {names}")
        } else {
            "the component exports nothing".to_owned()
        };
        FindError::UnknownExport {
            function: function.clone(),
            hint,
        }
    }
}

/// How well a function fits a name; the smaller the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Exact,
    OfAuthor,
    OfOthers,
}

fn rank(wanted: &FunctionRef, function: &Function, origin: Origin) -> Option<Rank> {
    if wanted.name() != function.name {
        return None;
    }
    match (wanted.interface(), function.interface.as_deref()) {
        (wanted, exported) if wanted == exported => Some(Rank::Exact),
        (None, _) if origin == Origin::Wasi => None,
        (Some(wanted), exported) if exported.and_then(|name| name.split('@').next()) != Some(wanted) => None,
        _ if origin == Origin::Author => Some(Rank::OfAuthor),
        _ => Some(Rank::OfOthers),
    }
}

/// The exported function whose name is most like the wanted one, be it the name or the interface that was mistyped.
fn nearest<'a>(wanted: &FunctionRef, exported: &'a [FunctionRef]) -> Option<&'a FunctionRef> {
    let likeness = |function: &FunctionRef| match wanted.interface() {
        Some(_) => strsim::jaro_winkler(&wanted.to_string(), &function.to_string()),
        None => strsim::jaro_winkler(wanted.name(), function.name()),
    };
    let comparable = |function: &&FunctionRef| function.to_string().len() <= COMPARED_LENGTH;
    let compared = exported
        .iter()
        .take(COMPARED)
        .filter(comparable)
        .map(|function| (likeness(function), function));
    let (alike, function) = compared.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (alike >= ALIKE).then_some(function)
}
