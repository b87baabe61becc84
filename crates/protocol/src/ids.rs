//! The identities that messages carry.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::bounds;

/// The text can't be an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: expected 1 to 128 visible ASCII characters")]
pub struct InvalidId {
    what: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { what: $what, text: text.chars().take(128).collect() })
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One control plane, over all its restarts and replicas: the operator persists it in the cluster. A control plane cancels only
    /// attempts that carry its own.
    ControllerId, "controller id"
}

id! {
    /// One life of a proplet's process.
    Boot, "boot id"
}

/// Which task. The uid says it; namespace and name are for people and logs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskRef {
    /// Namespace of the Task, at most 63 bytes.
    #[serde(deserialize_with = "bounds::namespace")]
    pub namespace: String,
    /// Name of the Task, at most 253 bytes.
    #[serde(deserialize_with = "bounds::name")]
    pub name: String,
    /// Given by the store to this Task and never again. At most 128 bytes.
    #[serde(deserialize_with = "bounds::uid")]
    pub uid: String,
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One dispatch of one task: what a proplet runs at most once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptRef {
    /// Which task.
    pub task: TaskRef,
    /// Counts the task's dispatches from 1. A proplet refuses one that is lower than what it saw.
    pub attempt: u32,
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.attempt)
    }
}
