//! What tasks wrote, kept for who asks: bounded for each task and in all, and readable after the task has ended.
//!
//! ```text
//!  brain ── keep, forget ──► queue ──► writer (a thread) ──► {uid}.old, {uid}.log     one JSON document a line
//!                                        │                        ▲
//!                                        └── says that there is news, where files begin ──► Reader
//! ```
//!
//! Two files for each task: when the newer one has half of what a task may have, it takes the place of the older one. So the newest lines stay. In
//! all, what wasn't written to for the longest time goes first. Nothing is synced: lines that were on their way are lost with the machine, as they
//! are lost on the bus.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
};

use jiff::Timestamp;
use propeller_protocol::{Logs as Lines, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

pub use reader::Reader;
use writer::{Job, Writer};

/// Batches that wait for the writer. What doesn't get in is dropped, and counted.
const QUEUE: usize = 1_024;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes for one task.
    pub task: u64,
    /// Bytes in all.
    pub all: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            task: 1 << 20,
            all: 256 << 20,
        }
    }
}

/// One line that a task wrote, or one that stands for what isn't here any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it came here.
    pub time: Timestamp,
    /// Which attempt wrote it.
    pub attempt: u32,
    /// Where.
    pub stream: Stream,
    /// The line, without its end.
    pub line: String,
    /// Whether it says that something is missing, in place of the task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marker: bool,
}

/// The lines of all tasks. Clones share them.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

struct Shared {
    directory: PathBuf,
    index: RwLock<HashMap<String, Files>>,
    /// Counts what was written.
    news: watch::Sender<u64>,
}

/// The two files of a task.
#[derive(Debug, Clone, Default)]
struct Files {
    /// Bytes of the older one.
    old: u64,
    /// Bytes of the newer one.
    new: u64,
    /// How often the newer one became the older one since this process began.
    turns: u64,
    /// Orders tasks by when they were last written to.
    touched: u64,
}

impl Files {
    fn bytes(&self) -> u64 {
        self.old + self.new
    }
}

impl Logs {
    /// Keeps lines in that directory, and finds those of the last time.
    ///
    /// # Errors
    ///
    /// When it can't be made or read.
    pub fn open(directory: &Path, bounds: Bounds) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let index = find(directory)?;
        let (news, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            index: RwLock::new(index),
            news,
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), bounds);
        thread::Builder::new()
            .name("logs".into())
            .spawn(move || writer.run(queue))?;
        Ok(Self { shared, jobs })
    }

    /// Keeps lines. Never waits: where the disk is slower than the tasks, lines are dropped. Returns whether they weren't.
    pub fn keep(&self, lines: Lines) -> bool {
        self.jobs.try_send(Job::Keep(Box::new(lines))).is_ok()
    }

    /// Forgets the lines of a task that is gone.
    pub fn forget(&self, uid: &str) -> bool {
        self.jobs.try_send(Job::Forget(uid.to_owned())).is_ok()
    }

    /// Reads the lines of a task, from the first that is there.
    pub fn read(&self, uid: &str) -> Reader {
        Reader::new(Arc::clone(&self.shared), uid)
    }
}

impl Shared {
    fn path(&self, uid: &str, end: &str) -> PathBuf {
        self.directory.join(format!("{uid}.{end}"))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Files>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Files>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file can have that name. A uid is the store's, so it can.
fn is_name(uid: &str) -> bool {
    !uid.is_empty() && uid.len() <= 128 && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What is there, the oldest first.
fn find(directory: &Path) -> io::Result<HashMap<String, Files>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some((uid, end @ ("old" | "log"))) = name.rsplit_once('.') else {
            continue;
        };
        let metadata = entry.metadata()?;
        found.push((metadata.modified()?, uid.to_owned(), end == "old", metadata.len()));
    }
    found.sort();
    let mut index = HashMap::<String, Files>::new();
    for (touched, (_, uid, is_old, bytes)) in (0..).zip(found) {
        let files = index.entry(uid).or_default();
        files.touched = touched;
        *(if is_old { &mut files.old } else { &mut files.new }) = bytes;
    }
    Ok(index)
}
