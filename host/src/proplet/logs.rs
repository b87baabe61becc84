//! What tasks write, on its way to the broker: lines in batches.
//!
//! Nothing here bounds what a task may write: the engine does, and it drops what isn't taken in time. So one slow step delays and then cuts
//! the lines of a task, and never holds up the task, another one or a result.

use std::time::Duration;

use propeller_protocol::{AttemptRef, Stream};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::engine::{self, Line, LineReader};

/// Lines wait so long for others to be told with them.
const DELAY: Duration = Duration::from_millis(250);
/// A batch isn't held for more lines once it has so many bytes.
const ENOUGH: usize = 16 << 10;

/// Batches on their way to the loop. Their senders wait while there are more.
pub const QUEUE: usize = 64;

/// Lines of one stream of one attempt, in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who wrote them.
    pub attempt: AttemptRef,
    /// Where.
    pub stream: Stream,
    /// Without their ends.
    pub lines: Vec<String>,
}

/// Tells all lines of a run until its end.
pub async fn tell(mut reader: LineReader, attempt: AttemptRef, batches: mpsc::Sender<Batch>) {
    while let Some(line) = reader.next().await {
        for (stream, lines) in collect(line, &mut reader).await {
            if lines.is_empty() {
                continue;
            }
            let attempt = attempt.clone();
            let batch = Batch { attempt, stream, lines };
            if batches.send(batch).await.is_err() {
                return;
            }
        }
    }
}

/// The first line and what follows it soon. A message has lines of one stream, so their order between the streams is lost.
async fn collect(first: Line, reader: &mut LineReader) -> [(Stream, Vec<String>); 2] {
    let mut streams = [(Stream::Stdout, vec![]), (Stream::Stderr, vec![])];
    let mut bytes = 0;
    let mut put = |line: Line| {
        bytes += line.text.len();
        let [(_, out), (_, err)] = &mut streams;
        match line.stream {
            engine::Stream::Stdout => out.push(line.text),
            engine::Stream::Stderr => err.push(line.text),
        }
        bytes < ENOUGH
    };
    let end = Instant::now() + DELAY;
    let mut has_room = put(first);
    while has_room && let Ok(Some(line)) = timeout_at(end, reader.next()).await {
        has_room = put(line);
    }
    streams
}
