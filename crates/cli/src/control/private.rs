//! Files for the person who runs this, and nobody else.

use std::{
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// Writes the whole file or nothing, readable by its user only.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A temporary file is made with 0600.
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
