//! Compiled code on disk, so that a digest is compiled once per machine and mapped from then on.
//!
//! ```text
//! <directory>/key                                32 bytes that nobody else knows
//! <directory>/<digest>-<generation>.cwasm        code │ outline │ trailer: lengths, seal
//! <directory>/<digest>-<generation>.lock         somebody compiles it just now
//! ```
//!
//! The *generation* stands for everything that code depends on beside the component: the versions of this program and of Wasmtime, the
//! compiler's settings, the processor's features. What another generation wrote is never opened, and goes when its turn comes.
//!
//! The *outline* is what the component's types are read from; its bytes aren't needed any more.
//!
//! The *seal* is a keyed hash over all of it and the entry's name. Compiled code is run as it is, so only code that was sealed here is: what is
//! damaged, cut short, renamed or from elsewhere is removed and compiled again. That is also why nothing is synced to disk: what a crash
//! leaves in halves has no seal.

use std::{
    fs::{self, DirBuilder, File},
    hash::{Hash, Hasher},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use propeller_api::Digest;

use super::{
    lock::Lock,
    seal::{Key, Seal},
    sweep,
};

/// Where compiled code is kept between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// A directory for this alone, which is made if it isn't there. Nobody else may be able to write to it. Several processes of one user
    /// can share it.
    pub directory: PathBuf,
    /// Bytes that all of it may take. What was used least recently goes first.
    pub max_bytes: u64,
}

/// The directory can't be used for compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It can't be made, or not be looked at.
    #[error("cannot use the directory {} for compiled code", directory.display())]
    Directory {
        /// Which it is.
        directory: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Somebody else could put code there, which would run with the rights of this program.
    #[error(
        "the directory {} for compiled code {why}: make it yours alone (chown, chmod 700), or name another",
        directory.display()
    )]
    NotPrivate {
        /// Which it is.
        directory: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key can't be read, or not be made.
    #[error("cannot read or make the key {}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// The end of an entry's file: bytes of code and of the outline, and the seal.
const TRAILER: usize = 8 + 8 + Seal::LENGTH;

/// How old a time of use may be. Telling it each time would write to the disk whenever something is read.
pub(super) const STALE: Duration = Duration::from_secs(3600);

/// What is found in an entry.
pub(super) struct Entry {
    /// The file, which begins with the code. Whatever becomes of its name, this is what was found sealed.
    pub(super) file: File,
    /// What the component's types are read from.
    pub(super) outline: Vec<u8>,
}

/// The directory, and what is known of it.
pub(super) struct Cache {
    config: CacheConfig,
    key: Key,
    generation: String,
}

impl Cache {
    /// Opens or makes the directory, for code as `engine` compiles it.
    pub(super) fn open(config: CacheConfig, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let directory = config.directory.clone();
        make_private(&directory)?;
        let path = directory.join("key");
        let key = Key::read_or_make(&path).map_err(|source| CacheError::Key { path, source })?;
        let generation = generation(engine);
        Ok(Self {
            config,
            key,
            generation,
        })
    }

    /// The entry of this digest, if there is one that was sealed here. Any other is removed; one that can't be read just now isn't.
    pub(super) fn find(&self, digest: &Digest) -> Option<Entry> {
        let path = self.path(digest, "cwasm");
        match self.read(digest, &path) {
            Ok(found) => return found,
            Err(error) if is_damage(&error) => self.discard(digest, &error),
            Err(error) => tracing::warn!(path = %path.display(), %error, "compiled code can't be read"),
        }
        None
    }

    /// Remove an entry that turned out to be unusable.
    pub(super) fn discard(&self, digest: &Digest, why: &dyn std::fmt::Display) {
        let path = self.path(digest, "cwasm");
        tracing::warn!(path = %path.display(), %why, "compiled code is discarded");
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove compiled code");
        }
    }

    /// Puts an entry in place, and makes room for it. Fails if it's larger than all that may be kept.
    pub(super) fn keep(&self, digest: &Digest, code: &[u8], outline: Vec<u8>) -> io::Result<Entry> {
        let size = code.len() + outline.len() + TRAILER;
        if size as u64 > self.config.max_bytes {
            return Err(io::Error::other("it is larger than the whole cache may be"));
        }
        let lengths = lengths(code.len(), outline.len());
        let mut seal = self.seal(digest);
        seal.add(code);
        seal.add(&outline);
        seal.add(&lengths);
        let seal = seal.finish();
        let path = self.path(digest, "cwasm");
        let file = sweep::put(&path, &[code, &outline, &lengths, &seal])?;
        sweep::sweep(&self.config.directory, self.config.max_bytes, &path)?;
        Ok(Entry { file, outline })
    }

    /// The right to compile this digest, among all processes that share the directory. None if another one has it.
    pub(super) fn try_lock(&self, digest: &Digest) -> io::Result<Option<Lock>> {
        Lock::try_take(self.path(digest, "lock"))
    }

    /// Says that the code of this digest is in use, though it isn't read.
    pub(super) fn touch(&self, digest: &Digest) {
        // It may be gone, and code in memory is as good.
        if let Ok(file) = File::open(self.path(digest, "cwasm")) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    fn read(&self, digest: &Digest, path: &Path) -> io::Result<Option<Entry>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let (code, outline) = split(&file, metadata.len())?;
        let mut seal = self.seal(digest);
        let mut reader = &file;
        seal.add_from(reader.by_ref().take(code))?;
        let mut bytes = vec![0; usize::try_from(outline).map_err(io::Error::other)?];
        reader.read_exact(&mut bytes)?;
        seal.add(&bytes);
        let mut trailer = [0; TRAILER];
        reader.read_exact(&mut trailer)?;
        let (lengths, expected) = trailer.split_at(TRAILER - Seal::LENGTH);
        seal.add(lengths);
        if !seal.is(expected) {
            return Err(damaged());
        }
        touch(&file, &metadata);
        Ok(Some(Entry { file, outline: bytes }))
    }

    fn seal(&self, digest: &Digest) -> Seal {
        let mut seal = self.key.seal();
        seal.add(self.name(digest).as_bytes());
        seal
    }

    fn path(&self, digest: &Digest, kind: &str) -> PathBuf {
        self.config.directory.join(format!("{}.{kind}", self.name(digest)))
    }

    /// A digest is `sha256:` and hexadecimal digits, of which the colon has no place in the name of a file.
    fn name(&self, digest: &Digest) -> String {
        format!("{}-{}", digest.to_string().replace(':', "-"), self.generation)
    }
}

/// The bytes of code and of the outline in a file of this length.
fn split(file: &File, length: u64) -> io::Result<(u64, u64)> {
    let end = length.checked_sub(TRAILER as u64).ok_or_else(damaged)?;
    let mut lengths = [[0; 8]; 2];
    file.read_exact_at(lengths.as_flattened_mut(), end)?;
    let [code, outline] = lengths.map(u64::from_le_bytes);
    match code.checked_add(outline) {
        Some(both) if both == end => Ok((code, outline)),
        _ => Err(damaged()),
    }
}

fn lengths(code: usize, outline: usize) -> [u8; 16] {
    let mut lengths = [0; 16];
    let (first, second) = lengths.split_at_mut(8);
    first.copy_from_slice(&(code as u64).to_le_bytes());
    second.copy_from_slice(&(outline as u64).to_le_bytes());
    lengths
}

/// Whether the file is at fault, and not that the process has no descriptors or the disk no answer.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged, or was not written here")
}

/// Says that the file is in use. That it can't be said harms nobody.
fn touch(file: &File, metadata: &fs::Metadata) {
    let now = SystemTime::now();
    let age = metadata.modified().ok().and_then(|used| now.duration_since(used).ok());
    if age.is_none_or(|age| age > STALE) {
        let _ = file.set_modified(now);
    }
}

fn make_private(directory: &Path) -> Result<(), CacheError> {
    let failed = |source| CacheError::Directory {
        directory: directory.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    let metadata = fs::metadata(directory).map_err(failed)?;
    let why = if metadata.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "can be written to by others"
    } else {
        return Ok(());
    };
    Err(CacheError::NotPrivate {
        directory: directory.to_owned(),
        why,
    })
}

fn generation(engine: &wasmtime::Engine) -> String {
    let mut hasher = Blake3(blake3::Hasher::new());
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().to_hex().chars().take(16).collect()
}

/// The standard library's own hasher may be another one with every release of Rust.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Only asked for by collections; the generation is made of all bits.
    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        let mut word = [0; 8];
        word.copy_from_slice(hash.as_bytes().split_at(8).0);
        u64::from_le_bytes(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_answer_damages_nothing() {
        assert!(is_damage(&damaged()));
        assert!(is_damage(&io::ErrorKind::UnexpectedEof.into()));
        for errno in [
            rustix::io::Errno::MFILE,
            rustix::io::Errno::IO,
            rustix::io::Errno::NOMEM,
        ] {
            assert!(!is_damage(&errno.into()), "{errno}");
        }
    }
}
