//! Components over MQTT, for proplets that reach no registry.

use propeller_api::Digest;
use serde::{Deserialize, Serialize};

/// Send me a part of this component. Topic `registry/proplet/{proplet}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkRequest {
    /// Digest of the component.
    pub component: Digest,
    /// First byte wanted.
    pub offset: u64,
    /// Most bytes wanted at once.
    pub max_bytes: u32,
}

/// A part of a component, or why there is none. Topic `registry/server/{proplet}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum Chunk {
    /// The bytes.
    #[serde(rename_all = "camelCase")]
    Data {
        /// Digest of the component.
        component: Digest,
        /// Where in it the bytes begin.
        offset: u64,
        /// Size of the whole component.
        total: u64,
        /// The bytes, in base64 (RFC 4648 §4).
        data: String,
    },
    /// There are none.
    #[serde(rename_all = "camelCase")]
    Refused {
        /// Digest of the component.
        component: Digest,
        /// Why, for people.
        message: String,
    },
}
