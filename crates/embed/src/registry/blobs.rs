//! Blobs as files, each under its digest.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use ferro_blob_store::{BlobStore, BlobStoreError, Digest, DigestAlgo, Result};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::folder;

/// A file appears under its name when all of it is on disk, and what is there is compared with its digest before it is handed out.
///
/// The store that comes with the registry does neither: what it acknowledged may be gone or empty after a power cut, and then stays so,
/// since nobody sends what the registry has.
#[derive(Clone)]
pub(super) struct Blobs(Arc<Path>);

impl Blobs {
    /// Opens the directory, and removes what earlier writes left unfinished.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        for algorithm in [DigestAlgo::Sha256, DigestAlgo::Sha512] {
            folder::make(&directory.join(algorithm.prefix()))?;
        }
        let unfinished = directory.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        folder::make(&unfinished)?;
        Ok(Self(directory.into()))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.algo().prefix()).join(digest.hex())
    }

    fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let computed = digest_of(digest.algo(), bytes)?;
        if computed != *digest {
            return Err(BlobStoreError::DigestMismatch {
                expected: digest.to_string(),
                computed: computed.to_string(),
            });
        }
        let path = self.path(digest);
        let mut file = NamedTempFile::new_in(self.0.join(UNFINISHED))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(folder::sync(&self.0.join(digest.algo().prefix()))?)
    }

    fn read(&self, digest: &Digest) -> Result<Bytes> {
        let absent = || BlobStoreError::NotFound(digest.to_string());
        let bytes = match fs::read(self.path(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
            read => read?,
        };
        if digest_of(digest.algo(), &bytes)? == *digest {
            return Ok(bytes.into());
        }
        // The next push sends it again.
        tracing::error!(%digest, "a blob of the registry is damaged on disk: push the artifact again");
        Err(absent())
    }

    /// Hashing and files, away from the thread that serves the others.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce(Self) -> Result<T> + Send + 'static) -> Result<T> {
        let blobs = self.clone();
        let done = spawn_blocking(move || work(blobs)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }
}

/// Beside the blobs, so that a finished one is only renamed.
const UNFINISHED: &str = "unfinished";

fn digest_of(algorithm: DigestAlgo, bytes: &[u8]) -> Result<Digest> {
    match algorithm {
        DigestAlgo::Sha256 => Ok(Digest::sha256_of(bytes)),
        DigestAlgo::Sha512 => Ok(Digest::sha512_of(bytes)),
        other => Err(io::Error::other(format!("digests of {other:?} can't be checked")).into()),
    }
}

#[async_trait]
impl BlobStore for Blobs {
    async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let digest = digest.clone();
        self.work(move |blobs| blobs.write(&digest, &bytes)).await
    }

    async fn get(&self, digest: &Digest) -> Result<Bytes> {
        let digest = digest.clone();
        self.work(move |blobs| blobs.read(&digest)).await
    }

    async fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.path(digest).try_exists()?)
    }

    async fn delete(&self, digest: &Digest) -> Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        }
    }

    async fn list(&self) -> Result<Vec<Digest>> {
        self.work(|blobs| {
            let mut found = Vec::new();
            for algorithm in [DigestAlgo::Sha256, DigestAlgo::Sha512] {
                for entry in fs::read_dir(blobs.0.join(algorithm.prefix()))? {
                    let name = entry?.file_name();
                    found.extend(name.to_str().and_then(|hex| Digest::new(algorithm, hex).ok()));
                }
            }
            Ok(found)
        })
        .await
    }
}
