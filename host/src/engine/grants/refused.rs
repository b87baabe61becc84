//! Why a grant can't be had.

use std::{error::Error, fmt, io};

use super::{Root, policy::list};
use crate::engine::KeyValueError;

/// A grant that this proplet doesn't give. `propeller run` shows it as it is; a proplet rejects the start with it.
#[derive(Debug)]
pub struct Refused {
    grant: String,
    problem: Problem,
}

/// What is wrong with a grant.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("this proplet's policy doesn't allow it; it allows {0}")]
    NotCovered(String),
    #[error("this proplet's policy has policy.{0} = false")]
    Off(&'static str),
    #[error("this proplet's policy doesn't allow it; it allows {}", Roots(.0))]
    NotBelowRoot(Vec<Root>),
    #[error("write an absolute path without `.` and `..`")]
    Path,
    #[error("a variable's name is not empty and has neither `=` nor a zero byte, and its value has no zero byte")]
    Variable,
    #[error("this host has no place to keep values")]
    NoKeyValue,
    #[error("the bucket can't be opened")]
    KeyValue(#[source] KeyValueError),
    #[error("the directory can't be opened")]
    Open(#[source] io::Error),
}

impl Refused {
    /// `grant` is its path in the Task, and what it asks for: `grants.http[1] "10.0.0.7"`.
    pub(super) fn new(grant: String, problem: Problem) -> Self {
        Self { grant, problem }
    }

    /// Whether the policy has nothing against it, and it may be had another time or elsewhere.
    pub fn is_passing(&self) -> bool {
        matches!(self.problem, Problem::Open(_) | Problem::KeyValue(_))
    }

    /// A stable label for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self.problem {
            Problem::NotCovered(_) | Problem::Off(_) | Problem::NotBelowRoot(_) => "NotGranted",
            Problem::Path | Problem::Variable => "InvalidGrant",
            Problem::Open(_) => "DirectoryUnavailable",
            Problem::NoKeyValue | Problem::KeyValue(_) => "KeyValueUnavailable",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.grant, self.problem)
    }
}

/// By hand: the problem is part of the message, so only what is behind it is a source.
impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

struct Roots<'a>(&'a [Root]);

impl fmt::Display for Roots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0)
    }
}
