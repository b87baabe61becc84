//! Counters of this process, for its metrics message.

use std::{collections::BTreeMap, time::Instant};

use propeller_protocol::Outcome;

/// What happened since the process started.
#[derive(Debug)]
pub struct Figures {
    started: Instant,
    accepted: u64,
    completed: u64,
    failed: u64,
    rejected: u64,
    peak_memory: u64,
}

impl Figures {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            accepted: 0,
            completed: 0,
            failed: 0,
            rejected: 0,
            peak_memory: 0,
        }
    }

    /// An attempt begins to run.
    pub fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// A start was refused.
    pub fn rejected(&mut self) {
        self.rejected += 1;
    }

    /// An attempt has ended.
    pub fn ended(&mut self, outcome: &Outcome) {
        let usage = match outcome {
            Outcome::Completed { usage, .. } => {
                self.completed += 1;
                usage
            }
            Outcome::Failed { usage, .. } => {
                self.failed += 1;
                usage
            }
        };
        self.peak_memory = self.peak_memory.max(usage.peak_memory_bytes);
    }

    /// All of them by their Prometheus names, with those that others count.
    pub fn by_name(&self, running: usize, undecodable: u64) -> BTreeMap<String, u64> {
        let figures = [
            ("proplet_uptime_seconds", self.started.elapsed().as_secs()),
            ("proplet_attempts_running", u64::try_from(running).unwrap_or(u64::MAX)),
            ("proplet_attempts_accepted_total", self.accepted),
            ("proplet_attempts_rejected_total", self.rejected),
            ("proplet_attempts_completed_total", self.completed),
            ("proplet_attempts_failed_total", self.failed),
            ("proplet_attempt_peak_memory_bytes", self.peak_memory),
            ("proplet_messages_undecodable_total", undecodable),
        ];
        figures
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
