//! What people are told of resources beside their statuses: Kubernetes'
//! [Events](https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/), the newest of them, in memory.
//!
//! A status says all that matters of how a resource is. What led there is of use for an hour, and isn't kept over a restart.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use propeller_api::API_VERSION;
use propeller_control::brain::{About, Notice, Severity};
use serde_json::{Value, json};

/// How many there are at most. The oldest goes.
const MOST: usize = 4_096;
/// Among how many of the newest the same one is looked for.
const RECENT: usize = 256;
/// The most bytes that a message may have, as on Kubernetes.
const MESSAGE: usize = 1_024;

/// What was noticed. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<Noticed>>);

#[derive(Debug, Default)]
struct Noticed {
    events: VecDeque<Event>,
    count: u64,
}

#[derive(Debug, Clone)]
struct Event {
    number: u64,
    notice: Notice,
    times: u32,
    first: Timestamp,
    last: Timestamp,
}

impl Events {
    /// Takes one in. What was said of the same resource before, in the same words, is counted.
    pub fn take(&self, mut notice: Notice, now: Timestamp) {
        notice.message.truncate(notice.message.floor_char_boundary(MESSAGE));
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = noticed.events.len().saturating_sub(RECENT);
        let mut recent = noticed.events.iter().skip(old);
        if let Some(at) = recent.position(|event| event.notice == notice)
            && let Some(mut event) = noticed.events.remove(old + at)
        {
            event.times += 1;
            event.last = now;
            noticed.events.push_back(event);
            return;
        }
        if noticed.events.len() >= MOST {
            noticed.events.pop_front();
        }
        noticed.count += 1;
        let number = noticed.count;
        noticed.events.push_back(Event {
            number,
            notice,
            times: 1,
            first: now,
            last: now,
        });
    }

    /// Those of one namespace about resources that are wanted, as `core/v1` has them, the oldest first.
    pub(crate) fn list(&self, namespace: &str, is_wanted: impl Fn(&About) -> bool) -> Vec<Value> {
        let noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let events = noticed.events.iter();
        let wanted =
            events.filter(|event| event.notice.about.key.namespace == namespace && is_wanted(&event.notice.about));
        wanted.map(Event::json).collect()
    }
}

impl Event {
    fn json(&self) -> Value {
        let Notice {
            about,
            severity,
            action,
            reason,
            message,
        } = &self.notice;
        let (namespace, name) = (&about.key.namespace, &about.key.name);
        let type_ = match severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("{name}.{:x}", self.number), "namespace": namespace, "creationTimestamp": self.first},
            "involvedObject": {
                "apiVersion": API_VERSION, "kind": about.kind, "namespace": namespace, "name": name, "uid": about.uid,
            },
            "type": type_,
            "action": action,
            "reason": reason,
            "message": message,
            "count": self.times,
            "firstTimestamp": self.first,
            "lastTimestamp": self.last,
            "reportingComponent": "propeller",
        })
    }
}
