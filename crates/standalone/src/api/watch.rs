//! Changes as they happen, one JSON document a line.

use std::{collections::VecDeque, time::Duration};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use propeller_api::API_VERSION;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    Status,
    select::{Query, Selection},
};
use crate::store::{Change, Store};

/// Between two marks of how far a silent watch is. It shows the client that somebody is there, and keeps its version fresh.
const MARK: Duration = Duration::from_secs(30);

/// How long a watch lasts if nobody says. The client comes again then.
const LASTS: Duration = Duration::from_secs(1_800);

/// A watch of some resources.
struct Watch {
    store: Store,
    selection: Selection,
    version: u64,
    wants_marks: bool,
    end: Instant,
    /// When silence is told.
    mark: Instant,
    stop: CancellationToken,
    lines: VecDeque<Value>,
    is_over: bool,
}

pub(super) fn watch(
    store: Store,
    selection: Selection,
    query: &Query,
    stop: CancellationToken,
) -> Result<Response, Status> {
    if query.send_initial_events.is_some() {
        return Err(Status::bad_request(
            "sendInitialEvents: list first, and watch from there",
        ));
    }
    let version = query
        .resource_version
        .as_deref()
        .filter(|version| !matches!(*version, "" | "0"));
    let mut lines = VecDeque::new();
    let version = match version {
        Some(text) => text
            .parse()
            .map_err(|_| Status::bad_request(format!("resourceVersion `{text}` isn't one of this control plane's")))?,
        None => {
            let (version, mut resources) = store.list(selection.kind);
            resources.retain(|resource| selection.has(resource));
            lines.extend(
                resources
                    .into_iter()
                    .map(|resource| json!({"type": "ADDED", "object": *resource})),
            );
            version
        }
    };
    // A version that was forgotten is told at once, by the response's code.
    store.changes(version)?;
    let lasts = query.timeout_seconds.map_or(LASTS, Duration::from_secs).min(LASTS);
    let watch = Watch {
        store,
        selection,
        version,
        wants_marks: query.allow_watch_bookmarks.0,
        end: Instant::now() + lasts,
        mark: Instant::now() + MARK,
        stop,
        lines,
        is_over: false,
    };
    let lines = stream::unfold(watch, async |mut watch| {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watch))
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

impl Watch {
    /// The next lines, when there are some; `None` is the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.lines.is_empty() {
                let mut text = String::new();
                for line in self.lines.drain(..) {
                    text.push_str(&line.to_string());
                    text.push('\n');
                }
                self.mark = Instant::now() + MARK;
                return Some(text.into());
            }
            if self.is_over {
                return None;
            }
            let mut newest = self.store.newest();
            let news = newest.wait_for(|newest| *newest > self.version);
            tokio::select! {
                () = self.stop.cancelled() => return None,
                came = timeout_at(self.mark.min(self.end), news) => match came {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => return None,
                    Err(_) if Instant::now() >= self.end => return None,
                    Err(_) => {
                        self.mark();
                        continue;
                    }
                },
            }
            self.catch_up();
        }
    }

    fn mark(&mut self) {
        self.mark = Instant::now() + MARK;
        if self.wants_marks {
            let object = json!({
                "apiVersion": API_VERSION,
                "kind": self.selection.kind.name(),
                "metadata": {"resourceVersion": self.version.to_string()},
            });
            self.lines.push_back(json!({"type": "BOOKMARK", "object": object}));
        }
    }

    fn catch_up(&mut self) {
        match self.store.changes(self.version) {
            Ok(changes) => {
                for change in changes {
                    self.version = change.version;
                    self.lines.extend(event(&self.selection, &change));
                }
            }
            Err(forgotten) => {
                self.lines
                    .push_back(json!({"type": "ERROR", "object": Status::from(forgotten).json()}));
                self.is_over = true;
            }
        }
    }
}

/// What a change is to somebody who sees the selected ones only: one that is selected no more is deleted, as far as they can see.
fn event(selection: &Selection, change: &Change) -> Option<Value> {
    let was = change.before.as_ref().is_some_and(|before| selection.has(before));
    let is = !change.is_gone && selection.has(&change.now);
    let what = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(json!({"type": what, "object": *change.now}))
}
