//! What a task wrote, one JSON document a line.

use axum::{
    extract::{Path, State},
    response::Response,
};
use propeller_api::{NamespacedName, is_true, types};
use propeller_control::logs::answer::{self, Options};

use super::{Api, Status, select::Extract};
use crate::store::{Kind, Resource, Store};

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
    let ended = ended(api.store, key.clone(), uid.clone());
    answer::answer(&api.around.logs, &uid, options, ended, api.stop)
        .await
        .map_err(|error| {
            tracing::warn!(%error, task = %key, "its lines can't be read");
            Status::internal("the lines can't be read: the log of the control plane says why")
        })
}

/// Ready when that task has ended or is gone.
async fn ended(store: Store, key: NamespacedName, uid: String) {
    let mut newest = store.newest();
    while !has_ended(&store, &key, &uid) {
        if newest.changed().await.is_err() {
            return;
        }
    }
}

fn has_ended(store: &Store, key: &NamespacedName, uid: &str) -> bool {
    match store.get(Kind::Task, key).as_deref() {
        Some(Resource::Task(task)) if task.metadata.uid == uid => {
            let status = task.status.as_ref();
            status.is_some_and(|status| is_true(&status.conditions, types::FINISHED))
        }
        _ => true,
    }
}
