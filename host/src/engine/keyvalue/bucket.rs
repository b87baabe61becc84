//! One bucket: its operations, each a transaction, and its bounds.

use redb::{Database, ReadableDatabase, ReadableTable, Table};

use super::{ALL, Id, KeyValue, KeyValueError, SIZES, VALUES, total};
use crate::engine::memory::{Account, Reservation};

/// Bytes of a value. What is larger belongs in a file.
pub(super) const VALUE_BYTES: usize = 1 << 20;

/// Bytes of a key.
const KEY_BYTES: usize = 1 << 10;

/// What an entry takes beside its key and value, so that many empty ones aren't free.
const ENTRY_BYTES: u64 = 64;

/// Keys that are listed at once.
pub(in crate::engine) const PAGE: usize = 256;

/// A bucket that was granted. Everything here blocks while the disk works.
#[derive(Debug, Clone)]
pub struct Bucket {
    file: KeyValue,
    id: Id,
    limit: u64,
    /// Of all buckets.
    all: u64,
}

/// Why an operation wasn't done.
#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum BucketError {
    #[error("a key has 1 to {KEY_BYTES} bytes")]
    Key,
    #[error("a value has at most {VALUE_BYTES} bytes")]
    Value,
    #[error("the bucket is full: it may hold {0} bytes")]
    Full(u64),
    #[error("this host keeps no more than {0} bytes in all buckets")]
    AllFull(u64),
    #[error("the value is no number, or would be too large for one")]
    NoNumber,
    /// The guest's memory bound leaves no room for the values.
    #[error("there is no memory for the values")]
    Memory,
    #[error(transparent)]
    File(#[from] KeyValueError),
}

/// Values that were read, counted as memory of the run while they are here.
#[derive(Default)]
pub(in crate::engine) struct Values {
    pub(in crate::engine) values: Vec<Option<Vec<u8>>>,
    _counted: Vec<Reservation>,
}

/// What happens to a key.
type Change<'a> = (&'a str, Option<&'a [u8]>);

impl Bucket {
    pub(super) fn new(file: KeyValue, id: Id, limit: u64, all: u64) -> Self {
        Self { file, id, limit, all }
    }

    /// Values of the keys, in their order, as far as the run has memory for all of them.
    pub(in crate::engine) fn get(&self, keys: &[String], memory: &Account) -> Result<Values, BucketError> {
        self.read(|values| {
            let mut found = Values::default();
            for key in keys {
                let value = values.get(self.at(key))?;
                let length = value.as_ref().map_or(0, |value| value.value().len());
                match memory.reserve(length) {
                    Some(counted) => found._counted.push(counted),
                    None => return Ok(Err(BucketError::Memory)),
                }
                found.values.push(value.map(|value| value.value().to_vec()));
            }
            Ok(Ok(found))
        })
    }

    pub(in crate::engine) fn exists(&self, key: &str) -> Result<bool, BucketError> {
        self.read(|values| Ok(Ok(values.get(self.at(key))?.is_some())))
    }

    /// At most [`PAGE`] keys after the first `skipped`, in alphabetical order, and whether there are more.
    pub(in crate::engine) fn keys(&self, skipped: usize) -> Result<(Vec<String>, bool), BucketError> {
        self.read(|values| {
            let mut page = Vec::new();
            for (at, entry) in values.range(self.at("")..)?.enumerate() {
                let (key, _) = entry?;
                let (scope, owner, name, key) = key.value();
                if (scope, owner, name) != self.bucket() || page.len() > PAGE {
                    break;
                }
                if at >= skipped {
                    page.push(key.to_owned());
                }
            }
            let more = page.len() > PAGE;
            page.truncate(PAGE);
            Ok(Ok((page, more)))
        })
    }

    pub(in crate::engine) fn set(&self, entries: &[(String, Vec<u8>)]) -> Result<(), BucketError> {
        if entries.iter().any(|(key, _)| key.is_empty() || key.len() > KEY_BYTES) {
            return Err(BucketError::Key);
        }
        if entries.iter().any(|(_, value)| value.len() > VALUE_BYTES) {
            return Err(BucketError::Value);
        }
        let entries = entries
            .iter()
            .map(|(key, value)| (key.as_str(), Some(value.as_slice())));
        self.change(entries.collect())
    }

    pub(in crate::engine) fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        self.change(keys.iter().map(|key| (key.as_str(), None)).collect())
    }

    /// Adds to the number that the value is in decimal, or to 0, and returns the sum.
    pub(in crate::engine) fn increment(&self, key: &str, delta: u64) -> Result<u64, BucketError> {
        if key.is_empty() || key.len() > KEY_BYTES {
            return Err(BucketError::Key);
        }
        self.write(|transaction| {
            let old = transaction
                .values
                .get(self.at(key))?
                .map(|value| value.value().to_vec());
            let number = old.map_or(Some(0), |old| str::from_utf8(&old).ok()?.parse::<u64>().ok());
            let Some(sum) = number.and_then(|number| number.checked_add(delta)) else {
                return Ok(Err(BucketError::NoNumber));
            };
            let done = transaction.apply(self, &[(key, Some(sum.to_string().as_bytes()))])?;
            Ok(done.map(|()| sum))
        })
    }

    fn change(&self, changes: Vec<Change<'_>>) -> Result<(), BucketError> {
        self.write(|transaction| transaction.apply(self, &changes))
    }

    fn read<T>(
        &self,
        operation: impl FnOnce(&redb::ReadOnlyTable<(u8, &str, &str, &str), &[u8]>) -> Outcome<T>,
    ) -> Result<T, BucketError> {
        let read = |database: &Database| operation(&database.begin_read()?.open_table(VALUES)?);
        self.file.with("read", read)?
    }

    /// All of what the operation does is written, or, if it fails, nothing.
    fn write<T>(&self, operation: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>) -> Result<T, BucketError> {
        let write = |database: &Database| {
            let write = database.begin_write()?;
            let outcome = {
                let mut tables = Transaction {
                    values: write.open_table(VALUES)?,
                    sizes: write.open_table(SIZES)?,
                };
                operation(&mut tables)?
            };
            match outcome {
                Ok(value) => {
                    write.commit()?;
                    Ok(Ok(value))
                }
                Err(refused) => {
                    write.abort()?;
                    Ok(Err(refused))
                }
            }
        };
        self.file.with("change", write)?
    }

    fn bucket(&self) -> (u8, &str, &str) {
        (self.id.scope, &self.id.owner, &self.id.name)
    }

    fn at<'a>(&'a self, key: &'a str) -> (u8, &'a str, &'a str, &'a str) {
        (self.id.scope, &self.id.owner, &self.id.name, key)
    }
}

/// The outer error is the database's, the inner one the guest's own.
type Outcome<T> = Result<Result<T, BucketError>, redb::Error>;

struct Transaction<'a> {
    values: Table<'a, (u8, &'static str, &'static str, &'static str), &'static [u8]>,
    sizes: Table<'a, (u8, &'static str, &'static str), u64>,
}

impl Transaction<'_> {
    fn apply(&mut self, bucket: &Bucket, changes: &[Change<'_>]) -> Outcome<()> {
        let before = self.sizes.get(bucket.bucket())?.map_or(0, |size| size.value());
        let others = total(&self.sizes)?.saturating_sub(before);
        let mut size = before;
        for (key, value) in changes {
            let at = bucket.at(key);
            let old = match value {
                Some(value) => self.values.insert(at, value)?,
                None => self.values.remove(at)?,
            };
            let of_entry = |length: usize| (key.len() + length) as u64 + ENTRY_BYTES;
            size = size.saturating_sub(old.map_or(0, |old| of_entry(old.value().len())));
            size = size.saturating_add(value.map_or(0, |value| of_entry(value.len())));
            // What is full may still be emptied, also if the policy has become stricter.
            if value.is_some() && size > bucket.limit {
                return Ok(Err(BucketError::Full(bucket.limit)));
            }
        }
        let all = others.saturating_add(size);
        if size > before && all > bucket.all {
            return Ok(Err(BucketError::AllFull(bucket.all)));
        }
        self.sizes.insert(bucket.bucket(), size)?;
        self.sizes.insert(ALL, all)?;
        Ok(Ok(()))
    }
}
