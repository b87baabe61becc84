//! The thread that writes.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use propeller_api::{Metadata, NamespacedName};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    Change, Kind, Operation, Refusal, Resource, Shared,
    database::{Database, Row},
};

/// Requests that are committed together at most.
const TOGETHER: usize = 256;

/// A write, and who waits for it.
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) answer: oneshot::Sender<Result<Arc<Resource>, Refusal>>,
}

type Key = (Kind, NamespacedName);
type Answer = oneshot::Sender<Result<Arc<Resource>, Refusal>>;

pub(super) struct Writer {
    database: Database,
    shared: Arc<Shared>,
    /// The newest version. Whoever waits for the next one learns of the writer's end.
    newest: watch::Sender<u64>,
}

/// What a commit brings.
#[derive(Default)]
struct Batch {
    version: u64,
    changes: Vec<Change>,
    /// What is there once it is committed; `None` is gone.
    pending: HashMap<Key, Option<Arc<Resource>>>,
    /// Refusals wait too: they may follow from what is in the batch.
    answers: Vec<(Answer, Result<Arc<Resource>, Refusal>)>,
}

impl Writer {
    pub(super) fn new(database: Database, shared: Arc<Shared>, newest: watch::Sender<u64>) -> Self {
        Self {
            database,
            shared,
            newest,
        }
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(TOGETHER);
        while queue.blocking_recv_many(&mut requests, TOGETHER) > 0 {
            self.batch(requests.drain(..));
        }
    }

    fn batch(&mut self, requests: impl Iterator<Item = Request>) {
        let mut batch = Batch {
            version: self.shared.read().version,
            ..Batch::default()
        };
        for Request { operation, answer } in requests {
            let taken = self.take(&mut batch, operation);
            batch.answers.push((answer, taken));
        }
        let committed = if batch.changes.is_empty() {
            Ok(())
        } else {
            self.database.commit(batch.version, rows(&batch))
        };
        match committed {
            Ok(()) => self.publish(batch),
            Err(error) => {
                tracing::error!(%error, "the state can't be written");
                let error = Arc::new(error);
                for (answer, _) in batch.answers {
                    let _ = answer.send(Err(Refusal::Failed(Arc::clone(&error))));
                }
            }
        }
    }

    fn publish(&self, batch: Batch) {
        let mut state = self.shared.write();
        state.version = batch.version;
        for (key, resource) in batch.pending {
            match resource {
                Some(resource) => state.resources.insert(key, resource),
                None => state.resources.remove(&key),
            };
        }
        for change in batch.changes {
            state.changes.push(change);
        }
        drop(state);
        self.newest.send_replace(batch.version);
        for (answer, taken) in batch.answers {
            // Nobody may be waiting any more.
            let _ = answer.send(taken);
        }
    }

    /// What the operation leads to. What it needs to be so is checked against all that is before it in the batch.
    fn take(&self, batch: &mut Batch, operation: Operation) -> Result<Arc<Resource>, Refusal> {
        let (key, uid, version) = conditions(&operation);
        let found = match batch.pending.get(&key) {
            Some(pending) => pending.clone(),
            None => self.shared.read().resources.get(&key).cloned(),
        };
        let before = match (&operation, found) {
            (Operation::Create(_), Some(_)) => return Err(Refusal::Exists),
            (Operation::Create(_), None) => None,
            (_, None) => return Err(Refusal::Missing),
            (_, Some(before)) if !is_meant(before.metadata(), uid, version) => return Err(Refusal::Conflict),
            (_, before) => before,
        };
        let is_gone = matches!(operation, Operation::Delete { .. });
        let now = match (operation, &before) {
            (Operation::Create(resource), _) => Some(created(resource)?),
            (Operation::Edit(resource), Some(before)) => edited(resource, before)?,
            (Operation::Status(resource), Some(before)) => with_status(&resource, before),
            (Operation::Delete { .. }, Some(before)) => Some((**before).clone()),
            (_, None) => return Err(Refusal::Missing),
        };
        let Some(mut now) = now else {
            // Nothing changes: no version, and nobody is told.
            return before.ok_or(Refusal::Missing);
        };
        batch.version += 1;
        now.metadata_mut().resource_version = Some(batch.version.to_string());
        let now = Arc::new(now);
        batch.pending.insert(key, (!is_gone).then(|| Arc::clone(&now)));
        batch.changes.push(Change {
            version: batch.version,
            before,
            now: Arc::clone(&now),
            is_gone,
        });
        Ok(now)
    }
}

fn rows(batch: &Batch) -> impl Iterator<Item = Row<'_>> {
    batch.pending.iter().map(|((kind, key), resource)| match resource {
        Some(resource) => Row::Is(resource),
        None => Row::Gone(*kind, key),
    })
}

fn conditions(operation: &Operation) -> (Key, Option<String>, Option<String>) {
    match operation {
        Operation::Create(resource) | Operation::Edit(resource) | Operation::Status(resource) => {
            let metadata = resource.metadata();
            let uid = Some(metadata.uid.clone()).filter(|uid| !uid.is_empty());
            (
                (resource.kind(), resource.key()),
                uid,
                metadata.resource_version.clone(),
            )
        }
        Operation::Delete {
            kind,
            key,
            uid,
            version,
        } => ((*kind, key.clone()), uid.clone(), version.clone()),
    }
}

fn is_meant(found: &Metadata, uid: Option<String>, version: Option<String>) -> bool {
    uid.is_none_or(|uid| uid == found.uid) && version.is_none_or(|version| found.resource_version == Some(version))
}

fn created(resource: Resource) -> Result<Resource, Refusal> {
    resource.validate()?;
    let mut resource = resource.without_status();
    let metadata = resource.metadata_mut();
    metadata.uid = Uuid::new_v4().to_string();
    metadata.generation = Some(1);
    metadata.creation_timestamp = Some(now());
    metadata.deletion_timestamp = None;
    Ok(resource)
}

/// `None` if it changes nothing.
fn edited(resource: Resource, before: &Arc<Resource>) -> Result<Option<Resource>, Refusal> {
    resource.validate()?;
    resource.validate_edit(before)?;
    let mut after = resource;
    after.take_status(before);
    let generation = before.metadata().generation.unwrap_or(1) + i64::from(!after.has_spec_of(before));
    let Metadata {
        labels, annotations, ..
    } = after.metadata().clone();
    *after.metadata_mut() = Metadata {
        labels,
        annotations,
        generation: Some(generation),
        ..before.metadata().clone()
    };
    Ok((after != **before).then_some(after))
}

fn with_status(resource: &Resource, before: &Arc<Resource>) -> Option<Resource> {
    let mut after = (**before).clone();
    after.take_status(resource);
    (after != **before).then_some(after)
}

/// In whole seconds, as Kubernetes has it.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}
