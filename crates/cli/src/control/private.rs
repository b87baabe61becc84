//! Files for the person who runs this, and nobody else.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file that takes its place when it's written, readable by its user only.
pub struct Private {
    file: NamedTempFile,
    path: PathBuf,
}

impl Private {
    /// Begins a file. What is at its place stays until the end.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(Self {
            // Made with 0600.
            file: NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?,
            path: path.to_owned(),
        })
    }

    /// Gives it the mode and the owner of what is at its place, if something is: a server may have to read it.
    pub fn like_before(self) -> io::Result<Self> {
        match fs::metadata(&self.path) {
            Ok(before) => {
                chown(self.file.path(), Some(before.uid()), Some(before.gid()))?;
                self.file.as_file().set_permissions(before.permissions())?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// Writes the whole file or nothing.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.as_file().sync_all()?;
        self.file.persist(self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
