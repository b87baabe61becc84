//! The store as the brain needs it.

use std::sync::Arc;

use jiff::Timestamp;
use propeller_api::{NamespacedName, Proplet, Task};
use propeller_control::brain::{self, Notice, ReadError, Severity, WriteError};

use crate::{
    events::Events,
    store::{Kind, Operation, Refusal, Resource, Store},
};

pub(super) struct StandaloneStore {
    pub(super) store: Store,
    pub(super) events: Events,
}

impl brain::Store for StandaloneStore {
    async fn write_status(&self, task: &Task) -> Result<Task, WriteError> {
        match &*self.write(Operation::Status(task.clone().into())).await? {
            Resource::Task(task) => Ok((**task).clone()),
            Resource::Proplet(_) => Err(WriteError::Gone),
        }
    }

    async fn read(&self, key: &NamespacedName) -> Result<Option<Task>, ReadError> {
        Ok(match self.store.get(Kind::Task, key).as_deref() {
            Some(Resource::Task(task)) => Some((**task).clone()),
            _ => None,
        })
    }

    async fn delete(&self, task: &Task) -> Result<(), WriteError> {
        let metadata = &task.metadata;
        let operation = Operation::Delete {
            kind: Kind::Task,
            key: task.key(),
            uid: Some(metadata.uid.clone()),
            version: metadata.resource_version.clone(),
        };
        self.write(operation).await.map(drop)
    }

    async fn write_proplet_status(&self, proplet: &Proplet) -> Result<Proplet, WriteError> {
        match &*self.write(Operation::Status(proplet.clone().into())).await? {
            Resource::Proplet(proplet) => Ok((**proplet).clone()),
            Resource::Task(_) => Err(WriteError::Gone),
        }
    }

    async fn create_proplet(&self, proplet: &Proplet) -> Result<(), WriteError> {
        self.write(Operation::Create(proplet.clone().into())).await.map(drop)
    }

    fn tell(&self, notice: Notice) {
        let Notice {
            about, reason, message, ..
        } = &notice;
        match notice.severity {
            Severity::Normal => tracing::debug!(kind = about.kind, object = %about.key, reason, "{message}"),
            Severity::Warning => tracing::warn!(kind = about.kind, object = %about.key, reason, "{message}"),
        }
        self.events.take(notice, Timestamp::now());
    }
}

impl StandaloneStore {
    async fn write(&self, operation: Operation) -> Result<Arc<Resource>, WriteError> {
        self.store.write(operation).await.map_err(|refusal| match refusal {
            Refusal::Exists | Refusal::Conflict => WriteError::Conflict,
            Refusal::Missing => WriteError::Gone,
            Refusal::Invalid(invalid) => WriteError::Refused(invalid.to_string()),
            refusal @ (Refusal::Failed(_) | Refusal::Stopping) => WriteError::Failed(refusal.into()),
        })
    }
}
