//! Task and Proplet: the resources that people type, as Rust types.
//!
//! One source for three things: the YAML and JSON that people type, the schemas of the custom resources (feature `schema`, for
//! crates/crd), and the rules that a resource must keep. Without `schema` this is plain serde.
//!
//! ```text
//!  YAML ──► Task { metadata, spec, status } ──► validate ──► the brain (crates/delivery)
//!             ▲
//!             └── propeller_crd::Task, what the Kubernetes client reads and writes
//! ```
//!
//! Never here: IO, a clock, the state of anything. A field enters a schema together with what it does.

mod condition;
mod grants;
mod levels;
mod memory;
mod names;
mod object;
mod policy;
mod proplet;
#[cfg(feature = "schema")]
mod schema;
mod selector;
mod target;
mod task;
mod validate;

pub use condition::{Condition, ConditionStatus, condition, is_true, set_condition};
pub use grants::{Bucket, BucketScope, Directory, EnvVar, Grants};
pub use levels::{MAX_LEVELS, is_deeper};
pub use memory::{InvalidMemory, Memory};
pub use names::{
    Digest, InvalidDigest, InvalidJournalId, InvalidPropletId, JournalId, PropletId, is_dns_label, is_dns_subdomain,
};
pub use object::{Labels, Metadata, NamespacedName, Object, Resource};
pub use policy::{FailureKind, OnDisconnect, RetryPolicy};
pub use proplet::{Capacity, ConnectionConfig, HostInfo, Proplet, PropletSpec, PropletStatus};
pub use selector::{InvalidSelector, LabelOperator, LabelRequirement, LabelSelector};
pub use target::{HostPattern, HttpTarget, InvalidTarget, NetHost, NetTarget};
pub use task::{
    Call, Command, Dispatch, LostAttempt, Phase, PropletRefusal, Resources, Service, Task, TaskSpec, TaskStatus, Usage,
    Work, types,
};
pub use validate::{Invalid, MAX_SECONDS, MAX_TEXT, validate_labels};

/// The API group of every resource.
pub const GROUP: &str = "propeller.dev";
/// The version of the API group that this crate speaks.
pub const VERSION: &str = "v1alpha1";
/// What `apiVersion` says: group and version.
pub const API_VERSION: &str = "propeller.dev/v1alpha1";
/// The API group in which a cluster serves what tasks wrote. One of its own: to whom a group is aggregated, its custom resources aren't left.
pub const LOGS_GROUP: &str = "logs.propeller.dev";
