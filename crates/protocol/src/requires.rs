//! What a start may require: the words of [`Start::requires`](crate::Start::requires).
//!
//! A proplet that doesn't know a word answers [`Refusal::Unsupported`](crate::Refusal::Unsupported) instead of ignoring what the word is
//! about. A plain call requires nothing, so that every proplet takes it.

/// The component is run as a program: `command` is what the start has to run.
pub const COMMAND: &str = "command";
/// The component serves HTTP until it is stopped: `service` is what the start has to run.
pub const SERVICE: &str = "service";
/// The start has `grants`. A component that doesn't get what its author counts on does something else than what was asked for.
pub const GRANTS: &str = "grants";
