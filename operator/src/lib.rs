//! The control plane: one brain, and the Kubernetes operator around it.
//!
//! ```text
//!             kubernetes (feature)                       registry
//!  API server ◄── watch, store, leader ──► brain ◄──── references, types ──► OCI registries
//!                                           ▲ │
//!                                           │ ▼
//!                                         session ◄──► MQTT broker ◄──► proplets
//!                                         http: health, metrics
//! ```
//!
//! [`brain`] decides and remembers, and knows none of the others. [`registry`] resolves references and reads types, without compiling a
//! component. [`session`] is the only module that meets MQTT, and leaves the client itself to crates/bus. [`kubernetes`] holds everything that
//! knows a cluster: without that feature none of it is built, which is how a control plane without a cluster stays possible.
//!
//! Never here: running a component, and a status that is written after what it says was sent.

pub mod brain;
#[cfg(feature = "kubernetes")]
pub mod crds;
pub mod error;
pub mod health;
pub mod http;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod metrics;
pub mod registry;
pub mod session;
pub mod settings;
