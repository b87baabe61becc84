//! Components in OCI registries: from a reference to verified bytes, and back.
//!
//! ```text
//!             resolve              fetch                        bytes
//! Reference ──────────► Resolved ─────────► cache ── verified ─────────► Artifact
//!             manifest              blob     │ ▲
//!                │                   │       └─┘ a cached digest needs no network
//!                ▼                   ▼
//!            mirrors, then the registry  ◄───────── push ── Publication
//! ```
//!
//! The command line, the proplet and the control plane all use this crate; it talks to registries, to a directory and to Docker's credential helpers.
//! Never here: WebAssembly isn't parsed (beyond its first bytes) or compiled, nothing is printed, and no byte that doesn't match its digest gets out.
//! Precompiled code is never accepted.

mod cache;
mod client;
mod config;
mod credentials;
mod digest;
mod error;
mod flights;
mod get;
mod hosts;
mod layout;
mod network;
mod progress;
mod push;
mod reference;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod translate;
mod wasm;

pub use client::{Artifact, Client, Resolved};
pub use config::{ClientConfig, Patience, default_docker_config};
pub use digest::digest_of;
pub use error::{Error, Obstacle};
pub use layout::ComponentInfo;
#[doc(hidden)]
pub use layout::read_layout;
pub use progress::Progress;
pub use push::{Publication, Pushed};
pub use reference::{InvalidReference, Reference};
pub use settings::{InvalidSetting, Login, Mirror, Registries, Registry};
