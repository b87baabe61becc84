//! Traces by OpenTelemetry, if somebody wants them: one per attempt, with a span for each step of it.
//!
//! ```text
//!  attempt ─┬─ fetch      not if the component is cached
//!           ├─ prepare    not if it is warm
//!           └─ run
//! ```
//!
//! Spans have a target of their own, which logs leave out. Nobody else listens to it, so without an endpoint no span is ever made.

use std::time::Duration;

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use propeller_protocol::Start;
use tracing::{Span, Subscriber, field::Empty};
use tracing_subscriber::{Layer, filter::filter_fn, layer::Filter, registry::LookupSpan};

use super::{Settings, outcome::Run};

const TARGET: &str = "propeller::trace";

/// For the last spans to be sent when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Traces can't be sent there.
#[derive(Debug, thiserror::Error)]
#[error("cannot send traces to `{endpoint}` (telemetry.otlp-endpoint)")]
pub struct TelemetryError {
    endpoint: String,
    source: ExporterBuildError,
}

impl Telemetry {
    /// With the endpoint that the settings name, if they do. A rustls provider must be installed.
    pub fn new(settings: &Settings) -> Result<Self, TelemetryError> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Self(None));
        };
        // As the OTLP specification has it for an endpoint of all signals.
        let traces = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(traces).build();
        let exporter = exporter.map_err(|source| TelemetryError {
            endpoint: endpoint.clone(),
            source,
        })?;
        let who = Resource::builder()
            .with_service_name("proplet")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", settings.id.to_string()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(who);
        Ok(Self(Some(provider.build())))
    }

    /// What makes spans of the program's steps.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<impl Layer<S> + use<S>> {
        let tracer = self.0.as_ref()?.tracer("proplet");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let layer = layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        Some(layer.with_filter(filter_fn(|metadata| metadata.target() == TARGET)))
    }

    /// For logs: everything else.
    pub fn not_spans<S>() -> impl Filter<S> {
        filter_fn(|metadata| metadata.target() != TARGET)
    }

    /// Sends what wasn't sent yet, if that doesn't take long.
    pub fn flush(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The span of an attempt.
pub fn attempt(start: &Start) -> Span {
    let task = &start.attempt.task;
    tracing::info_span!(
        target: TARGET,
        "attempt",
        "propeller.task.namespace" = task.namespace,
        "propeller.task.name" = task.name,
        "propeller.task.uid" = task.uid,
        "propeller.attempt" = start.attempt.attempt,
        "propeller.component" = %start.component,
        "otel.status_code" = Empty,
        "error.type" = Empty,
    )
}

/// The span of one step of the attempt whose span is entered.
pub fn step(name: &'static str) -> Span {
    // `otel.name` is what the span is called; a span's own name has to be known at compile time.
    tracing::info_span!(target: TARGET, "step", "otel.name" = name)
}

/// How the attempt of that span ended.
pub fn ended(span: &Span, run: &Run) {
    match &run.result {
        Ok(_) => span.record("otel.status_code", "ok"),
        Err(error) => span
            .record("otel.status_code", "error")
            .record("error.type", error.reason()),
    };
}
