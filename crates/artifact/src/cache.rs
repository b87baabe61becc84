//! Blobs on disk by digest: `blobs/sha256/<hex>`, as in an OCI image layout.
//!
//! A blob appears under its name only when all its bytes are on disk, so several processes may share a directory, and a crash leaves at most a
//! file in `incoming/`. Whatever is read is hashed again: a disk that lost a bit costs a download, never a wrong component. Nothing here decides
//! who may read what: who knows a digest gets the blob. What was used least recently makes room for what is new.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use propeller_api::Digest;

use crate::{digest::digest_of, error::Error};

/// No download takes this long, so an incoming file this old was left behind by a crash.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone)]
pub(crate) struct Cache {
    blobs: PathBuf,
    incoming: PathBuf,
    max_bytes: u64,
}

impl Cache {
    /// Makes the directories, and removes what crashed downloads left.
    pub(crate) fn open(directory: &Path, max_bytes: u64) -> Result<Self, Error> {
        let cache = Self {
            blobs: directory.join("blobs/sha256"),
            incoming: directory.join("incoming"),
            max_bytes,
        };
        for directory in [&cache.blobs, &cache.incoming] {
            fs::create_dir_all(directory).map_err(failed("create", directory))?;
        }
        cache.remove_abandoned();
        Ok(cache)
    }

    /// The blob, verified. A damaged one is removed and counts as absent; so does one of more than `limit` bytes, which isn't read.
    pub(crate) async fn get(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, Error> {
        let (path, digest) = (self.path(digest), digest.clone());
        self.blocking(move || read_verified(&path, &digest, limit)).await
    }

    /// Keeps the blob. The caller has verified that `bytes` have this digest.
    pub(crate) async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<(), Error> {
        let (cache, path) = (self.clone(), self.path(digest));
        self.blocking(move || cache.write(&path, &bytes)).await
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Reading, hashing and syncing hold a thread, so they get one that doesn't drive other tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| failed("work in", &self.blobs)(error.into()))?
    }

    /// The name must not be durable before the bytes are, nor the caller told before the name is: hence two syncs around the rename.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file =
            tempfile::NamedTempFile::new_in(&self.incoming).map_err(failed("create a file in", &self.incoming))?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed("write", path))?;
        file.persist(path).map_err(|error| failed("write", path)(error.error))?;
        fs::File::open(&self.blobs)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("write", &self.blobs))?;
        self.make_room(path);
        Ok(())
    }

    /// Removes blobs until there are no more bytes than there may be, from what was used least recently. The newest stays. Who reads a blob meanwhile
    /// has it open; and failing harms nobody for now.
    fn make_room(&self, newest: &Path) {
        let entries = fs::read_dir(&self.blobs).into_iter().flatten().flatten();
        let mut blobs: Vec<_> = entries
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        blobs.sort();
        let mut total: u64 = blobs.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in blobs.iter().filter(|(.., path)| path != newest) {
            if total <= self.max_bytes {
                break;
            }
            match fs::remove_file(path) {
                Ok(()) => tracing::debug!(path = %path.display(), "an artifact makes room"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove an artifact"),
            }
            total -= bytes;
        }
    }

    /// Failing here harms nobody: the files only take room.
    fn remove_abandoned(&self) {
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.incoming).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read_verified(path: &Path, digest: &Digest, limit: u64) -> Result<Option<Bytes>, Error> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    if size > limit {
        return Ok(None);
    }
    let bytes = match fs::read(path) {
        // It made room for another one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed("read", path))?,
    };
    if digest_of(&bytes) == *digest {
        note_use(path);
        return Ok(Some(bytes.into()));
    }
    tracing::warn!(%digest, path = %path.display(), "removing a damaged blob from the artifact cache");
    fs::remove_file(path).map_err(failed("remove", path))?;
    Ok(None)
}

/// That it can't be said harms nobody.
fn note_use(path: &Path) {
    if let Ok(file) = fs::File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::CacheFailed { action, path, source }
}
