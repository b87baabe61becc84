//! Reads the lines of one task, and waits for more.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use propeller_protocol::Stream;
use tokio::{sync::watch, task::spawn_blocking};

use super::{Entry, Files, Shared, is_name};

/// Where somebody is in the lines of one task.
pub struct Reader {
    shared: Arc<Shared>,
    uid: String,
    place: Option<Place>,
    news: watch::Receiver<u64>,
}

/// How far was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    turns: u64,
    offset: u64,
}

/// A part of a file, which stays what it is whatever becomes of the file's name.
struct Part {
    file: File,
    from: u64,
    to: u64,
}

/// What is there to be read.
struct News {
    parts: Vec<Part>,
    /// Whether lines before it aren't there any more.
    is_missing: bool,
    /// Where the reader is then.
    place: Place,
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
    pub async fn read(&mut self) -> io::Result<Bytes> {
        self.news.mark_unchanged();
        // Most news is of other tasks.
        let place = self.shared.read().get(&self.uid).map(Place::end);
        if !is_name(&self.uid) || place.is_none() || place == self.place {
            return Ok(Bytes::new());
        }
        let (shared, uid, place) = (Arc::clone(&self.shared), self.uid.clone(), self.place);
        let read = spawn_blocking(move || read(&shared, &uid, place)).await;
        let Some((text, place)) = read.map_err(io::Error::other)?? else {
            return Ok(Bytes::new());
        };
        self.place = Some(place);
        Ok(text)
    }

    /// Ready when something was written by any task since the last [`read`](Self::read). Never, once nothing is written any more.
    pub async fn news(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Place {
    /// Behind the last line.
    fn end(files: &Files) -> Self {
        Self {
            turns: files.turns,
            offset: files.new,
        }
    }
}

fn read(shared: &Shared, uid: &str, place: Option<Place>) -> io::Result<Option<(Bytes, Place)>> {
    let Some(news) = open(shared, uid, place)? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    if news.is_missing {
        missing(&mut text)?;
    }
    for mut part in news.parts {
        part.file.seek(SeekFrom::Start(part.from))?;
        part.file.take(part.to - part.from).read_to_end(&mut text)?;
    }
    Ok(Some((text.into(), news.place)))
}

/// Opens what is new under the lock, on whose other side the writer turns and removes files; it is read after that.
fn open(shared: &Shared, uid: &str, place: Option<Place>) -> io::Result<Option<News>> {
    let index = shared.read();
    let Some(files) = index.get(uid) else { return Ok(None) };
    let all = [("old", 0, files.old), ("log", 0, files.new)];
    let (is_missing, parts) = match place {
        Some(Place { turns, offset }) if turns == files.turns => (false, [("old", 0, 0), ("log", offset, files.new)]),
        Some(Place { turns, offset }) if turns + 1 == files.turns => (false, [("old", offset, files.old), all[1]]),
        place => (place.is_some() || files.turns > files.first + 1, all),
    };
    let parts = parts.into_iter().filter(|(_, from, to)| from < to);
    let parts = parts.map(|(end, from, to)| {
        let file = File::open(shared.path(uid, end))?;
        Ok(Part { file, from, to })
    });
    Ok(Some(News {
        parts: parts.collect::<io::Result<_>>()?,
        is_missing,
        place: Place::end(files),
    }))
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
