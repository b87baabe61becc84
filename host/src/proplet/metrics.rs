//! What the proplet counts: as Prometheus reads it, and the few figures that go over MQTT.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};
use propeller_protocol::{Outcome, Refusal, Usage};

/// From what a warm call takes to a day.
const SECONDS: [f64; 10] = [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86400.0];
/// From a page of WebAssembly to what most machines have.
const BYTES: [f64; 8] = [65536.0, 1e6, 4e6, 1.6e7, 6.4e7, 2.56e8, 1e9, 4e9];

/// Figures of this process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    begun: Instant,
    accepted: Counter,
    rejected: Family<ReasonLabel, Counter>,
    refusals: Counter,
    ended: Family<ReasonLabel, Counter>,
    completed: Counter,
    failed: Counter,
    running: Gauge,
    queued: Gauge,
    restarts: Counter,
    wall: Histogram,
    cpu: Histogram,
    memory: Histogram,
    peak: Gauge<u64, AtomicU64>,
    bytes_in: Counter,
    bytes_out: Counter,
    prepares: Family<SourceLabel, Counter>,
    fetching: Histogram,
    compiling: Histogram,
    connected: Gauge,
    connects: Counter,
    broker_refusals: Family<RefusalLabel, Counter>,
    undecodable: Counter,
    log_lines: Counter,
    log_lines_dropped: Counter,
    journal_bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabel {
    what: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

/// Where a component that was made ready came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was ready.
    Warm,
    /// It had to be compiled, or loaded.
    Cold,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("proplet");
        let r = &mut registry;
        let mut metrics = Self {
            begun: Instant::now(),
            accepted: of(r, "attempts_accepted", "Attempts accepted"),
            rejected: of(r, "attempts_rejected", "Starts refused, by reason"),
            refusals: Counter::default(),
            ended: of(
                r,
                "attempts_ended",
                "Attempts ended, by reason; Completed is the good one",
            ),
            completed: Counter::default(),
            failed: Counter::default(),
            running: of(r, "attempts_running", "Attempts that run"),
            queued: of(r, "attempts_queued", "Attempts that wait for room"),
            restarts: of(r, "service_restarts", "Services started again in place"),
            wall: histogram(
                r,
                "attempt_duration_seconds",
                "Time from a run's begin to its end",
                SECONDS,
            ),
            cpu: histogram(r, "attempt_cpu_seconds", "Processor time of a run", SECONDS),
            memory: histogram(r, "attempt_peak_memory_bytes", "Most memory of a run", BYTES),
            peak: Gauge::default(),
            bytes_in: of(r, "attempt_received_bytes", "Bytes that runs were given"),
            bytes_out: of(r, "attempt_sent_bytes", "Bytes that runs gave"),
            prepares: of(r, "prepares", "Components made ready to run, by whether they were warm"),
            fetching: histogram(
                r,
                "fetch_duration_seconds",
                "Time to fetch and verify a component",
                SECONDS,
            ),
            compiling: histogram(
                r,
                "prepare_duration_seconds",
                "Time to compile or load a component",
                SECONDS,
            ),
            connected: of(r, "broker_connected", "Whether the session with the broker is up"),
            connects: of(r, "broker_connects", "Connections made with the broker"),
            broker_refusals: of(
                r,
                "broker_refusals",
                "What the broker refused, by kind and its answer: access control, quotas, sizes",
            ),
            undecodable: of(r, "messages_undecodable", "Messages that couldn't be read"),
            log_lines: of(r, "log_lines", "Lines of tasks told to the broker"),
            log_lines_dropped: of(
                r,
                "log_lines_dropped",
                "Lines of tasks dropped because the broker was away or far behind",
            ),
            journal_bytes: of(r, "journal_bytes", "Size of the journal on disk"),
            registry: Arc::default(),
        };
        metrics.registry = Arc::new(registry);
        metrics
    }
}

fn of<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn histogram(registry: &mut Registry, name: &str, help: &str, buckets: impl IntoIterator<Item = f64>) -> Histogram {
    let metric = Histogram::new(buckets);
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// The figures as [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A start was accepted.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// A start was refused.
    pub fn rejected(&self, reason: Refusal) {
        let reason = format!("{reason:?}");
        self.rejected.get_or_create(&ReasonLabel { reason }).inc();
        self.refusals.inc();
    }

    /// An attempt has ended.
    pub fn ended(&self, outcome: &Outcome) {
        let (reason, usage) = match outcome {
            Outcome::Completed { usage, .. } => {
                self.completed.inc();
                ("Completed", usage)
            }
            Outcome::Failed { failure, usage } => {
                self.failed.inc();
                (failure.reason.as_str(), usage)
            }
        };
        let reason = reason.to_owned();
        self.ended.get_or_create(&ReasonLabel { reason }).inc();
        self.used(usage);
    }

    fn used(&self, usage: &Usage) {
        self.wall
            .observe(Duration::from_millis(usage.wall_millis).as_secs_f64());
        self.cpu.observe(Duration::from_millis(usage.cpu_millis).as_secs_f64());
        // Exact up to eight petabytes.
        self.memory.observe(usage.peak_memory_bytes as f64);
        self.peak.set(self.peak.get().max(usage.peak_memory_bytes));
        self.bytes_in.inc_by(usage.bytes_in);
        self.bytes_out.inc_by(usage.bytes_out);
    }

    /// So many run, and so many wait for room.
    pub fn held(&self, running: usize, queued: usize) {
        self.running.set(gauge(running));
        self.queued.set(gauge(queued));
    }

    /// A service is started again.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// A component is ready to run.
    pub fn prepared(&self, source: Source) {
        let source = match source {
            Source::Warm => "warm",
            Source::Cold => "cold",
        };
        self.prepares.get_or_create(&SourceLabel { source }).inc();
    }

    /// A component was fetched.
    pub fn fetched(&self, took: Duration) {
        self.fetching.observe(took.as_secs_f64());
    }

    /// A component was compiled or loaded.
    pub fn compiled(&self, took: Duration) {
        self.compiling.observe(took.as_secs_f64());
    }

    /// The session with the broker came up, or went.
    pub fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
        if connected {
            self.connects.inc();
        }
    }

    /// The broker didn't do what it was asked.
    pub fn broker_refused(&self, what: &'static str, code: &str) {
        let code = code.to_owned();
        self.broker_refusals.get_or_create(&RefusalLabel { what, code }).inc();
    }

    /// A message couldn't be read.
    pub fn undecodable(&self) {
        self.undecodable.inc();
    }

    /// Lines of a task were told, or dropped.
    pub fn lines(&self, lines: usize, told: bool) {
        let counter = if told { &self.log_lines } else { &self.log_lines_dropped };
        counter.inc_by(u64::try_from(lines).unwrap_or(u64::MAX));
    }

    /// The journal has this size.
    pub fn journal(&self, bytes: u64) {
        self.journal_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What is told over MQTT, by the names that `/metrics` has.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let number = |gauge: &Gauge| u64::try_from(gauge.get()).unwrap_or_default();
        let figures = [
            ("proplet_uptime_seconds", self.begun.elapsed().as_secs()),
            ("proplet_attempts_running", number(&self.running)),
            ("proplet_attempts_queued", number(&self.queued)),
            ("proplet_attempts_accepted_total", self.accepted.get()),
            ("proplet_attempts_rejected_total", self.refusals.get()),
            ("proplet_attempts_completed_total", self.completed.get()),
            ("proplet_attempts_failed_total", self.failed.get()),
            ("proplet_attempt_peak_memory_bytes", self.peak.get()),
            ("proplet_messages_undecodable_total", self.undecodable.get()),
        ];
        figures
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
