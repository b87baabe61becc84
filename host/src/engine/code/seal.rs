//! Whether a file was written here: a keyed BLAKE3 hash.
//!
//! The key keeps apart what this installation wrote and what came from elsewhere (another machine's cache, a backup, a shared volume); it
//! doesn't withstand someone who can read this user's files. BLAKE3, because a start reads all code through it once: it takes a
//! third of the time of SHA-256 with the processor's help.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use uuid::Uuid;

use super::sweep;

/// What seals.
pub(super) struct Key([u8; 32]);

/// A seal in the making.
pub(super) struct Seal(blake3::Hasher);

impl Key {
    /// The key in this file. Whatever else is there is replaced; what it had sealed is worth nothing then.
    pub(super) fn read_or_make(path: &Path) -> io::Result<Self> {
        if let Some(key) = Self::read(path)? {
            return Ok(key);
        }
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        sweep::put(path, &[one.as_bytes(), other.as_bytes()])?;
        // Several processes may do so at once. The file is the one of the last by now.
        Self::read(path)?.ok_or_else(|| io::Error::other("it changes all the time"))
    }

    /// None if it isn't there, or isn't a key that is known to nobody else.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let mut key = [0; 32];
        if metadata.mode() & 0o077 != 0 || metadata.len() != 32 {
            return Ok(None);
        }
        file.read_exact(&mut key)?;
        Ok(Some(Self(key)))
    }

    pub(super) fn seal(&self) -> Seal {
        Seal(blake3::Hasher::new_keyed(&self.0))
    }
}

impl Seal {
    /// In bytes.
    pub(super) const LENGTH: usize = blake3::OUT_LEN;

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn add_from(&mut self, reader: impl Read) -> io::Result<()> {
        self.0.update_reader(reader).map(drop)
    }

    pub(super) fn finish(&self) -> [u8; Self::LENGTH] {
        self.0.finalize().into()
    }

    /// Compared in the same time whatever differs.
    pub(super) fn is(&self, expected: &[u8]) -> bool {
        self.0.finalize() == *expected
    }
}
