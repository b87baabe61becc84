//! Who compiles a digest, among processes.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

/// Held while its digest is compiled. The kernel lets go of it when the process dies.
pub(super) struct Lock {
    path: PathBuf,
    /// Held for the lock on it.
    _file: File,
}

impl Lock {
    /// None if another process has it.
    pub(super) fn try_take(path: PathBuf) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    /// Whoever waits for this very file gets the lock of one that has no name any more, while a third makes and locks a new one. So two may
    /// compile the same, which costs time and nothing else: they look into the cache first, and put the same there.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
