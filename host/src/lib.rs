//! The proplet as a library: what runs components on a device, in a pod, or behind `propeller run`.
//!
//! [`engine`] compiles and calls components, and is all that a program needs that has the bytes already.
//! [`proplet`] is the whole daemon: configuration, the session with the broker, the journal, and the supervisor of running attempts.

pub mod engine;
pub mod proplet;
