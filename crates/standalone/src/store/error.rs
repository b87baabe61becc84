//! Why the store doesn't open, and why it doesn't do what is asked.

use std::{io, path::PathBuf, sync::Arc};

use propeller_api::Invalid;

/// Why the store doesn't open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be opened or written.
    #[error("can't use the state {}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file isn't what was written.
    #[error(
        "the state {} is damaged ({problem}): `propeller up --repair` keeps the damaged file beside it and goes on with what can be read of it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It was never ours.
    #[error("{} is a database of another program: choose another directory for the state", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "the state {} was written by a newer version (format {found}, and this one knows up to {known}): run that version", path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// No thread for it.
    #[error("can't start the thread that writes the state")]
    Thread(#[source] io::Error),
}

/// Why the store doesn't do what is asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// There is one of that name.
    #[error("it exists")]
    Exists,
    /// There is none of that name.
    #[error("it isn't there")]
    Missing,
    /// It isn't the version, or the resource, that was meant.
    #[error("it was changed meanwhile, or replaced by another of the same name")]
    Conflict,
    /// It breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The disk failed. Nothing was written.
    #[error("the state can't be written")]
    Failed(#[source] Arc<rusqlite::Error>),
    /// The store ends.
    #[error("the control plane is stopping")]
    Stopping,
}
