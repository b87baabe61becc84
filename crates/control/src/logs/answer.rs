//! What a task wrote, as the answer over HTTP that both shells give: one JSON document a line.

use std::{convert::Infallible, future::Future, io, pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Logs, Reader};
use crate::http::Flag;

/// Lines of a task that has ended may still be on their way: proplets tell them in batches, and results don't wait for them.
const LATE: Duration = Duration::from_millis(750);

/// The query of a request for lines, with the names that Kubernetes has for pods.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// Whether to go on with lines as they come, until the task has ended.
    pub follow: Flag,
    /// No more than so many of the lines that are there.
    pub tail_lines: Option<usize>,
}

/// Answers with the lines of the task with that uid. Who follows is told lines until `ended`, which is ready when the task has ended or is gone, or
/// until `stop`.
///
/// # Errors
///
/// When the files can't be read.
pub async fn answer(
    logs: &Logs,
    uid: &str,
    options: Options,
    ended: impl Future<Output = ()> + Send + 'static,
    stop: CancellationToken,
) -> io::Result<Response> {
    let mut reader = logs.read(uid);
    let first = reader.read().await?;
    let first = options.tail_lines.map_or(first.clone(), |lines| tail(&first, lines));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    if !options.follow.0 {
        return Ok((kind, first).into_response());
    }
    let following = Following {
        reader,
        over: Box::pin(async move {
            ended.await;
            sleep(LATE).await;
        }),
        is_over: false,
        stop,
    };
    let lines = stream::unfold((Some(first), following), async |(first, mut following)| {
        let lines = match first {
            Some(first) => first,
            None => following.next().await?,
        };
        Some((Ok::<_, Infallible>(lines), (None, following)))
    });
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// A request that goes on as long as the task does.
struct Following {
    reader: Reader,
    /// Ready when the task has ended and its last lines have had their time.
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    stop: CancellationToken,
}

impl Following {
    /// The next lines; `None` when there are no more.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let lines = self.reader.read().await.unwrap_or_default();
            if !lines.is_empty() {
                return Some(lines);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = self.reader.news() => {}
                // What came meanwhile is read once more.
                () = &mut self.over => self.is_over = true,
            }
        }
    }
}

fn tail(lines: &Bytes, most: usize) -> Bytes {
    let ends = lines.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    // The last line's own end comes first.
    let begin = ends.map(|(at, _)| at + 1).nth(most);
    lines.slice(begin.unwrap_or(0)..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found() {
        let check = |text: &'static str, most: usize, expected: &str| {
            assert_eq!(tail(&Bytes::from(text), most), expected, "{text:?} {most}");
        };
        check("a\nb\nc\n", 0, "");
        check("a\nb\nc\n", 1, "c\n");
        check("a\nb\nc\n", 3, "a\nb\nc\n");
        check("a\nb\nc\n", 9, "a\nb\nc\n");
        check("", 1, "");
    }
}
