//! The control plane without a place for its resources: what decides, put to work between a store, a broker and registries.
//!
//! ```text
//!        a shell: Kubernetes, or a file              registry
//!  resources ◄── Store ──► brain ◄──── references, types ──► OCI registries
//!                           ▲ │
//!                           │ ▼
//!                         session ◄──► MQTT broker ◄──► proplets
//!                         http: health, metrics
//! ```
//!
//! [`brain`] runs what crates/delivery decides, and knows none of the others. [`registry`] resolves references and reads types, without compiling
//! a component. [`session`] is the only module that meets MQTT, and leaves the client itself to crates/bus. A shell brings resources to the brain and
//! is its [`brain::Store`].
//!
//! Never here: a Kubernetes client, a file format, running a component, and a status that is written after what it says was sent.

pub mod brain;
pub mod error;
pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod registry;
pub mod session;
