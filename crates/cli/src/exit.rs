//! Exit codes: what a script may branch on without reading a message.
//!
//! A call has the codes of a command of ours: below 10 nothing ran, from 10 on the component did. A program has its own codes from 0 to 255, and
//! what isn't its own doing gets the codes that are customary where one program runs another: those of `timeout`, `docker run`, and shells for
//! what a signal killed. A program may use these as well. But only we write `error:` to standard error for them, or JSON if that's asked for.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// A file or this host.
    Failed,
    /// Clap's own code for a command line that it can't read, used for configuration and Task files as well.
    Usage,
    /// A registry, or the way to it.
    Registry,
    /// The bytes aren't a component, or need what this host has not.
    Component,
    /// The function or its arguments don't fit the component.
    Call,
    /// A control plane, or the way to it.
    Control,
    /// What was waited for isn't so yet.
    TimedOut,
    /// What was waited for can't be so any more.
    Hopeless,
    /// The function ran and returned the `err` of its `result`.
    ErrResult,
    /// The component trapped, exited or went over a bound.
    Trapped,
    /// The component went over its bound of memory.
    OutOfMemory,
    /// The call took longer than it may.
    Deadline,
    /// Ctrl-C.
    Interrupted,
    /// What a program gave itself.
    Program(i32),
}

/// What was to be run, as far as it's known by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// A function, a service, or nothing of a component's.
    NoProgram,
    /// A program.
    Program,
}

/// Every end, its code, its code when a program was to be run, and what the help says about it.
const TABLE: [(Exit, u8, u8, &str); 14] = [
    (Exit::Done, 0, 0, "done"),
    (
        Exit::Failed,
        1,
        125,
        "this computer: a file can't be read or written, or the host failed",
    ),
    (
        Exit::Usage,
        2,
        125,
        "usage: the command line, the configuration or a Task can't be understood",
    ),
    (
        Exit::Registry,
        3,
        125,
        "the registry: not reachable, no access, no such artifact",
    ),
    (
        Exit::Component,
        4,
        126,
        "not a component, or one that this host can't run",
    ),
    (
        Exit::Call,
        5,
        126,
        "the call doesn't fit the component: function or arguments",
    ),
    (
        Exit::Control,
        6,
        125,
        "the control plane: none known, not reachable, no access, or it refuses",
    ),
    (
        Exit::TimedOut,
        7,
        125,
        "wait, drain: it isn't so in time, or services remain",
    ),
    (
        Exit::Hopeless,
        8,
        125,
        "wait: it can't be so any more, since the task has ended or was deleted",
    ),
    (Exit::ErrResult, 10, 1, "the component's function returned an error"),
    (Exit::Trapped, 11, 134, "the component trapped or exited"),
    (
        Exit::OutOfMemory,
        11,
        137,
        "the component needed more memory than it may",
    ),
    (Exit::Deadline, 12, 124, "the component ran longer than it may"),
    (Exit::Interrupted, 130, 130, "interrupted (Ctrl-C)"),
];

impl Exit {
    /// The code for the operating system.
    pub fn code(self, ran: Ran) -> ExitCode {
        self.number(ran).into()
    }

    fn number(self, ran: Ran) -> u8 {
        if let Self::Program(code) = self {
            // WASI knows codes from 0 to 255; another one isn't 0, whatever its last byte is.
            return u8::try_from(code).unwrap_or(u8::MAX);
        }
        let row = TABLE.iter().find(|row| row.0 == self);
        row.map_or(1, |(_, call, program, _)| match ran {
            Ran::NoProgram => *call,
            Ran::Program => *program,
        })
    }
}

/// The table of exit codes, for the end of the help.
pub fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    let mut last = None;
    for (_, code, program, meaning) in TABLE {
        let shown = if last == Some(code) {
            String::new()
        } else {
            code.to_string()
        };
        let other = if code == program || matches!(code, 7 | 8 | 10) {
            String::new()
        } else {
            format!(" (of a program: {program})")
        };
        text.push_str(&format!("  {shown:>3}  {meaning}{other}\n"));
        last = Some(code);
    }
    text + "A program's own exit code is passed on. A command line that can't be read is always 2."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_their_own_codes() {
        let check = |exit: Exit, call: u8, program: u8| {
            assert_eq!(
                (exit.number(Ran::NoProgram), exit.number(Ran::Program)),
                (call, program)
            );
        };
        check(Exit::Done, 0, 0);
        check(Exit::Registry, 3, 125);
        check(Exit::Deadline, 12, 124);
        check(Exit::OutOfMemory, 11, 137);
        check(Exit::Program(3), 3, 3);
        check(Exit::Program(256), 255, 255);
        check(Exit::Program(-1), 255, 255);
    }
}
