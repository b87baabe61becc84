//! What a task asks to reach beyond its own memory. Nothing is granted unless it is asked for here and the proplet's policy allows it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{HttpTarget, NetTarget};

/// What a task asks to reach. `propeller run` takes the same as flags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [{
        "rule": "!has(self.env) || self.env.map(e, e.name.size() + (has(e.value) ? e.value.size() : 0)).sum() <= 262144",
        "message": "env has more than 262144 characters: put data into a file",
    }, {
        "rule": "!has(self.config) || self.config.all(key, key.size() >= 1 && key.size() <= 256 && !key.contains('\\u0000'))",
        "message": "a key of config has from 1 to 256 characters, none of them NUL",
    }, {
        "rule": "!has(self.config) || self.config.map(key, key.size() + self.config[key].size()).sum() <= 262144",
        "message": "config has more than 262144 characters: put data into a file",
    }]))
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// Environment variables. The proplet's own environment is never passed on. 262144 characters at most, all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 256),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
        )
    )]
    pub env: Vec<EnvVar>,
    /// Directories of the proplet's machine, each below a root that its policy allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 32),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["guestPath"])
        )
    )]
    pub directories: Vec<Directory>,
    /// Hosts that may be asked over HTTP: `api.example.com`, `*.example.com`, `10.0.0.7:8080`. Without a port, 80 and 443.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub http: Vec<HttpTarget>,
    /// Where sockets may connect to: `db.example.com:5432`, `10.0.0.0/8:5432`, `10.0.0.7:*`, `[fd00::1]:53`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub net: Vec<NetTarget>,
    /// What `wasi:config` answers. 262144 characters at most, all together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::config"))]
    pub config: BTreeMap<String, String>,
    /// Buckets that `wasi:keyvalue` opens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 16),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["bucket"])
        )
    )]
    pub keyvalue: Vec<Bucket>,
}

/// One environment variable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Without `=`.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 256), regex(pattern = "^[^=\\x00]*$"))
    )]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 32_768), regex(pattern = "^[^\\x00]*$")))]
    pub value: String,
}

/// Values of environment variables are secrets often enough to keep them out of logs.
impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// Absolute path on the proplet's machine, without `.` and `..`.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::path"))]
    pub host_path: String,
    /// Where the component sees it: an absolute path too.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::path"))]
    pub guest_path: String,
    /// Whether nothing in it can be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// One bucket of `wasi:keyvalue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// The identifier that the component opens it by: letters, digits, `_`, `-`, and `.` but as the first.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"))
    )]
    pub bucket: String,
    /// Who else sees it.
    #[serde(default)]
    pub scope: BucketScope,
}

impl Grants {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who sees a bucket. Either lasts on its proplet until the proplet's state is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BucketScope {
    /// This task alone, all of its attempts on this proplet.
    #[default]
    Task,
    /// Every task of the namespace on this proplet.
    Namespace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let grants: Grants = serde_json::from_str(r#"{"env": [{"name": "TOKEN", "value": "hunter2"}]}"#).unwrap();
        assert!(!format!("{grants:?}").contains("hunter2"));
    }
}
