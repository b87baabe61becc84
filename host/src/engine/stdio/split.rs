//! From bytes to lines.

use super::{Lines, Stream};

/// Makes lines of what one stream of one instance writes. The last one, which may have no end, is told when this is dropped.
pub(super) struct Splitter {
    lines: Lines,
    stream: Stream,
    /// The line so far, never longer than a line may be.
    line: Vec<u8>,
    /// Bytes of this line that there was no room for.
    beyond: u64,
}

impl Splitter {
    pub(super) fn new(lines: Lines, stream: Stream) -> Self {
        Self {
            lines,
            stream,
            line: Vec::new(),
            beyond: 0,
        }
    }

    /// More bytes of the stream.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = self.lines.limits().line.saturating_sub(self.line.len());
        let (fits, beyond) = bytes.split_at(bytes.len().min(room));
        self.line.extend_from_slice(fits);
        self.beyond += beyond.len() as u64;
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = if self.beyond == 0 {
            String::from_utf8_lossy(line)
        } else {
            String::from_utf8_lossy(whole_characters(line))
        };
        self.lines.offer(self.stream, text.into_owned(), self.beyond);
        self.line.clear();
        self.beyond = 0;
    }
}

impl Drop for Splitter {
    fn drop(&mut self) {
        if !self.line.is_empty() || self.beyond > 0 {
            self.end_line();
        }
    }
}

/// Without the beginning of a character at the end, which was cut off there.
fn whole_characters(line: &[u8]) -> &[u8] {
    match str::from_utf8(line) {
        Err(error) if error.error_len().is_none() => &line[..error.valid_up_to()],
        _ => line,
    }
}
