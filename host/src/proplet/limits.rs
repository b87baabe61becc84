//! What one attempt may use: what its start asks for, within what the proplet gives.

use std::time::Duration;

use propeller_api::{Memory, Work};
use propeller_protocol::Start;
use tokio::time::Instant;

use super::config::TaskSettings;

/// What an attempt may use, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Over all memories and tables of the instance.
    pub memory: Memory,
    /// From accept to end. A service has none.
    pub deadline: Option<Duration>,
    memory_is_default: bool,
    deadline_by: By,
}

/// Who set a deadline. A message about it must send people to the right place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Task,
    Default,
    Maximum,
}

impl Limits {
    /// What the start wants, or else what the proplet gives by default. That it gives so much memory was found when the start was accepted;
    /// a deadline is cut to the longest that it gives.
    pub fn new(start: &Start, settings: &TaskSettings) -> Self {
        let wanted = start
            .limits
            .deadline_seconds
            .map(|seconds| Duration::from_secs(seconds.into()));
        let (deadline, deadline_by) = match wanted {
            Some(wanted) if wanted > settings.max_deadline => (settings.max_deadline, By::Maximum),
            Some(wanted) => (wanted, By::Task),
            None => (settings.deadline, By::Default),
        };
        let memory = start.limits.memory;
        Self {
            memory: memory.unwrap_or(settings.memory),
            deadline: (!matches!(start.work, Work::Service(_))).then_some(deadline),
            memory_is_default: memory.is_none(),
            deadline_by,
        }
    }

    /// When an attempt that was accepted at `accepted` has to end.
    pub fn end(&self, accepted: Instant) -> Option<Instant> {
        // What is too far away to be told as a time never comes.
        accepted.checked_add(self.deadline?)
    }

    /// For people, when the memory wasn't enough.
    pub fn about_memory(&self) -> String {
        let limit = self.memory;
        if self.memory_is_default {
            format!(
                "the task needs more memory than the {limit} that this proplet gives by default; set resources.memory"
            )
        } else {
            format!("the task needs more memory than its limit of {limit}; raise resources.memory")
        }
    }

    /// For people, when the time wasn't enough.
    pub fn about_deadline(&self) -> String {
        let seconds = self.deadline.unwrap_or_default().as_secs();
        match self.deadline_by {
            By::Task => format!("the task had {seconds} s from when it was accepted; raise activeDeadlineSeconds"),
            By::Default => format!("this proplet gives a task {seconds} s by default; set activeDeadlineSeconds"),
            By::Maximum => format!("this proplet gives any task {seconds} s at most (its task.max-deadline-seconds)"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub fn settings() -> TaskSettings {
        TaskSettings {
            memory: Memory::from_bytes(100),
            max_memory: Memory::from_bytes(200),
            deadline: Duration::from_secs(10),
            max_deadline: Duration::from_secs(20),
            max_result: 1 << 10,
            log_bytes: 1 << 20,
            log_bytes_per_second: 1 << 10,
        }
    }

    pub fn start(uid: &str) -> Start {
        let task = json!({"namespace": "default", "name": "addition", "uid": uid});
        let start = json!({
            "controller": "control", "journal": "journal", "task": task, "attempt": 1,
            "issuedAt": "2026-01-01T00:00:00Z", "windowSeconds": 60, "image": "localhost:5000/a",
            "component": format!("sha256:{}", "0".repeat(64)), "call": {"function": "f"}, "limits": {},
        });
        serde_json::from_value(start).unwrap()
    }

    #[test]
    fn a_limit_says_whose_it_is() {
        let check = |wanted: Option<u32>, memory: u64, deadline: u64, of_memory: &str, of_deadline: &str| {
            let mut start = start("u");
            start.limits.memory = wanted.map(|wanted| Memory::from_bytes(wanted.into()));
            start.limits.deadline_seconds = wanted;
            let limits = Limits::new(&start, &settings());
            let deadline = Some(Duration::from_secs(deadline));
            assert_eq!((limits.memory.bytes(), limits.deadline), (memory, deadline));
            let (about_memory, about_deadline) = (limits.about_memory(), limits.about_deadline());
            assert!(about_memory.contains(of_memory), "{about_memory}");
            assert!(about_deadline.contains(of_deadline), "{about_deadline}");
        };
        check(None, 100, 10, "by default", "by default");
        check(
            Some(15),
            15,
            15,
            "raise resources.memory",
            "raise activeDeadlineSeconds",
        );
        check(
            Some(150),
            150,
            20,
            "raise resources.memory",
            "task.max-deadline-seconds",
        );
    }

    #[test]
    fn a_service_has_no_deadline() {
        let mut start = start("u");
        start.work = Work::Service(propeller_api::Service::default());
        start.limits.deadline_seconds = Some(5);
        assert_eq!(Limits::new(&start, &settings()).deadline, None);
    }
}
