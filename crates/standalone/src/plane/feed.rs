//! The store's resources, told to the brain: all of them, and then each change.

use std::{future::pending, sync::Arc};

use propeller_control::brain::{Change as News, Event};
use tokio::sync::mpsc;

use crate::store::{Change, Kind, Resource, Store};

/// Feeds until the store ends. Once the brain has ended there is nobody to feed, and this waits to be dropped.
pub(super) async fn feed(store: &Store, brain: mpsc::Sender<Event>) {
    let mut newest = store.newest();
    loop {
        let Some(mut known) = list(store, &brain).await else {
            return pending().await;
        };
        // A brain that is so far behind that changes were forgotten is told everything anew.
        while let Ok(changes) = store.changes(known) {
            for change in changes {
                known = change.version;
                if brain.send(event(&change)).await.is_err() {
                    return pending().await;
                }
            }
            if newest.wait_for(|newest| *newest > known).await.is_err() {
                return;
            }
        }
    }
}

/// The version from which changes follow; `None` if the brain has ended.
async fn list(store: &Store, brain: &mpsc::Sender<Event>) -> Option<u64> {
    let (version, resources) = store.all();
    for begin in [Event::Task(News::Listing), Event::Proplet(News::Listing)] {
        brain.send(begin).await.ok()?;
    }
    for resource in resources {
        brain.send(is(&resource)).await.ok()?;
    }
    for end in [Event::Task(News::Listed), Event::Proplet(News::Listed)] {
        brain.send(end).await.ok()?;
    }
    Some(version)
}

fn event(change: &Change) -> Event {
    if !change.is_gone {
        return is(&change.now);
    }
    let uid = change.now.metadata().uid.clone();
    match change.now.kind() {
        Kind::Task => Event::Task(News::Gone { uid }),
        Kind::Proplet => Event::Proplet(News::Gone { uid }),
    }
}

fn is(resource: &Arc<Resource>) -> Event {
    match &**resource {
        Resource::Task(task) => Event::Task(News::Is(task.clone())),
        Resource::Proplet(proplet) => Event::Proplet(News::Is(proplet.clone())),
    }
}
