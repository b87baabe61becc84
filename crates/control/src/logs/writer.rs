//! The thread that writes lines.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    sync::Arc,
};

use jiff::Timestamp;
use propeller_protocol::Logs as Lines;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Bounds, Entry, Files, Shared, is_name};

/// Files that are open at the same time.
const OPEN: usize = 64;

pub(super) enum Job {
    /// Lines of a message, and how many of it were cut.
    Keep {
        lines: Box<Lines>,
        cut: usize,
        /// Given back when they are written.
        room: OwnedSemaphorePermit,
    },
    Forget(String),
    ForgetOthers(HashSet<String>),
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    bounds: Bounds,
    /// Of all tasks.
    bytes: u64,
    /// Counts writes.
    clock: u64,
    open: HashMap<String, File>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, bounds: Bounds) -> Self {
        let index = shared.read();
        let (bytes, clock) = (index.values().map(Files::bytes).sum(), index.len() as u64 * 2);
        drop(index);
        Self {
            shared,
            bounds,
            bytes,
            clock,
            open: HashMap::new(),
        }
    }

    pub(super) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut is_failing = false;
        while let Some(job) = queue.blocking_recv() {
            let done = self.perform(job);
            // A full disk says so once, and not for every line.
            match done {
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(%error, "lines of tasks can't be kept");
                }
                Ok(()) => is_failing = false,
                Err(_) => {}
            }
            self.shared.news.send_modify(|news| *news += 1);
        }
    }

    fn perform(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Keep {
                lines,
                cut,
                room: _room,
            } if is_name(&lines.attempt.task.uid) => self.keep(*lines, cut),
            Job::Keep { .. } => Ok(()),
            Job::Forget(uid) => self.forget(&uid),
            Job::ForgetOthers(uids) => self.forget_others(&uids),
        }
    }

    fn keep(&mut self, lines: Lines, cut: usize) -> io::Result<()> {
        let uid = lines.attempt.task.uid;
        let (time, attempt, stream) = (Timestamp::now(), lines.attempt.attempt, lines.stream);
        let entry = |line, marker| Entry {
            time,
            attempt,
            stream,
            line,
            marker,
        };
        if cut > 0 {
            let marker = format!("… {cut} lines weren't kept: they came in one message");
            self.append(&uid, &text(&entry(marker, true))?)?;
        }
        for line in lines.lines {
            let bytes = line.len();
            let mut kept = text(&entry(line, false))?;
            if kept.len() as u64 > self.bounds.task / 2 {
                kept = text(&entry(format!("… a line of {bytes} bytes wasn't kept"), true))?;
            }
            self.append(&uid, &kept)?;
        }
        self.make_room(&uid)
    }

    fn append(&mut self, uid: &str, text: &[u8]) -> io::Result<()> {
        let bytes = text.len() as u64;
        let before = self.shared.read().get(uid).cloned().unwrap_or_default();
        if before.new > 0 && before.new + bytes > self.bounds.task / 2 {
            self.turn(uid)?;
        }
        let written = self.file(uid)?.write_all(text);
        if written.is_err() {
            // What a full disk took of it would be in the way of the next line.
            let begin = self.shared.read().get(uid).map_or(0, |files| files.new);
            self.file(uid)?.set_len(begin)?;
        }
        written?;
        self.bytes += bytes;
        self.clock += 1;
        let (turns, first) = (self.clock, self.clock);
        let mut index = self.shared.write();
        let files = index.entry(uid.to_owned()).or_insert_with(|| Files {
            turns,
            first,
            ..Files::default()
        });
        files.new += bytes;
        files.touched = self.clock;
        Ok(())
    }

    /// The newer file becomes the older one.
    fn turn(&mut self, uid: &str) -> io::Result<()> {
        self.open.remove(uid);
        // Under the lock, so that nobody reads one file for the other.
        let mut index = self.shared.write();
        fs::rename(self.shared.path(uid, "log"), self.shared.path(uid, "old"))?;
        let files = index.entry(uid.to_owned()).or_default();
        self.bytes = self.bytes.saturating_sub(files.old);
        (files.old, files.new) = (files.new, 0);
        files.turns += 1;
        Ok(())
    }

    fn file(&mut self, uid: &str) -> io::Result<&mut File> {
        if !self.open.contains_key(uid) {
            if self.open.len() >= OPEN {
                self.open.clear();
            }
            let path = self.shared.path(uid, "log");
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            self.open.insert(uid.to_owned(), file);
        }
        self.open
            .get_mut(uid)
            .ok_or_else(|| io::Error::other("a file is missing"))
    }

    fn make_room(&mut self, but: &str) -> io::Result<()> {
        while self.bytes > self.bounds.all {
            let index = self.shared.read();
            let others = index.iter().filter(|(uid, _)| *uid != but);
            let oldest = others
                .min_by_key(|(_, files)| files.touched)
                .map(|(uid, _)| uid.clone());
            drop(index);
            let Some(oldest) = oldest else { return Ok(()) };
            self.forget(&oldest)?;
        }
        Ok(())
    }

    fn forget_others(&mut self, uids: &HashSet<String>) -> io::Result<()> {
        let known: Vec<String> = self.shared.read().keys().cloned().collect();
        for uid in known.iter().filter(|uid| !uids.contains(*uid)) {
            self.forget(uid)?;
        }
        Ok(())
    }

    fn forget(&mut self, uid: &str) -> io::Result<()> {
        self.open.remove(uid);
        let mut index = self.shared.write();
        let Some(files) = index.remove(uid) else { return Ok(()) };
        self.bytes = self.bytes.saturating_sub(files.bytes());
        for end in ["old", "log"] {
            match fs::remove_file(self.shared.path(uid, end)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A document, and the end of its line.
fn text(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(entry)?;
    text.push(b'\n');
    Ok(text)
}
