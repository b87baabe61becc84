//! Messages as bytes: JSON with a schema version.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Ack, Alive, Chunk, ChunkRequest, Lease, Logs, Metrics, Report, Start, Stop};

/// The version of every message's schema, in its field `v`. It changes when a field changes its meaning, not when one is added.
pub const SCHEMA_VERSION: u32 = 1;

/// Larger messages are not looked at. A result is at most 64 KiB, a component's chunk 512 KB in base64.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// What travels. Implemented by each message of this crate, and by nothing else.
pub trait Message: Serialize + DeserializeOwned + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! messages {
    ($($message:ty),*) => {$(
        impl sealed::Sealed for $message {}
        impl Message for $message {}
    )*};
}

messages!(
    Start,
    Stop,
    Ack,
    Lease,
    Alive,
    Report,
    Logs,
    Metrics,
    ChunkRequest,
    Chunk
);

/// Bytes that aren't the message that their topic promised.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Too large to look at.
    #[error("{size} bytes, more than the {MAX_MESSAGE_BYTES} that a message may have")]
    TooLarge {
        /// Size in bytes.
        size: usize,
    },
    /// Another version of the schema.
    #[error("schema version {found}; this side speaks {SCHEMA_VERSION}: update the older of the two")]
    Version {
        /// The version that the message has.
        found: u32,
    },
    /// Not JSON, or not with the fields of the message.
    #[error("not a valid message")]
    Json(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct Outgoing<'a, M> {
    v: u32,
    #[serde(flatten)]
    message: &'a M,
}

/// The version is read before the rest, so that a message of another version is called that and not malformed.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// The message as JSON.
///
/// # Errors
///
/// None for the messages of this crate: they have string keys only.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Outgoing {
        v: SCHEMA_VERSION,
        message,
    })
}

/// The message that bytes of its topic hold. Unknown fields are ignored.
///
/// serde_json refuses JSON nested deeper than 128 levels, so hostile depth can't overflow the stack.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(DecodeError::TooLarge { size: bytes.len() });
    }
    let Version { v } = serde_json::from_slice(bytes).map_err(DecodeError::Json)?;
    if v != SCHEMA_VERSION {
        return Err(DecodeError::Version { found: v });
    }
    serde_json::from_slice(bytes).map_err(DecodeError::Json)
}
