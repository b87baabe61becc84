//! The ledger's records on disk. The only place that knows the database, redb.
//!
//! A commit returns when its records are on disk, all or none of them, so a power cut at any moment leaves what some commit left. The
//! journal's identity is made with the file and never changes: a copy of the file has the same, a new one another.

#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use propeller_delivery::ledger::{Entry, Ledger, Record, Terms};
use propeller_protocol::JournalId;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, WriteTransaction,
};
use uuid::Uuid;

/// By uid and attempt, as JSON: small, rarely written, and readable when something has to be found out.
const ENTRIES: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const ID: &str = "id";
const HEARD: &str = "heard";

/// Its name in the state directory.
pub(super) const FILE: &str = "journal.redb";
/// A new journal gets its name when it's complete, so a file of that name that isn't a journal is a damaged one, also if it is empty.
const UNFINISHED: &str = "journal.redb.new";

/// redb takes a gigabyte if it isn't told. The journal is read once, and has some kilobytes per attempt.
const CACHE_BYTES: usize = 1 << 20;

/// The open journal. No other process can open it meanwhile.
pub struct Journal {
    path: PathBuf,
    /// None after a failure, until the next commit opens it again: redb refuses to go on after one.
    database: Option<Database>,
}

/// The journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its directory can't be made.
    #[error("cannot make the state directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the journal {} is in use by another process: give each proplet a state-dir of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// What is in it isn't what was written.
    #[error(
        "the journal {} is damaged ({problem}). To go on without it, move it away: the proplet then starts with a new journal, and the \
         control plane learns that what this one held is lost",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} the journal {}", path.display())]
    Storage {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the database or the system said.
        source: Box<redb::Error>,
    },
}

impl Journal {
    /// Opens the journal in `directory`, or makes both, and reads the ledger that its records make.
    pub fn open(directory: &Path, terms: Terms) -> Result<(Self, Ledger), JournalError> {
        make_private(directory).map_err(|source| JournalError::Directory {
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join(FILE);
        if !path.exists() {
            create(&path, &directory.join(UNFINISHED))?;
        }
        let journal = Self {
            database: Some(open(&path)?),
            path,
        };
        let ledger = journal.read(terms)?;
        Ok((journal, ledger))
    }

    /// Makes the records durable, all or none. Blocks until the disk has them.
    pub fn commit(&mut self, records: &[Record]) -> Result<(), JournalError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        write(&database, records).map_err(|error| self.failed("write")(error))?;
        self.database = Some(database);
        Ok(())
    }

    fn read(&self, terms: Terms) -> Result<Ledger, JournalError> {
        let damaged = |problem: String| JournalError::Damaged {
            path: self.path.clone(),
            problem,
        };
        let Some(database) = &self.database else {
            return Err(damaged("it is closed".to_owned()));
        };
        let Contents { id, heard, entries } = read(database).map_err(|error| match error {
            redb::Error::TableDoesNotExist(table) => damaged(format!("it has no table `{table}`")),
            error => self.failed("read")(error),
        })?;
        let id = id.and_then(|id| id.parse::<JournalId>().ok());
        let mut ledger = Ledger::new(id.ok_or_else(|| damaged("it has no identity".to_owned()))?, terms);
        if let Some(heard) = heard {
            let heard: Timestamp = heard.parse().map_err(|_| damaged(format!("`{heard}` is not a time")))?;
            ledger.apply(Record::Heard(heard));
        }
        for (key, entry) in entries {
            let entry: Entry =
                serde_json::from_slice(&entry).map_err(|error| damaged(format!("entry {key:?}: {error}")))?;
            ledger.apply(Record::Put(key, Box::new(entry)));
        }
        Ok(ledger)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(redb::Error) -> JournalError + use<> {
        failed(action, &self.path)
    }
}

/// Makes the directory with its parents, for us alone: results and reports are somebody's data.
pub(super) fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mode = fs::metadata(directory)?.permissions().mode();
    if mode & 0o077 != 0
        && let Err(error) = fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
    {
        // A volume that is somebody else's, in a pod for instance.
        tracing::warn!(directory = %directory.display(), %error, "others may read the state directory");
    }
    Ok(())
}

fn create(path: &Path, unfinished: &Path) -> Result<(), JournalError> {
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace", unfinished)(error.into()));
        }
        _ => {}
    }
    let database = builder()
        .create(unfinished)
        .map_err(|error| opened(unfinished, error))?;
    let id = Uuid::new_v4().to_string();
    fill(&database, &id).map_err(failed("make", unfinished))?;
    drop(database);
    fs::rename(unfinished, path).map_err(|error| failed("name", path)(error.into()))?;
    // Until the directory is on the disk too, a power cut takes the whole journal.
    let directory = path.parent().unwrap_or(Path::new("."));
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed("keep", directory)(error.into()))
}

fn fill(database: &Database, id: &str) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(ID, id)?;
    transaction.open_table(ENTRIES)?;
    Ok(transaction.commit()?)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Otherwise redb trusts a file that was closed in order, and panics where it is wrong to.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn open(path: &Path) -> Result<Database, JournalError> {
    builder().open(path).map_err(|error| opened(path, error))
}

fn opened(path: &Path, error: DatabaseError) -> JournalError {
    let damaged = |problem: String| JournalError::Damaged {
        path: path.to_owned(),
        problem,
    };
    match error {
        DatabaseError::DatabaseAlreadyOpen => JournalError::InUse { path: path.to_owned() },
        DatabaseError::Storage(StorageError::Corrupted(problem)) => damaged(problem),
        DatabaseError::Storage(StorageError::Io(error))
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            damaged(error.to_string())
        }
        error => failed("open", path)(error.into()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(redb::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |source| JournalError::Storage {
        action,
        path,
        source: Box::new(source),
    }
}

fn write(database: &Database, records: &[Record]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    put(&transaction, records)?;
    Ok(transaction.commit()?)
}

fn put(transaction: &WriteTransaction, records: &[Record]) -> Result<(), redb::Error> {
    let mut entries = transaction.open_table(ENTRIES)?;
    let mut meta = transaction.open_table(META)?;
    for record in records {
        match record {
            Record::Put((uid, attempt), entry) => {
                let entry = serde_json::to_vec(entry).map_err(io::Error::from)?;
                entries.insert((uid.as_str(), *attempt), entry.as_slice())?;
            }
            Record::Remove((uid, attempt)) => drop(entries.remove((uid.as_str(), *attempt))?),
            Record::Heard(time) => drop(meta.insert(HEARD, time.to_string().as_str())?),
        }
    }
    Ok(())
}

struct Contents {
    id: Option<String>,
    heard: Option<String>,
    entries: Vec<((String, u32), Vec<u8>)>,
}

fn read(database: &Database) -> Result<Contents, redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let text = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|text| text.value().to_owned()));
    let mut entries = Vec::new();
    for entry in transaction.open_table(ENTRIES)?.iter()? {
        let (key, value) = entry?;
        let (uid, attempt) = key.value();
        entries.push(((uid.to_owned(), attempt), value.value().to_vec()));
    }
    Ok(Contents {
        id: text(ID)?,
        heard: text(HEARD)?,
        entries,
    })
}
