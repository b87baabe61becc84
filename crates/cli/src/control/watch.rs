//! What is there, and then each change, for as long as somebody looks: over ends of the stream, restarts of the control plane, and versions that
//! it has forgotten.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    time::Duration,
};

use futures::{Stream, StreamExt};
use kube::{
    api::{WatchEvent, WatchParams},
    error::Error,
};
use serde_json::Value;

use super::{
    ControlError,
    kind::{Kind, text},
    server::{Query, Server},
};

/// Tries to reach a control plane that was there before, with pauses that double: some eight seconds, in which one restarts.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// An object now.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It's there like this.
    Is(Value),
    /// It was like this, and isn't there any more.
    Gone(Value),
}

type Events = Pin<Box<dyn Stream<Item = Result<WatchEvent<Value>, Error>> + Send>>;

/// A look at the objects of a query.
pub struct Watch<'a> {
    server: &'a Server,
    kind: Kind,
    query: Query,
    version: String,
    events: Option<Events>,
    known: BTreeMap<String, Value>,
    /// Told when next asked.
    news: VecDeque<Seen>,
}

impl<'a> Watch<'a> {
    /// The list as it is now, and what comes after.
    pub async fn begin(server: &'a Server, kind: Kind, query: Query) -> Result<(Value, Self), ControlError> {
        let list = server.list(kind, &query).await?;
        let mut watch = Self {
            server,
            kind,
            query,
            version: String::new(),
            events: None,
            known: BTreeMap::new(),
            news: VecDeque::new(),
        };
        watch.take(&list);
        watch.news.clear();
        Ok((list, watch))
    }

    /// The next change.
    pub async fn next(&mut self) -> Result<Seen, ControlError> {
        loop {
            if let Some(seen) = self.news.pop_front() {
                return Ok(seen);
            }
            if self.events.is_none() {
                self.connect().await?;
            }
            let Some(events) = &mut self.events else { continue };
            match events.next().await {
                Some(Ok(event)) => self.event(event),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the watch broke off");
                    // A version that the server has forgotten is no failure: everything is listed anew.
                    if matches!(error, Error::Api(_)) {
                        self.version.clear();
                    }
                    self.pause().await;
                }
                // The server ends a watch every few minutes.
                None => self.pause().await,
            }
        }
    }

    fn event(&mut self, event: WatchEvent<Value>) {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.version = text(&object, "/metadata/resourceVersion").to_owned();
                self.is(object);
            }
            WatchEvent::Deleted(object) => {
                self.version = text(&object, "/metadata/resourceVersion").to_owned();
                self.known.remove(text(&object, "/metadata/uid"));
                self.news.push_back(Seen::Gone(object));
            }
            WatchEvent::Bookmark(bookmark) => self.version = bookmark.metadata.resource_version,
            // What it is, the next list or watch tells.
            WatchEvent::Error(status) => {
                tracing::debug!(%status, "the watch ended");
                self.version.clear();
                self.events = None;
            }
        }
    }

    /// Whoever ends watches as soon as they begin isn't asked all the time.
    async fn pause(&mut self) {
        self.events = None;
        tokio::time::sleep(FIRST_PAUSE).await;
    }

    async fn connect(&mut self) -> Result<(), ControlError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.try_connect().await {
                Err(error) if error.is_passing() => {
                    tracing::debug!(%error, ?pause, "trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
        self.try_connect().await
    }

    async fn try_connect(&mut self) -> Result<(), ControlError> {
        if self.version.is_empty() {
            let list = self.server.list(self.kind, &self.query).await?;
            self.take(&list);
        }
        let doing = format!("watch {}", self.kind.plural());
        let params = WatchParams {
            label_selector: self.query.labels.clone(),
            field_selector: self.query.fields.clone(),
            ..WatchParams::default()
        };
        let request = self.server.scope(self.kind, &self.query).watch(&params, &self.version);
        let request = request.map_err(|error| self.server.error(&doing, Error::BuildRequest(error)))?;
        match self.server.client().request_events::<Value>(request).await {
            Ok(events) => self.events = Some(Box::pin(events)),
            Err(Error::Api(status)) if status.code == 410 => self.version.clear(),
            Err(error) => return Err(self.server.error(doing, error)),
        }
        Ok(())
    }

    /// Takes in a list: what changed since the last one is news.
    fn take(&mut self, list: &Value) {
        let items = list["items"].as_array().into_iter().flatten();
        let mut known = BTreeMap::new();
        for item in items {
            known.insert(text(item, "/metadata/uid").to_owned(), item.clone());
        }
        for (uid, object) in std::mem::take(&mut self.known) {
            if !known.contains_key(&uid) {
                self.news.push_back(Seen::Gone(object));
            } else {
                self.known.insert(uid, object);
            }
        }
        known.into_values().for_each(|object| self.is(object));
        self.version = text(list, "/metadata/resourceVersion").to_owned();
    }

    /// What is as it was is no news.
    fn is(&mut self, object: Value) {
        let before = self
            .known
            .insert(text(&object, "/metadata/uid").to_owned(), object.clone());
        if before.as_ref() != Some(&object) {
            self.news.push_back(Seen::Is(object));
        }
    }
}
