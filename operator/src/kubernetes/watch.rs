//! Watches of Tasks and Proplets, as changes of the brain's caches.
//!
//! An object that can't be decoded, as one of a newer version may be, is skipped and reported, and disturbs no other.

use std::{collections::HashMap, fmt::Debug, sync::Arc};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, watcher},
    },
};
use propeller_api::{Metadata, Proplet, Task};
use propeller_control::{
    brain::{About, Change, Event, Notice, Severity, Store},
    metrics::Metrics,
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::store::KubernetesStore;

/// What a watch needs.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) client: Client,
    /// The one namespace to watch; `None` is all.
    pub(super) namespace: Option<String>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) store: Arc<KubernetesStore>,
    pub(super) metrics: Metrics,
}

impl Watcher {
    /// Watches Tasks for ever.
    pub(super) async fn tasks(self) {
        self.watch("Task", |change: Change<propeller_crd::Task>| {
            Event::Task(change.map(Task::from))
        })
        .await;
    }

    /// Watches Proplets for ever.
    pub(super) async fn proplets(self) {
        self.watch("Proplet", |change: Change<propeller_crd::Proplet>| {
            Event::Proplet(change.map(Proplet::from))
        })
        .await;
    }

    async fn watch<K>(self, kind: &'static str, event: impl Fn(Change<K>) -> Event)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let mut unreadable = Unreadable::new(kind);
        let objects = watcher(self.api::<K>(), Config::default()).default_backoff();
        pin_mut!(objects);
        while let Some(change) = objects.next().await {
            let change = match change {
                Ok(change) => self.change(change, &mut unreadable),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(kind, error, "the watch broke off, and goes on");
                    continue;
                }
            };
            if self.events.send(event(change)).await.is_err() {
                return;
            }
        }
    }

    fn api<K>(&self) -> Api<DeserializeGuard<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn change<K>(&self, change: watcher::Event<DeserializeGuard<K>>, unreadable: &mut Unreadable) -> Change<K>
    where
        K: Resource<DynamicType = ()>,
    {
        match change {
            watcher::Event::Init => Change::Listing,
            watcher::Event::InitDone => Change::Listed,
            watcher::Event::Delete(object) => {
                let uid = object.uid().unwrap_or_default();
                unreadable.seen.remove(&uid);
                Change::Gone { uid }
            }
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => match object.0 {
                Ok(object) => Change::Is(Box::new(object)),
                Err(invalid) => {
                    let metadata = propeller_crd::metadata(invalid.metadata);
                    let uid = metadata.uid.clone();
                    self.report(unreadable, metadata, invalid.error);
                    Change::Unreadable { uid }
                }
            },
        }
    }

    /// Tells people, once for each version of the object.
    fn report(&self, unreadable: &mut Unreadable, metadata: Metadata, problem: String) {
        let version = metadata.resource_version.clone();
        if unreadable.seen.insert(metadata.uid.clone(), version.clone()) == Some(version) {
            return;
        }
        let about = About::new(unreadable.kind, &metadata);
        tracing::warn!(kind = about.kind, object = %about.key, problem, "skipping an object that can't be read");
        self.metrics.unreadable(unreadable.kind);
        self.store.tell(Notice {
            about,
            severity: Severity::Warning,
            action: "Read",
            reason: "Unreadable".to_owned(),
            message: format!("this version of the operator can't read it, and leaves it alone: {problem}"),
        });
    }
}

/// Objects that can't be decoded, with the version that was complained about.
struct Unreadable {
    kind: &'static str,
    seen: HashMap<String, Option<String>>,
}

impl Unreadable {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            seen: HashMap::new(),
        }
    }
}
