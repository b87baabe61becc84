//! What the control plane counts, as Prometheus reads it.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Figures of this process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    messages: Family<ChannelLabel, Counter>,
    undecodable: Family<ChannelLabel, Counter>,
    unreadable: Family<KindLabel, Counter>,
    broker_refusals: Family<RefusalLabel, Counter>,
    dropped: Counter,
    lines_dropped: Counter,
    plans: Counter,
    writes: Family<WriteLabel, Counter>,
    resolves: Histogram,
    resolve_failures: Family<ReasonLabel, Counter>,
    tasks: Family<PhaseLabel, Gauge>,
    proplets: Family<LivelinessLabel, Gauge>,
    connected: Gauge,
    leader: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabel {
    channel: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabel {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabel {
    what: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LivelinessLabel {
    liveliness: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("propeller");
        // From a cached answer to a component that takes a minute to download.
        let resolves = Histogram::new([0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]);
        registry.register(
            "resolve_duration_seconds",
            "Time to resolve a reference and check a call",
            resolves.clone(),
        );
        let mut metrics = Self {
            registry: Arc::default(),
            messages: family(&mut registry, "messages", "Messages received, by channel"),
            undecodable: family(
                &mut registry,
                "undecodable_messages",
                "Messages received that can't be decoded, by channel",
            ),
            unreadable: family(
                &mut registry,
                "unreadable_resources",
                "Resources met that can't be decoded, by kind",
            ),
            broker_refusals: family(
                &mut registry,
                "broker_refusals",
                "What the broker refused, by kind and its answer: access control, quotas, sizes",
            ),
            dropped: single(
                &mut registry,
                "dropped_messages",
                "Messages to proplets dropped because the outbox was full or the broker away",
            ),
            lines_dropped: single(
                &mut registry,
                "dropped_log_batches",
                "Messages with lines of tasks that weren't kept because there were too many",
            ),
            plans: single(&mut registry, "plans", "Plans made"),
            writes: family(
                &mut registry,
                "status_writes",
                "Status writes, by kind of resource and outcome",
            ),
            resolves,
            resolve_failures: family(&mut registry, "resolve_failures", "Failures to resolve, by reason"),
            tasks: family(&mut registry, "tasks", "Tasks, by phase"),
            proplets: family(&mut registry, "proplets", "Proplets, by liveliness"),
            connected: single(
                &mut registry,
                "broker_connected",
                "Whether the session with the broker is up",
            ),
            leader: single(&mut registry, "leader", "Whether this process is the leader"),
        };
        metrics.registry = Arc::new(registry);
        metrics
    }
}

fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    Family<L, M>: prometheus_client::registry::Metric + Clone + Default,
{
    single(registry, name, help)
}

fn single<M: prometheus_client::registry::Metric + Clone + Default>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
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

    pub(crate) fn received(&self, channel: &'static str) {
        self.messages.get_or_create(&ChannelLabel { channel }).inc();
    }

    pub(crate) fn undecodable(&self, channel: &'static str) {
        self.undecodable.get_or_create(&ChannelLabel { channel }).inc();
    }

    /// A resource of that kind can't be decoded.
    pub fn unreadable(&self, kind: &'static str) {
        self.unreadable.get_or_create(&KindLabel { kind }).inc();
    }

    pub(crate) fn broker_refused(&self, what: &'static str, code: &str) {
        let code = code.to_owned();
        self.broker_refusals.get_or_create(&RefusalLabel { what, code }).inc();
    }

    pub(crate) fn dropped(&self) {
        self.dropped.inc();
    }

    pub(crate) fn lines_dropped(&self) {
        self.lines_dropped.inc();
    }

    /// So many plans were made since the process started.
    pub(crate) fn planned(&self, plans: u64) {
        self.plans.inc_by(plans.saturating_sub(self.plans.get()));
    }

    pub(crate) fn wrote(&self, kind: &'static str, outcome: &'static str) {
        self.writes.get_or_create(&WriteLabel { kind, outcome }).inc();
    }

    pub(crate) fn resolved(&self, took: Duration, failure: Option<&str>) {
        self.resolves.observe(took.as_secs_f64());
        if let Some(reason) = failure {
            let reason = reason.to_owned();
            self.resolve_failures.get_or_create(&ReasonLabel { reason }).inc();
        }
    }

    pub(crate) fn tasks(&self, phase: impl fmt::Debug, count: i64) {
        let phase = format!("{phase:?}");
        self.tasks.get_or_create(&PhaseLabel { phase }).set(count);
    }

    pub(crate) fn proplets(&self, liveliness: impl fmt::Debug, count: i64) {
        let liveliness = format!("{liveliness:?}");
        self.proplets.get_or_create(&LivelinessLabel { liveliness }).set(count);
    }

    pub(crate) fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
    }

    /// Whether this process is the one of several that works.
    pub fn leader(&self, leader: bool) {
        self.leader.set(leader.into());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
