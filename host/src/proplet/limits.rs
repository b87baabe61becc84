//! What one attempt may use: what its start asks for, within what the proplet gives.

use std::time::Duration;

use propeller_api::Memory;
use propeller_protocol as protocol;

use super::config::TaskSettings;

/// What an attempt may use, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Over all memories and tables of the instance.
    pub memory: Memory,
    /// From accept to end.
    pub deadline: Duration,
    memory_by: By,
    deadline_by: By,
}

/// Who set a limit. A message about it must send people to the right place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Task,
    Default,
    Maximum,
}

impl Limits {
    /// The smaller of what the start wants and what the proplet gives.
    pub fn new(wanted: &protocol::Limits, settings: &TaskSettings) -> Self {
        let deadline = wanted
            .deadline_seconds
            .map(|seconds| Duration::from_secs(seconds.into()));
        let (memory, memory_by) = choose(wanted.memory, settings.memory, settings.max_memory);
        let (deadline, deadline_by) = choose(deadline, settings.deadline, settings.max_deadline);
        Self {
            memory,
            deadline,
            memory_by,
            deadline_by,
        }
    }

    /// For people, when the memory wasn't enough.
    pub fn about_memory(&self) -> String {
        let limit = self.memory;
        match self.memory_by {
            By::Task => format!("the task needs more memory than its limit of {limit}; raise resources.memory"),
            By::Default => format!(
                "the task needs more memory than the {limit} that this proplet gives by default; set resources.memory"
            ),
            By::Maximum => format!(
                "the task needs more memory than the {limit} that this proplet gives any task (its task.max-memory)"
            ),
        }
    }

    /// For people, when the time wasn't enough.
    pub fn about_deadline(&self) -> String {
        let seconds = self.deadline.as_secs();
        match self.deadline_by {
            By::Task => format!("the task had {seconds} s from when it was accepted; raise activeDeadlineSeconds"),
            By::Default => format!("this proplet gives a task {seconds} s by default; set activeDeadlineSeconds"),
            By::Maximum => format!("this proplet gives any task {seconds} s at most (its task.max-deadline-seconds)"),
        }
    }
}

fn choose<T: Ord>(wanted: Option<T>, default: T, maximum: T) -> (T, By) {
    match wanted {
        Some(wanted) if wanted > maximum => (maximum, By::Maximum),
        Some(wanted) => (wanted, By::Task),
        None => (default, By::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_counts_and_says_whose_it_is() {
        let settings = TaskSettings {
            memory: Memory::from_bytes(100),
            max_memory: Memory::from_bytes(200),
            deadline: Duration::from_secs(10),
            max_deadline: Duration::from_secs(20),
        };
        let check = |wanted: Option<u32>, memory: u64, deadline: u64, of_memory: &str, of_deadline: &str| {
            let wanted = protocol::Limits {
                memory: wanted.map(|wanted| Memory::from_bytes(wanted.into())),
                deadline_seconds: wanted,
            };
            let limits = Limits::new(&wanted, &settings);
            assert_eq!((limits.memory.bytes(), limits.deadline.as_secs()), (memory, deadline));
            assert!(limits.about_memory().contains(of_memory), "{}", limits.about_memory());
            assert!(
                limits.about_deadline().contains(of_deadline),
                "{}",
                limits.about_deadline()
            );
        };
        check(None, 100, 10, "by default", "by default");
        check(
            Some(15),
            15,
            15,
            "raise resources.memory",
            "raise activeDeadlineSeconds",
        );
        check(Some(500), 200, 20, "task.max-memory", "task.max-deadline-seconds");
    }
}
