//! Directories for state.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path};

/// Makes the directory, and those above it, if they aren't there. What it makes only this user can read: messages and components may hold
/// what is nobody else's business. Fails where nothing can be written.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    tempfile::tempfile_in(directory).map(drop)
}

/// Makes what was created, renamed or removed in the directory last over a power cut.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
