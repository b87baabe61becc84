//! The Kubernetes shell: an operator around the brain.
//!
//! ```text
//!  stand for the lease ──► leader ──► watch Tasks and Proplets ──► caches in sync ──► connect to the broker
//!        │                   │
//!        └── standby: waits  └── the lease lost, the session taken over, anything dead: the process ends
//! ```
//!
//! Only the leader has caches, a brain and a session. It begins with all of them anew, so that nothing that it decides on is older than its
//! lease. What ends out of order ends the process; the next one goes on from the statuses.

mod leader;
mod notices;
mod store;
mod watch;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use kube::{Client, Config};
use propeller_control::{
    brain::{self, Clock, Config as Whom, Parts},
    health::Health,
    http,
    logs::{Bounds, Logs},
    metrics::Metrics,
    registry::RegistryResolver,
    session::{self, Mqtt, Wires},
};
use propeller_delivery::plan::Pace;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch as state},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{logs, settings::Settings};
use leader::{Leadership, Stand};
use store::KubernetesStore;

/// Events on their way to the brain. Caches and broker wait while it is full, which costs them nothing.
const EVENTS: usize = 1_024;
/// Messages on their way to the broker: a start and an acknowledgement for each of the tasks that an API server lets through in ten seconds,
/// at 300 writes a second and two writes a task.
const OUTBOX: usize = 3_000;
/// How long the end of everything may take before the lease is given back anyway. Kubernetes kills after 30 s.
const FAREWELL: Duration = Duration::from_secs(10);

/// Runs the operator until `shutdown`.
///
/// # Errors
///
/// When it can't start, when it isn't leader any more, or when a part of it ended by itself.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> Result<()> {
    let config = Config::infer()
        .await
        .context("no cluster: set KUBECONFIG, or run in a pod")?;
    let namespace = config.default_namespace.clone();
    let client = propeller_crd::client(config).context("the cluster's configuration can't be used")?;
    let listener = listen(settings.listen, "--listen").await?;
    tracing::info!("serving health and metrics on http://{}", listener.local_addr()?);
    let lines = listen(settings.logs.listen, "--logs-listen").await?;
    let address = lines.local_addr()?;
    tracing::info!("serving lines of tasks on https://{address}");
    let (kept, is_kept) = state::channel(None);
    let operator = Operator {
        client,
        namespace,
        health: Health::default(),
        metrics: Metrics::default(),
        settings,
        kept,
        logs_port: address.port(),
    };
    let (health, metrics) = (operator.health.clone(), operator.metrics.clone());
    let served = logs::Config {
        client: operator.client.clone(),
        settings: operator.settings.logs.clone(),
        watch_namespace: operator.settings.watch_namespace.clone(),
        lease: (
            operator.lease_namespace().to_owned(),
            operator.settings.lease.name.clone(),
        ),
        kept: is_kept,
    };
    tokio::select! {
        ended = operator.stand(shutdown.clone()) => ended,
        ended = http::serve(listener, health, metrics, std::future::pending()) => ended.context("health and metrics can't be served"),
        ended = logs::serve_lines(lines, served) => ended,
    }
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("can't listen on {address}: choose another address with {flag}"))
}

struct Operator {
    client: Client,
    /// The namespace that we run in.
    namespace: String,
    health: Health,
    metrics: Metrics,
    settings: Settings,
    /// What tasks wrote, while this replica leads.
    kept: state::Sender<Option<Logs>>,
    /// Where it is asked for.
    logs_port: u16,
}

impl Operator {
    fn lease_namespace(&self) -> &str {
        self.settings.lease.namespace.as_deref().unwrap_or(&self.namespace)
    }

    /// Waits to be leader, then is, then isn't any more.
    async fn stand(self, shutdown: CancellationToken) -> Result<()> {
        let stand = Stand {
            name: &self.settings.lease.name,
            namespace: self.lease_namespace(),
            seconds: self.settings.lease.seconds,
        };
        let mut leadership = tokio::select! {
            leadership = Leadership::stand(self.client.clone(), stand) => leadership?,
            () = shutdown.cancelled() => return Ok(()),
        };
        tracing::info!(identity = leadership.identity(), "standing by");
        tokio::select! {
            () = shutdown.cancelled() => return leadership.release().await,
            won = leadership.won() => won?,
        }
        tracing::info!(controller = %leadership.controller(), "leading");
        self.health.set_leader(true);
        self.metrics.leader(true);
        match self.lead(&mut leadership, shutdown).await {
            Ok(()) => leadership.release().await,
            Err(error) => {
                leadership.leave();
                Err(error)
            }
        }
    }

    async fn lead(&self, leadership: &mut Leadership, shutdown: CancellationToken) -> Result<()> {
        let stop = CancellationToken::new();
        let mut parts = self.start(leadership, stop.clone())?;
        tokio::select! {
            // In this order, since each of them also ends those below.
            biased;
            () = shutdown.cancelled() => {}
            lost = lost(leadership, &parts.broken) => return Err(lost),
            ended = parts.workers.join_next() => return Err(unexpected(ended)),
            ended = parts.watches.join_next() => return Err(unexpected(ended)),
        }
        // The brain finishes its writes and falls silent, then the session flushes and says goodbye.
        stop.cancel();
        let ended = timeout(FAREWELL, async {
            while let Some(ended) = parts.workers.join_next().await {
                ended??;
            }
            Ok(())
        });
        ended.await.unwrap_or_else(|_| Err(anyhow!("stopping took too long")))
    }

    fn start(&self, leadership: &Leadership, stop: CancellationToken) -> Result<Running> {
        let settings = &self.settings;
        let clock: Clock = Arc::new(Timestamp::now);
        let (events, receiver) = mpsc::channel(EVENTS);
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let (in_sync, is_in_sync) = state::channel(false);
        let (notices, notices_worker) = notices::recorder(self.client.clone(), leadership.identity());
        let store = Arc::new(KubernetesStore::new(self.client.clone(), notices));
        let artifacts =
            propeller_artifact::Client::new(settings.artifacts.clone()).context("artifacts can't be fetched")?;
        let directory = &settings.logs.directory;
        // Tasks go on without.
        let logs = Logs::open(directory, Bounds::default()).inspect_err(|error| {
            let (error, directory) = (error as &dyn std::error::Error, directory.display());
            tracing::error!(error, %directory, "lines of tasks can't be kept: choose another directory with --logs-directory");
        });
        let logs = logs.ok();
        self.kept.send_replace(logs.clone());
        let parts = Parts {
            config: Whom {
                controller: leadership.controller().clone(),
                register_in: settings.register_in.clone(),
                pace: Pace::default(),
            },
            store: store.clone(),
            resolver: Arc::new(RegistryResolver::new(artifacts)),
            outbox,
            in_sync,
            logs,
            clock: clock.clone(),
            metrics: self.metrics.clone(),
        };
        let mut running = Running::default();
        let wires = Wires {
            broken: running.broken.clone(),
            events: events.clone(),
            outgoing,
            clock,
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            hears_logs: true,
        };
        running.work(async move { Ok(brain::run(parts, receiver, stop).await?) });
        let derived = || format!("propeller-{}", leadership.controller());
        let client_id = settings.mqtt.client_id.clone().unwrap_or_else(derived);
        running.work(connect(settings.mqtt.clone(), client_id, wires, is_in_sync));
        running.watch(notices_worker);
        if let Some(address) = settings.logs.address {
            let (client, namespace) = (self.client.clone(), self.lease_namespace().to_owned());
            running.watch(logs::publish(client, namespace, address, self.logs_port));
        }
        let watcher = watch::Watcher {
            client: self.client.clone(),
            namespace: settings.watch_namespace.clone(),
            events,
            store,
            metrics: self.metrics.clone(),
        };
        running.watch(watcher.clone().tasks());
        running.watch(watcher.proplets());
        Ok(running)
    }
}

/// Everything that a leader runs. Dropping it ends all of it at once.
#[derive(Default)]
struct Running {
    /// Told whenever the connection to the broker breaks.
    broken: Arc<Notify>,
    /// They end by themselves when told to.
    workers: JoinSet<Result<()>>,
    /// They never end by themselves.
    watches: JoinSet<Result<()>>,
}

impl Running {
    fn work(&mut self, worker: impl Future<Output = Result<()>> + Send + 'static) {
        self.workers.spawn(worker);
    }

    fn watch(&mut self, watch: impl Future<Output = ()> + Send + 'static) {
        self.watches.spawn(async move {
            watch.await;
            Ok(())
        });
    }
}

/// Connects when the caches are in sync: what arrived earlier couldn't be judged.
async fn connect(mqtt: Mqtt, client_id: String, wires: Wires, mut in_sync: state::Receiver<bool>) -> Result<()> {
    if in_sync.wait_for(|in_sync| *in_sync).await.is_err() {
        // The brain ended before.
        return Ok(());
    }
    wires.health.set_in_sync(true);
    Ok(session::run(mqtt, client_id, wires).await?)
}

/// Waits until this replica doesn't lead any more, by its own knowledge or by what the lease says when the connection to the broker broke.
async fn lost(leadership: &mut Leadership, broken: &Notify) -> anyhow::Error {
    loop {
        tokio::select! {
            () = leadership.lost() => return anyhow!("the lease is lost: another replica leads now"),
            () = broken.notified() => {}
        }
        if let Err(error) = leadership.confirm().await {
            return error;
        }
    }
}

/// The error that a part gives by ending.
fn unexpected(ended: Option<Result<Result<()>, JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(panicked)) => anyhow::Error::new(panicked).context("a part of the operator panicked"),
        Some(Ok(Ok(()))) | None => anyhow!("a part of the operator ended by itself"),
    }
}
