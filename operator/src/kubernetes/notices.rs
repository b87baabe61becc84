//! Notices as Kubernetes Events, which `kubectl describe` shows.
//!
//! Events cost the API server as much as a status write, so they are paced, and give way to it: the queue is short, and what doesn't get in is
//! dropped. What repeats is counted on the Event that is there.

use std::{future::Future, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use propeller_api::API_VERSION;
use propeller_control::brain::{Notice, Severity};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::store::FIELD_MANAGER;

/// Between two Events: a tenth of what an API server writes in that time.
const PACE: Duration = Duration::from_millis(40);
/// Notices that wait, some ten seconds' worth.
const QUEUE: usize = 256;
/// The most bytes that an Event's note may have.
const NOTE: usize = 1024;

/// A queue for notices, and the worker that records them.
pub(super) fn recorder(client: Client, identity: &str) -> (mpsc::Sender<Notice>, impl Future<Output = ()> + use<>) {
    let (sender, mut queue) = mpsc::channel(QUEUE);
    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: Some(identity.to_owned()),
    };
    let recorder = Recorder::new(client, reporter);
    let worker = async move {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(notice) = queue.recv().await {
            pace.tick().await;
            record(&recorder, notice).await;
        }
    };
    (sender, worker)
}

async fn record(recorder: &Recorder, notice: Notice) {
    let about = ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(notice.about.kind.to_owned()),
        namespace: Some(notice.about.key.namespace.clone()),
        name: Some(notice.about.key.name.clone()),
        uid: Some(notice.about.uid),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: match notice.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: notice.reason,
        note: Some(cut(notice.message)),
        action: notice.action.to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &about).await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(object = %notice.about.key, error, "an Event wasn't recorded");
    }
}

fn cut(mut note: String) -> String {
    note.truncate(note.floor_char_boundary(NOTE));
    note
}
