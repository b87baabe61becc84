//! Whether a user may read the lines of a task: the cluster's own answer, by its roles.
//!
//! The API server has asked the same before it passed a request on. It is asked again, as every aggregated API should, so that nothing depends on
//! how it is set up.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::{Api, Client, api::PostParams};
use propeller_api::{LOGS_GROUP, NamespacedName, VERSION};
use tokio::time::timeout;

use super::door::User;

/// How long the API server may take.
const ASKED: Duration = Duration::from_secs(10);

/// Why lines aren't shown.
#[derive(Debug)]
pub(super) enum Denied {
    /// No role says that the user may.
    Forbidden,
    /// Nobody could say.
    Unknown(String),
}

/// Asks.
pub(super) async fn check(client: Client, user: User, key: &NamespacedName) -> Result<(), Denied> {
    let reviews = Api::<SubjectAccessReview>::all(client);
    let (review, params) = (review(user, key), PostParams::default());
    match timeout(ASKED, reviews.create(&params, &review)).await {
        Ok(Ok(review)) => judge(review.status),
        Ok(Err(error)) => Err(Denied::Unknown(error.to_string())),
        Err(_) => Err(Denied::Unknown("the API server didn't answer".to_owned())),
    }
}

fn review(user: User, key: &NamespacedName) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.name),
            uid: user.uid,
            groups: Some(user.groups),
            extra: Some(user.extra),
            resource_attributes: Some(ResourceAttributes {
                verb: Some("get".to_owned()),
                group: Some(LOGS_GROUP.to_owned()),
                version: Some(VERSION.to_owned()),
                resource: Some("tasks".to_owned()),
                subresource: Some("log".to_owned()),
                namespace: Some(key.namespace.clone()),
                name: Some(key.name.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// What isn't allowed is denied, whatever else the answer says.
fn judge(status: Option<SubjectAccessReviewStatus>) -> Result<(), Denied> {
    match status {
        Some(status) if status.allowed && status.denied != Some(true) => Ok(()),
        Some(_) => Err(Denied::Forbidden),
        None => Err(Denied::Unknown("the API server gave no answer".to_owned())),
    }
}
