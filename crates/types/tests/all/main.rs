//! `propeller-types` through its public boundary: real component bytes in, and the same cases for the control plane's value type and
//! for Wasmtime's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the setting for tests doesn't reach helpers outside of #[test]"
)]

mod call;
mod components;
mod contract;
mod door;
mod find;
mod hostile;
mod json;
mod property;
mod refused;
mod result;
mod wave;
