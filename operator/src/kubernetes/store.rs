//! The API server as the brain's store.

use std::{future::Future, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams, Preconditions},
    core::response::reason,
};
use propeller_api::{Metadata, NamespacedName, Proplet, Task, is_dns_label, is_dns_subdomain};
use propeller_control::brain::{Notice, ReadError, Severity, Store, WriteError};
use tokio::{sync::mpsc, time::timeout};

/// Under this name the API server keeps who wrote what.
pub(super) const FIELD_MANAGER: &str = "propeller-operator";
/// A request that takes longer has failed. Whether it was done is seen by the next one, which is conditional.
const REQUEST: Duration = Duration::from_secs(30);

/// Reads and writes through one client.
pub(super) struct KubernetesStore {
    client: Client,
    notices: mpsc::Sender<Notice>,
}

impl KubernetesStore {
    pub(super) fn new(client: Client, notices: mpsc::Sender<Notice>) -> Self {
        Self { client, notices }
    }

    fn tasks(&self, namespace: &str) -> Api<propeller_crd::Task> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn proplets(&self, namespace: &str) -> Api<propeller_crd::Proplet> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

impl Store for KubernetesStore {
    async fn write_status(&self, task: &Task) -> Result<Task, WriteError> {
        let metadata = &task.metadata;
        let mut object = propeller_crd::Task::new(&metadata.name, propeller_crd::TaskSpec(task.spec.clone()));
        object.metadata = precondition(metadata);
        object.status.clone_from(&task.status);
        let api = self.tasks(&metadata.namespace);
        let written = in_time(api.replace_status(&metadata.name, &params(), &object)).await;
        written.map(Task::from).map_err(write_error)
    }

    async fn read(&self, key: &NamespacedName) -> Result<Option<Task>, ReadError> {
        // Both come from a message and become a part of the request's path. What can't be a name is no Task's.
        if !is_dns_label(&key.namespace) || !is_dns_subdomain(&key.name) {
            return Ok(None);
        }
        let found = in_time(self.tasks(&key.namespace).get_opt(&key.name)).await;
        found
            .map(|found| found.map(Task::from))
            .map_err(|failure| ReadError(failure.into()))
    }

    async fn delete(&self, task: &Task) -> Result<(), WriteError> {
        let metadata = &task.metadata;
        let preconditions = Preconditions {
            uid: Some(metadata.uid.clone()),
            resource_version: metadata.resource_version.clone(),
        };
        let params = DeleteParams::background().preconditions(preconditions);
        let api = self.tasks(&metadata.namespace);
        let deleted = in_time(api.delete(&metadata.name, &params)).await;
        deleted.map(drop).map_err(write_error)
    }

    async fn write_proplet_status(&self, proplet: &Proplet) -> Result<Proplet, WriteError> {
        let metadata = &proplet.metadata;
        let mut object = propeller_crd::Proplet::new(&metadata.name, propeller_crd::PropletSpec(proplet.spec.clone()));
        object.metadata = precondition(metadata);
        object.status.clone_from(&proplet.status);
        let api = self.proplets(&metadata.namespace);
        let written = in_time(api.replace_status(&metadata.name, &params(), &object)).await;
        written.map(Proplet::from).map_err(write_error)
    }

    async fn create_proplet(&self, proplet: &Proplet) -> Result<(), WriteError> {
        let metadata = &proplet.metadata;
        let mut object = propeller_crd::Proplet::new(&metadata.name, propeller_crd::PropletSpec(proplet.spec.clone()));
        object.metadata.labels = Some(metadata.labels.clone());
        let api = self.proplets(&metadata.namespace);
        let created = in_time(api.create(&params(), &object)).await;
        created.map(drop).map_err(write_error)
    }

    fn tell(&self, notice: Notice) {
        let is_busy = self.notices.capacity() < self.notices.max_capacity() / 2;
        if notice.severity == Severity::Warning || !is_busy {
            // A full queue is what "never waits" is about: the status says the same.
            let _ = self.notices.try_send(notice);
        }
    }
}

/// The resource must be this one, and not have changed.
fn precondition(metadata: &Metadata) -> ObjectMeta {
    ObjectMeta {
        name: Some(metadata.name.clone()),
        namespace: Some(metadata.namespace.clone()),
        uid: Some(metadata.uid.clone()),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the API server didn't answer in {} s", REQUEST.as_secs())]
    Timeout,
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    Ok(timeout(REQUEST, request).await.map_err(|_| Failure::Timeout)??)
}

fn write_error(failure: Failure) -> WriteError {
    let Failure::Kube(kube::Error::Api(status)) = &failure else {
        return WriteError::Failed(failure.into());
    };
    // etcd's own limit, which is below the API server's, comes back as an internal error.
    let is_too_large = status.code == 413 || status.message.contains("request is too large");
    match status.reason.as_str() {
        reason::CONFLICT | reason::ALREADY_EXISTS => WriteError::Conflict,
        reason::NOT_FOUND | reason::GONE => WriteError::Gone,
        reason::INVALID | reason::BAD_REQUEST => WriteError::Refused(status.message.clone()),
        _ if is_too_large => WriteError::Refused(status.message.clone()),
        _ => WriteError::Failed(failure.into()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_answers_means_something() {
        let check = |code: u16, reason: &str, message: &str, expected: &str| {
            let status = Status::failure(message, reason).with_code(code);
            let error = write_error(Failure::Kube(kube::Error::Api(status.boxed())));
            let debug = format!("{error:?}");
            assert!(debug.starts_with(expected), "{code} {reason}: {debug}");
        };
        check(409, "Conflict", "", "Conflict");
        check(409, "AlreadyExists", "", "Conflict");
        check(404, "NotFound", "", "Gone");
        check(410, "Gone", "", "Gone");
        check(422, "Invalid", "spec", "Refused");
        check(413, "RequestEntityTooLarge", "limit is 3145728", "Refused");
        check(500, "", "etcdserver: request is too large", "Refused");
        check(500, "InternalError", "", "Failed");
        check(429, "TooManyRequests", "", "Failed");
        check(403, "Forbidden", "", "Failed");
    }
}
