//! The control plane without a cluster: the shell around `propeller-control` that keeps resources in a file and serves them over HTTP.
//!
//! ```text
//!  propeller apply, get, … ─┐                        ┌──────── feed ────────► brain ◄──► session ◄──► MQTT broker
//!  web page ────────────────┼─HTTP──► api ──► store ─┤                         │
//!  kubectl's libraries ─────┘          ▲       │     └◄── statuses ────────────┘
//!                                     logs   SQLite
//! ```
//!
//! The [`store`] has everything in memory and in one SQLite file: a write is checked by one thread, is on disk, and only then is seen and
//! answered. The [`api`] is that of Kubernetes for two kinds, so that the same clients speak to both shells. [`plane`] puts the parts to work.
//!
//! Never here: a broker, a registry or a proplet, which `propeller up` starts beside; a decision about tasks, which are `propeller-delivery`'s.

pub mod api;
pub mod events;
pub mod plane;
pub mod store;
