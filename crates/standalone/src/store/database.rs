//! The SQLite file: one row for each resource, and a few facts.
//!
//! A commit is on disk when it returns: the journal is written ahead and synced with every commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use propeller_api::NamespacedName;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde_json::Value;
use uuid::Uuid;

use super::{Kind, OpenError, Resource};

/// What makes each format of the one before. The file's `user_version` counts them.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE resources (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ) WITHOUT ROWID;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"];

/// The file, open.
pub(super) struct Database {
    connection: Connection,
}

/// What was in it.
pub(super) struct Contents {
    /// The newest version of any resource.
    pub(super) version: u64,
    /// Who this control plane is.
    pub(super) controller: String,
    /// Everything.
    pub(super) resources: Vec<Resource>,
}

/// A row to write or to remove.
pub(super) enum Row<'a> {
    Is(&'a Resource),
    Gone(Kind, &'a NamespacedName),
}

impl Database {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        let explain = |error| explain(path, error);
        let mut connection = Connection::open(path).map_err(explain)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(explain)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(explain)?;
        if verdict != "ok" {
            return Err(damaged(path, verdict));
        }
        migrate(path, &mut connection)?;
        let contents = read(path, &connection)?;
        Ok((Self { connection }, contents))
    }

    /// A disk that is full after so many pages.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }

    /// Writes all of it, or nothing.
    pub(super) fn commit<'a>(&mut self, version: u64, rows: impl Iterator<Item = Row<'a>>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT OR REPLACE INTO resources (kind, namespace, name, body) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let mut remove =
                transaction.prepare_cached("DELETE FROM resources WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?;
            for row in rows {
                match row {
                    Row::Is(resource) => {
                        let body = serde_json::to_string(resource)
                            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                        let metadata = resource.metadata();
                        put.execute(params![resource.kind().name(), metadata.namespace, metadata.name, body])?;
                    }
                    Row::Gone(kind, key) => {
                        remove.execute(params![kind.name(), key.namespace, key.name])?;
                    }
                }
            }
        }
        transaction.execute(
            "INSERT OR REPLACE INTO facts (name, value) VALUES ('version', ?1)",
            [i64::try_from(version).unwrap_or(i64::MAX)],
        )?;
        transaction.commit()
    }
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let explain = |error| explain(path, error);
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(explain)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    let Some(missing) = MIGRATIONS.get(done..) else {
        return Err(OpenError::TooNew {
            path: path.to_owned(),
            found,
            known,
        });
    };
    if missing.is_empty() {
        return Ok(());
    }
    if found == 0 {
        let of_schema = |query: &str| {
            connection
                .query_row(query, [], |row| row.get::<_, i64>(0))
                .map_err(explain)
        };
        if of_schema("SELECT count(*) FROM sqlite_schema WHERE name IN ('resources', 'facts')")? > 0 {
            return Err(damaged(path, "the number of its format is gone".to_owned()));
        }
        if of_schema("SELECT count(*) FROM sqlite_schema")? > 0 {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
    }
    let transaction = connection.transaction().map_err(explain)?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(explain)?;
    }
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(explain)?;
    transaction.commit().map_err(explain)
}

fn read(path: &Path, connection: &Connection) -> Result<Contents, OpenError> {
    let explain = |error| explain(path, error);
    let version: Option<i64> = connection
        .query_row("SELECT value FROM facts WHERE name = 'version'", [], |row| row.get(0))
        .optional()
        .map_err(explain)?;
    let made = Uuid::new_v4().to_string();
    connection
        .execute(
            "INSERT OR IGNORE INTO facts (name, value) VALUES ('controller', ?1)",
            [made],
        )
        .map_err(explain)?;
    let controller = connection
        .query_row("SELECT value FROM facts WHERE name = 'controller'", [], |row| {
            row.get(0)
        })
        .map_err(explain)?;
    let mut statement = connection
        .prepare("SELECT kind, namespace, name, body FROM resources")
        .map_err(explain)?;
    let mut rows = statement.query([]).map_err(explain)?;
    let mut resources = Vec::new();
    while let Some(row) = rows.next().map_err(explain)? {
        let column = |index| row.get::<_, String>(index).map_err(explain);
        let (kind, namespace, name, body) = (column(0)?, column(1)?, column(2)?, column(3)?);
        let resource = resource(&kind, &body).map_err(|problem| {
            let hint = "unless a newer Propeller wrote it, which can read it";
            damaged(path, format!("{kind} {namespace}/{name}: {problem}; {hint}"))
        })?;
        resources.push(resource);
    }
    Ok(Contents {
        version: version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0),
        controller,
        resources,
    })
}

fn resource(kind: &str, body: &str) -> Result<Resource, String> {
    let kind = Kind::of_name(kind).ok_or("unknown kind")?;
    let json: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    Resource::read(kind, &json).map_err(|error| error.to_string())
}

/// What came of a repair.
#[derive(Debug)]
pub struct Repaired {
    /// Where the damaged file is kept.
    pub aside: PathBuf,
    /// How many resources could be read.
    pub read: usize,
    /// Which ones could be seen to be there, and not be read.
    pub lost: Vec<String>,
}

/// Makes a new file of what can be read of a damaged one, which is kept beside it. Cut off, it leaves the damaged one, or the new one.
///
/// The identity of the control plane is kept if it can be read: with another one, the proplets would take what they run for somebody else's.
/// Versions go on far behind those that anybody may have seen.
///
/// # Errors
///
/// When a file can't be read or written.
pub fn repair(path: &Path) -> Result<Repaired, OpenError> {
    let unusable = |error: io::Error| OpenError::Unusable {
        path: path.to_owned(),
        source: rusqlite::Error::ToSqlConversionFailure(error.into()),
    };
    let aside = with(path, &format!(".damaged-{}", Timestamp::now().as_second()));
    // SQLite finds what was written ahead by these names.
    for end in ["", "-wal", "-shm"] {
        match fs::copy(with(path, end), with(&aside, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
            _ => {}
        }
    }
    let saved = Connection::open(path)
        .map(|damaged| salvage(&damaged))
        .unwrap_or_default();
    let fresh = with(path, ".new");
    for end in ["", "-wal", "-shm"] {
        remove(&with(&fresh, end)).map_err(unusable)?;
    }
    write_new(&fresh, &saved)?;
    // Without it the damaged file is still damaged, and beside the new one it would be taken for a part of that.
    for end in ["-wal", "-shm"] {
        remove(&with(path, end)).map_err(unusable)?;
    }
    fs::rename(&fresh, path).map_err(unusable)?;
    Ok(Repaired {
        aside,
        read: saved.resources.len(),
        lost: saved.lost.into_iter().collect(),
    })
}

/// Closed when this returns, and so all in its one file.
fn write_new(path: &Path, saved: &Saved) -> Result<(), OpenError> {
    let explain = |error| explain(path, error);
    let (mut database, _) = Database::open(path)?;
    if let Some(controller) = &saved.controller {
        database
            .connection
            .execute("UPDATE facts SET value = ?1 WHERE name = 'controller'", [controller])
            .map_err(explain)?;
    }
    let newest = saved.resources.values().filter_map(version_of).max();
    let version = newest.unwrap_or(0).saturating_add(1_000_000);
    database
        .commit(version, saved.resources.values().map(Row::Is))
        .map_err(explain)?;
    database.connection.close().map_err(|(_, error)| explain(error))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[derive(Default)]
struct Saved {
    controller: Option<String>,
    resources: BTreeMap<(Kind, NamespacedName), Resource>,
    lost: BTreeSet<String>,
}

/// Whatever can be read, from either end of the table: what lies behind a damaged page can't be reached by the way over it.
fn salvage(damaged: &Connection) -> Saved {
    let controller = damaged.query_row("SELECT value FROM facts WHERE name = 'controller'", [], |row| {
        row.get(0)
    });
    let mut saved = Saved {
        controller: controller.ok(),
        ..Saved::default()
    };
    for order in ["ASC", "DESC"] {
        let query = format!(
            "SELECT kind, namespace, name, body FROM resources ORDER BY kind {order}, namespace {order}, name {order}"
        );
        let Ok(mut statement) = damaged.prepare(&query) else {
            continue;
        };
        let Ok(mut rows) = statement.query([]) else { continue };
        while let Ok(Some(row)) = rows.next() {
            let column = |index| row.get::<_, String>(index).unwrap_or_default();
            let (kind, body) = (column(0), column(3));
            match resource(&kind, &body) {
                Ok(resource) => drop(saved.resources.insert((resource.kind(), resource.key()), resource)),
                Err(_) => drop(saved.lost.insert(format!("{kind} {}/{}", column(1), column(2)))),
            }
        }
    }
    saved
}

pub(super) fn version_of(resource: &Resource) -> Option<u64> {
    resource.metadata().resource_version.as_ref()?.parse().ok()
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut text = OsString::from(path);
    text.push(end);
    text.into()
}

fn damaged(path: &Path, problem: String) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        problem,
    }
}

/// What SQLite or its values say of a file that isn't what was written. All else is the system's, or ours.
fn explain(path: &Path, source: rusqlite::Error) -> OpenError {
    use rusqlite::Error;
    let is_damage = match &source {
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => true,
        other => matches!(
            other.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::TypeMismatch
                    // As of a table that isn't there.
                    | ErrorCode::Unknown
            )
        ),
    };
    match is_damage {
        true => damaged(path, source.to_string()),
        false => OpenError::Unusable {
            path: path.to_owned(),
            source,
        },
    }
}
