//! Reads the lines of one task, and waits for more.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use propeller_protocol::Stream;
use tokio::sync::watch;

use super::{Entry, Files, Shared, is_name};

/// Where somebody is in the lines of one task.
pub struct Reader {
    shared: Arc<Shared>,
    uid: String,
    place: Option<Place>,
    news: watch::Receiver<u64>,
}

/// How far was read.
#[derive(Debug, Clone, Copy)]
struct Place {
    turns: u64,
    offset: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, uid: &str) -> Self {
        Self {
            news: shared.news.subscribe(),
            shared,
            uid: uid.to_owned(),
            place: None,
        }
    }

    /// What came since the last time, as JSON documents with a line end behind each: see [`Entry`]. Empty if nothing did.
    ///
    /// # Errors
    ///
    /// When the files can't be read.
    pub fn read(&mut self) -> io::Result<Bytes> {
        self.news.mark_unchanged();
        let mut text = Vec::new();
        if !is_name(&self.uid) {
            return Ok(text.into());
        }
        // The writer turns files under the other side of this lock.
        let index = self.shared.read();
        let Some(files) = index.get(&self.uid) else {
            return Ok(text.into());
        };
        let (old, new) = (self.shared.path(&self.uid, "old"), self.shared.path(&self.uid, "log"));
        match self.place {
            Some(Place { turns, offset }) if turns == files.turns => take(&new, offset, files.new, &mut text)?,
            Some(Place { turns, offset }) if turns + 1 == files.turns => {
                take(&old, offset, files.old, &mut text)?;
                take(&new, 0, files.new, &mut text)?;
            }
            place => {
                if place.is_some() || files.turns > 1 {
                    missing(&mut text)?;
                }
                take(&old, 0, files.old, &mut text)?;
                take(&new, 0, files.new, &mut text)?;
            }
        }
        let Files { turns, new: offset, .. } = *files;
        self.place = Some(Place { turns, offset });
        Ok(text.into())
    }

    /// Ready when something was written by any task since the last [`read`](Self::read). Never, once nothing is written any more.
    pub async fn news(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

fn take(path: &Path, from: u64, to: u64, text: &mut Vec<u8>) -> io::Result<()> {
    if from >= to {
        return Ok(());
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    file.take(to - from).read_to_end(text)?;
    Ok(())
}

fn missing(text: &mut Vec<u8>) -> io::Result<()> {
    let entry = Entry {
        time: Timestamp::now(),
        attempt: 0,
        stream: Stream::Stderr,
        line: "… earlier lines weren't kept".to_owned(),
        marker: true,
    };
    serde_json::to_writer(&mut *text, &entry)?;
    text.push(b'\n');
    Ok(())
}
