//! What a task wrote, one JSON document a line.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use propeller_api::{NamespacedName, is_true, types};
use propeller_control::logs::Reader;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::{
    Api, Status,
    select::{Extract, Flag},
};
use crate::store::{Kind, Resource};

/// Lines of a task that has ended may still be on their way: proplets tell them in batches, and results don't wait for them.
const LATE: Duration = Duration::from_millis(750);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Options {
    follow: Flag,
    tail_lines: Option<usize>,
}

/// A request that goes on as long as the task does.
struct Following {
    api: Api,
    key: NamespacedName,
    uid: String,
    reader: Reader,
    /// When it was seen to have ended.
    ended: Option<Instant>,
}

pub(super) async fn log(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
    Extract(options): Extract<Options>,
) -> Result<Response, Status> {
    let key = NamespacedName { namespace, name };
    let task = api
        .store
        .get(Kind::Task, &key)
        .ok_or_else(|| Status::missing(Kind::Task, &key.name))?;
    let uid = task.metadata().uid.clone();
    let mut reader = api.around.logs.read(&uid);
    let first = reader.read().map_err(|error| {
        tracing::warn!(%error, task = %key, "its lines can't be read");
        Status::internal("the lines can't be read: the log of the control plane says why")
    })?;
    let first = options.tail_lines.map_or(first.clone(), |lines| tail(&first, lines));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    if !options.follow.0 {
        return Ok((kind, first).into_response());
    }
    let following = Following {
        api,
        key,
        uid,
        reader,
        ended: None,
    };
    let lines = stream::unfold((Some(first), following), async |(first, mut following)| {
        let lines = match first {
            Some(first) => first,
            None => following.next().await?,
        };
        Some((Ok::<_, std::convert::Infallible>(lines), (None, following)))
    });
    Ok((kind, Body::from_stream(lines)).into_response())
}

impl Following {
    /// The next lines; `None` when there are no more.
    async fn next(&mut self) -> Option<Bytes> {
        let mut newest = self.api.store.newest();
        loop {
            let lines = self.reader.read().unwrap_or_default();
            if !lines.is_empty() {
                return Some(lines);
            }
            if self.ended.is_none() && self.has_ended() {
                self.ended = Some(Instant::now());
            }
            let left = self.ended.map(|ended| LATE.saturating_sub(ended.elapsed()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            let stop = self.api.stop.clone();
            let news = async {
                tokio::select! {
                    () = self.reader.news() => {}
                    _ = newest.changed(), if left.is_none() => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = timeout(left.unwrap_or(Duration::MAX), news) => {}
            }
        }
    }

    fn has_ended(&self) -> bool {
        match self.api.store.get(Kind::Task, &self.key).as_deref() {
            Some(Resource::Task(task)) if task.metadata.uid == self.uid => {
                let status = task.status.as_ref();
                status.is_some_and(|status| is_true(&status.conditions, types::FINISHED))
            }
            _ => true,
        }
    }
}

fn tail(lines: &Bytes, most: usize) -> Bytes {
    let ends = lines.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    // The last line's own end comes first.
    let begin = ends.map(|(at, _)| at + 1).nth(most);
    lines.slice(begin.unwrap_or(0)..)
}
