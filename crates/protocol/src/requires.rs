//! What a start may require: the words of [`Start::requires`](crate::Start::requires).
//!
//! A proplet that doesn't know a word answers [`Refusal::Unsupported`](crate::Refusal::Unsupported) instead of ignoring what the word is
//! about. A plain call requires nothing, so that every proplet takes it.

/// Everything that may be required.
pub const ALL: [&str; 4] = [COMMAND, SERVICE, GRANTS, LEASE];

/// The component is run as a program: `command` is what the start has to run.
pub const COMMAND: &str = "command";
/// The component serves HTTP until it is stopped: `service` is what the start has to run.
pub const SERVICE: &str = "service";
/// The start has `grants`. A component that doesn't get what its author counts on does something else than what was asked for.
pub const GRANTS: &str = "grants";
/// The attempt runs only while the control plane echoes heartbeats: within one [`LEASE`](crate::LEASE) of the last one. Else it would run on when
/// it must not.
pub const LEASE: &str = "lease";
