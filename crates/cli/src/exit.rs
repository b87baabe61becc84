//! Exit codes: what a script may branch on without reading a message.

use std::process::ExitCode;

/// How the process ends. From 10 on the component ran, and what went wrong is its own; below that, its function never returned anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// A file or this host.
    Failed = 1,
    /// Clap's own code for a command line that it can't read, used for configuration and Task files as well.
    Usage = 2,
    /// A registry, or the way to it.
    Registry = 3,
    /// The bytes aren't a component, or need what this host has not.
    Component = 4,
    /// The function or its arguments don't fit the component.
    Call = 5,
    /// The function ran and returned the `err` of its `result`.
    ErrResult = 10,
    /// The component trapped, exited or went over a bound.
    Trapped = 11,
    /// The call took longer than it may.
    Deadline = 12,
    /// Ctrl-C: 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

/// Every code, and what the help says about it.
const TABLE: [(Exit, &str); 10] = [
    (Exit::Done, "done"),
    (
        Exit::Failed,
        "this computer: a file can't be read or written, or the host failed",
    ),
    (
        Exit::Usage,
        "usage: the command line, the configuration or a Task can't be understood",
    ),
    (
        Exit::Registry,
        "the registry: not reachable, no access, no such artifact",
    ),
    (Exit::Component, "not a component, or one that this host can't run"),
    (Exit::Call, "the call doesn't fit the component: function or arguments"),
    (Exit::ErrResult, "the component's function returned an error"),
    (
        Exit::Trapped,
        "the component trapped, exited, or needed more memory than it may",
    ),
    (Exit::Deadline, "the component ran longer than it may"),
    (Exit::Interrupted, "interrupted (Ctrl-C)"),
];

/// The table of exit codes, for the end of the help.
pub fn help() -> String {
    let lines = TABLE.map(|(exit, meaning)| format!("  {:>3}  {meaning}", exit as u8));
    format!("Exit codes:\n{}", lines.join("\n"))
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
