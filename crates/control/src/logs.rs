//! What tasks wrote, kept for who asks: bounded for each task and in all, and readable after the task has ended.
//!
//! ```text
//!  brain ── keep, forget ──► queue ──► writer (a thread) ──► {uid}.old, {uid}.log     one JSON document a line
//!                                        │                        ▲
//!                                        └── says that there is news, where files begin ──► Reader ──► answer: HTTP
//! ```
//!
//! Two files for each task: when the newer one has half of what a task may have, it takes the place of the older one. So the newest lines stay. In
//! all, what wasn't written to for the longest time goes first. Nothing is synced: lines that were on their way are lost with the machine, as they
//! are lost on the bus.
//!
//! What a proplet says isn't trusted to be small: what waits is bounded in bytes, and what one message and one line may become in lines and bytes. A
//! marker stands for what was cut.

pub mod answer;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
};

use jiff::Timestamp;
use propeller_protocol::{Logs as Lines, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, watch};

pub use reader::Reader;
use writer::{Job, Writer};

/// Bytes of memory that lines which wait for the writer may take. What doesn't get in is dropped, and counted.
const QUEUE: usize = 16 << 20;
/// Lines of one message that are kept, the last ones of it. A proplet sends some hundreds at most; but a message of 1 MiB has room for a million that
/// are empty, each of which would be a document of a hundred bytes.
const LINES: usize = 4_096;
/// What a line takes in memory beside its text, and what a message does.
const OVERHEAD: usize = 64;

/// More than a line of a proplet takes here, with all its escapes.
const LONGEST: u64 = 64 << 10;

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
    jobs: mpsc::UnboundedSender<Job>,
    /// What `QUEUE` leaves. The uids of tasks that are to be forgotten aren't counted: there are no more of them than there were tasks.
    room: Arc<Semaphore>,
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
    /// How often the newer one became the older one, counted from `first`.
    turns: u64,
    /// Where it was counted from: later for a task whose lines gave way and that wrote again, so that nobody takes its new files for the old ones.
    first: u64,
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
        let (jobs, queue) = mpsc::unbounded_channel();
        let writer = Writer::new(Arc::clone(&shared), bounds);
        thread::Builder::new()
            .name("logs".into())
            .spawn(move || writer.run(queue))?;
        let room = Arc::new(Semaphore::new(QUEUE));
        Ok(Self { shared, jobs, room })
    }

    /// Keeps lines. Never waits: where the disk is slower than the tasks, lines are dropped. Returns whether they weren't.
    pub fn keep(&self, mut lines: Lines) -> bool {
        let cut = lines.lines.len().saturating_sub(LINES);
        lines.lines.drain(..cut);
        let bytes = lines.lines.iter().map(|line| OVERHEAD + line.len()).sum::<usize>() + OVERHEAD;
        let room = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.room).try_acquire_many_owned(bytes).ok());
        let Some(room) = room else { return false };
        let lines = Box::new(lines);
        self.jobs.send(Job::Keep { lines, cut, room }).is_ok()
    }

    /// Forgets the lines of a task that is gone.
    pub fn forget(&self, uid: &str) {
        // Nobody is there to forget once the writer has ended.
        let _ = self.jobs.send(Job::Forget(uid.to_owned()));
    }

    /// Forgets the lines of all tasks but these: they went while nobody was told.
    pub fn forget_others(&self, uids: HashSet<String>) {
        let _ = self.jobs.send(Job::ForgetOthers(uids));
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

/// A power cut may have left a part of a line at the end, behind which another one would be read with it.
fn mend(path: &Path) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LONGEST);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    (&mut file).take(LONGEST).read_to_end(&mut end)?;
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let whole = from + u64::try_from(whole).unwrap_or(0);
    if whole < length { file.set_len(whole) } else { Ok(()) }
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
        mend(&entry.path())?;
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
