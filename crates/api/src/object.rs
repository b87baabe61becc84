//! The frame that every resource has: `apiVersion`, `kind`, `metadata`, `spec`, `status`.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::API_VERSION;

/// Labels of a resource, or those that a selector asks for.
pub type Labels = BTreeMap<String, String>;

/// What a kind of resource is called, and what its spec and status are.
pub trait Resource {
    /// `kind` in YAML.
    const KIND: &str;
    /// What the user wants.
    type Spec;
    /// What the control plane saw.
    type Status;
}

/// A resource as people type it and as the control plane keeps it, of whichever shell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    bound(
        serialize = "K: Resource, K::Spec: Serialize, K::Status: Serialize",
        deserialize = "K: Resource, K::Spec: Deserialize<'de>, K::Status: Deserialize<'de>"
    )
)]
pub struct Object<K: Resource> {
    /// Always [`API_VERSION`].
    #[serde(serialize_with = "api_version", deserialize_with = "expect_api_version")]
    api_version: PhantomData<()>,
    #[serde(serialize_with = "kind::<K, _>", deserialize_with = "expect_kind::<K, _>")]
    kind: PhantomData<K>,
    /// Name, identity and labels.
    pub metadata: Metadata,
    /// What the user wants.
    pub spec: K::Spec,
    /// What the control plane saw; absent until it looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<K::Status>,
}

impl<K: Resource> Object<K> {
    /// A resource that nobody has looked at yet.
    pub fn new(metadata: Metadata, spec: K::Spec) -> Self {
        Self {
            api_version: PhantomData,
            kind: PhantomData,
            metadata,
            spec,
            status: None,
        }
    }

    /// The namespace and name, for messages and maps.
    pub fn key(&self) -> NamespacedName {
        NamespacedName {
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
        }
    }
}

/// The part of Kubernetes' [ObjectMeta](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/) that
/// Propeller uses, with the same meaning.
///
/// Unknown fields are ignored here, and only here: what other tools write into metadata (managed fields, finalizers, owners) isn't ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Unique within the namespace for its kind.
    pub name: String,
    /// `default` when the YAML has none.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Set by the store when the resource is created, never used twice. Empty in YAML that people type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Counts changes of the spec; set by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The version that a conditional write must name; opaque, set by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// When the resource was created; set by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// When deletion was asked for; set by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// What selectors select by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Notes of people and tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// A namespace and a name: which resource of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn api_version<S: Serializer>(_: &PhantomData<()>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(API_VERSION)
}

fn expect_api_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PhantomData<()>, D::Error> {
    expect_text(deserializer, "apiVersion", API_VERSION).map(|()| PhantomData)
}

fn kind<K: Resource, S: Serializer>(_: &PhantomData<K>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(K::KIND)
}

fn expect_kind<'de, K: Resource, D: Deserializer<'de>>(deserializer: D) -> Result<PhantomData<K>, D::Error> {
    expect_text(deserializer, "kind", K::KIND).map(|()| PhantomData)
}

fn expect_text<'de, D: Deserializer<'de>>(deserializer: D, field: &str, expected: &str) -> Result<(), D::Error> {
    let found = String::deserialize(deserializer)?;
    if found == expected {
        Ok(())
    } else {
        Err(de::Error::custom(format_args!(
            "{field} is `{found}`, expected `{expected}`"
        )))
    }
}
