//! The control plane on Kubernetes: crates/control, and around it what knows a cluster.
//!
//! ```text
//!  API server ◄── watch, store, leader ──► propeller-control ◄──► MQTT broker ◄──► proplets
//!      │                                          ▲  │
//!      │                                          │  └── lines of tasks
//!      │                                          │              ▲
//!      └── who may, asks for lines ──► logs ──────┼──────────────┘
//!                                                 └──► OCI registries
//! ```
//!
//! [`kubernetes`] holds everything that knows a cluster: resources come from watches, statuses are written conditionally, one replica leads.
//! `logs` serves what tasks wrote as an API that the API server aggregates. [`settings`] merges file, environment and flags. [`crds`] writes the custom resource definitions.
//!
//! Never here: what is decided about a task, and running a component.

pub mod crds;
pub mod kubernetes;
mod logs;
pub mod settings;
