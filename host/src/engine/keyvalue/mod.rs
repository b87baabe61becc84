//! Buckets of `wasi:keyvalue`, on disk.
//!
//! A bucket belongs to a task (by its uid: all attempts at it on this proplet) or to a namespace (every task in it on this proplet). What was
//! written is on disk when the guest goes on. A bucket lasts until the file is removed, or [`KeyValue::forget`] is told that its task has ended or is gone.
//!
//! The only place that knows the database, redb. Never here: a guest, or a decision about who may open what.

mod bucket;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use propeller_api::BucketScope;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, Table, TableDefinition};

pub use bucket::Bucket;
#[cfg(test)]
use bucket::VALUE_BYTES;
pub(super) use bucket::{BucketError, PAGE};

use super::TaskContext;

/// By scope, owner, bucket and key.
const VALUES: TableDefinition<(u8, &str, &str, &str), &[u8]> = TableDefinition::new("values");
/// Bytes of each bucket.
const SIZES: TableDefinition<(u8, &str, &str), u64> = TableDefinition::new("sizes");

/// redb takes a gigabyte if it isn't told.
const CACHE_BYTES: usize = 8 << 20;

/// Where buckets are kept. Clones share it. The file is made when the first bucket is opened.
#[derive(Clone)]
pub struct KeyValue(Arc<File>);

struct File {
    path: PathBuf,
    /// None before the first use, and after a failure: redb refuses to go on after one.
    database: Mutex<Option<Arc<Database>>>,
}

/// The buckets can't be used. Clones as its words: a guest is told of it, too.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the key-value file {}", path.display())]
pub struct KeyValueError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Whose bucket it is, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Id {
    scope: u8,
    owner: String,
    name: String,
}

/// Never another number: they are on disk.
const TASK: u8 = 0;
const NAMESPACE: u8 = 1;
/// Nobody's bucket: the sum of the sizes of all.
const ALL: (u8, &str, &str) = (2, "", "");

impl KeyValue {
    /// Keep buckets in the file of this path. No other process may use it meanwhile.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(File {
            path: path.into(),
            database: Mutex::new(None),
        }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Remove the buckets of a task that won't run here again. Blocks while the disk works.
    ///
    /// # Errors
    ///
    /// When the file can't be opened or written.
    pub fn forget(&self, uid: &str) -> Result<(), KeyValueError> {
        if !self.0.path.exists() {
            return Ok(());
        }
        self.with("change", |database| {
            if !has_any(database, uid)? {
                return Ok(());
            }
            let write = database.begin_write()?;
            {
                let mut values = write.open_table(VALUES)?;
                values.retain_in((TASK, uid, "", "").., |(scope, owner, ..), _| {
                    (scope, owner) != (TASK, uid)
                })?;
                let mut sizes = write.open_table(SIZES)?;
                let (before, mut gone) = (total(&sizes)?, 0_u64);
                sizes.retain_in((TASK, uid, "").., |(scope, owner, _), size| {
                    let stays = (scope, owner) != (TASK, uid);
                    gone = gone.saturating_add(if stays { 0 } else { size });
                    stays
                })?;
                sizes.insert(ALL, before.saturating_sub(gone))?;
            }
            Ok(write.commit()?)
        })
    }

    /// A bucket of this task, or of its namespace, of at most `limit` bytes, as long as all buckets together have no more than `all`. Blocks while the
    /// file is opened.
    pub(super) fn bucket(
        &self,
        asked: &propeller_api::Bucket,
        task: &TaskContext,
        limit: u64,
        all: u64,
    ) -> Result<Bucket, KeyValueError> {
        let (scope, owner) = match asked.scope {
            BucketScope::Task => (TASK, &task.uid),
            BucketScope::Namespace => (NAMESPACE, &task.namespace),
        };
        self.with("open", |_| Ok(()))?;
        let id = Id {
            scope,
            owner: owner.clone(),
            name: asked.bucket.clone(),
        };
        Ok(Bucket::new(self.clone(), id, limit, all))
    }

    /// Do something with the open database. After a failure it's opened anew the next time.
    fn with<T>(
        &self,
        action: &'static str,
        operation: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, KeyValueError> {
        let failed = |source| KeyValueError {
            action,
            path: self.0.path.clone(),
            source,
        };
        let database = self.database().map_err(failed)?;
        operation(&database).map_err(|error| {
            *self.lock() = None;
            failed(error.into())
        })
    }

    fn database(&self) -> Result<Arc<Database>, Box<dyn std::error::Error + Send + Sync>> {
        let mut database = self.lock();
        if let Some(database) = &*database {
            return Ok(database.clone());
        }
        let opened = Arc::new(open(&self.0.path)?);
        *database = Some(opened.clone());
        Ok(opened)
    }

    /// A panic elsewhere can't leave it in halves: use it nevertheless.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Database>>> {
        self.0.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of all buckets. A file that was written before they were summed up has them one by one.
fn total(sizes: &Table<'_, (u8, &'static str, &'static str), u64>) -> Result<u64, redb::Error> {
    if let Some(sum) = sizes.get(ALL)? {
        return Ok(sum.value());
    }
    let mut sum = 0_u64;
    for bucket in sizes.iter()? {
        sum = sum.saturating_add(bucket?.1.value());
    }
    Ok(sum)
}

/// Whether there is a bucket of that task. Most tasks have none, and then nothing has to wait for the disk.
fn has_any(database: &Database, uid: &str) -> Result<bool, redb::Error> {
    let sizes = database.begin_read()?.open_table(SIZES)?;
    let first = sizes.range((TASK, uid, "")..)?.next().transpose()?;
    Ok(first.is_some_and(|(key, _)| {
        let (scope, owner, _) = key.value();
        (scope, owner) == (TASK, uid)
    }))
}

/// Both tables are there afterwards, so that whoever reads needn't ask.
fn open(path: &Path) -> Result<Database, Box<dyn std::error::Error + Send + Sync>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let database = Builder::new().set_cache_size(CACHE_BYTES).create(path)?;
    let write = database.begin_write()?;
    write.open_table(VALUES)?;
    write.open_table(SIZES)?;
    write.commit()?;
    only_ours(path)?;
    Ok(database)
}

/// What tasks keep may be secret.
fn only_ours(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyValue({})", self.0.path.display())
    }
}
