//! A whole Propeller: broker, registry, a control plane of either shell, and proplets.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use oci_client::{
    Client,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    secrets::RegistryAuth,
};
use propeller_api::{Condition, Phase, TaskStatus, condition, is_true, types};
use serde_json::{Value, json};
use tokio::fs;

use crate::{
    ControlPlane, LogsRoute, Mosquitto, PATIENCE, Program, Registry, Service, Spy, Standalone, cargo, mosquitto,
    registry, wait_for,
};

/// Everything that a task passes through on its way, for one test.
#[derive(Debug)]
pub struct World {
    /// The broker between control plane and proplets.
    pub broker: Mosquitto,
    /// Where components are pushed to.
    pub registry: Registry,
    /// Where resources are.
    pub shell: Shell,
    /// The test's own part of it.
    pub namespace: String,
}

/// Where resources are, and what decides about them.
#[derive(Debug)]
pub enum Shell {
    /// The operator, with an API server that is shared with other tests.
    Kubernetes(&'static ControlPlane),
    /// `propeller up`.
    Standalone(Standalone),
}

impl World {
    /// Broker, registry and namespace of an API server; the operator and proplets are started by the test.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn kubernetes() -> Result<Self> {
        let cluster = ControlPlane::shared().await?;
        let namespace = cluster.namespace().await?;
        cluster.operator().await?.may_lead_in(cluster, &namespace).await?;
        Self::of(Shell::Kubernetes(cluster), namespace).await
    }

    /// Broker, registry and a place for the state; `propeller up` and proplets are started by the test.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn standalone() -> Result<Self> {
        Self::of(Shell::Standalone(Standalone::new()?), "lab".to_owned()).await
    }

    async fn of(shell: Shell, namespace: String) -> Result<Self> {
        Ok(Self {
            broker: Mosquitto::start(mosquitto::Access::Anyone).await?,
            registry: Registry::start(registry::Access::Anyone).await?,
            shell,
            namespace,
        })
    }

    /// The API server.
    ///
    /// # Errors
    /// When the world has none.
    pub fn cluster(&self) -> Result<&'static ControlPlane> {
        match &self.shell {
            Shell::Kubernetes(cluster) => Ok(cluster),
            Shell::Standalone(_) => bail!("this world has no API server"),
        }
    }

    /// Starts what decides, of whichever shell, and waits until it does.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn start_control(&self) -> Result<Service> {
        self.control_by(self.broker.addr()).await?.start(OPERATOR_READY).await
    }

    /// What decides, of whichever shell, about to be started with that way to the broker.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn control_by(&self, broker: SocketAddr) -> Result<Program> {
        match &self.shell {
            Shell::Kubernetes(_) => self.operator_by(broker, &self.namespace).await,
            Shell::Standalone(up) => {
                let up = up.program().await?.args(["--no-proplet", "--registry", "elsewhere"]);
                Ok(up.args(["--mqtt", &format!("mqtt://{broker}")]))
            }
        }
    }

    /// An operator about to be started, which works in the world's namespace only, with the rights that operator/rbac.yaml gives.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn operator(&self) -> Result<Program> {
        self.operator_by(self.broker.addr(), &self.namespace).await
    }

    /// The same, by that way to the broker and with its Lease in that namespace.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn operator_by(&self, broker: SocketAddr, namespace: &str) -> Result<Program> {
        let operator = Program::new("propeller-operator").await?;
        let (cache, logs) = (operator.folder().join("cache"), operator.folder().join("logs"));
        Ok(operator
            .env("KUBECONFIG", self.cluster()?.operator().await?.kubeconfig())
            .args(["--mqtt-broker", &format!("mqtt://{broker}")])
            .args(["--watch-namespace", &self.namespace, "--lease-namespace", namespace])
            .args(["--lease-seconds", "3", "--listen", "127.0.0.1:0"])
            .arg("--artifacts-cache-dir")
            .arg(cache)
            .args(["--logs-listen", "127.0.0.1:0", "--logs-directory"])
            .arg(logs))
    }

    /// Where what decides keeps what tasks write.
    pub fn logs(&self, control: &Service) -> PathBuf {
        match &self.shell {
            Shell::Kubernetes(_) => control.folder().join("logs"),
            Shell::Standalone(up) => up.state().join("logs"),
        }
    }

    /// Where an operator is asked for what tasks wrote, by its log.
    ///
    /// # Errors
    /// When it doesn't say so.
    pub async fn logs_port(&self, operator: &mut Service) -> Result<u16> {
        let port = |line: &str| {
            let (_, address) = line.split_once("serving lines of tasks on https://")?;
            address.trim().rsplit(':').next()?.parse().ok()
        };
        operator.process()?.wait_for_log("line with its address", port).await
    }

    /// Makes lines readable by people: on a cluster, while the route lives, through the API server; elsewhere they are.
    ///
    /// # Errors
    /// When the API server doesn't reach the operator.
    pub async fn pass_logs_to(&self, control: &mut Service) -> Result<Option<LogsRoute>> {
        match &self.shell {
            Shell::Kubernetes(cluster) => {
                let port = self.logs_port(control).await?;
                Ok(Some(cluster.pass_logs_to(port, &self.namespace).await?))
            }
            Shell::Standalone(_) => Ok(None),
        }
    }

    /// Starts an operator, and waits until it leads and listens to the broker.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn start_operator(&self) -> Result<Service> {
        self.operator().await?.start(OPERATOR_READY).await
    }

    /// A proplet about to be started.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn proplet(&self, id: &str) -> Result<Program> {
        self.proplet_by(self.broker.addr(), id).await
    }

    /// The same, by way of a [`Proxy`](crate::Proxy) to the broker.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn proplet_by(&self, broker: SocketAddr, id: &str) -> Result<Program> {
        let proplet = Program::new("proplet").await?;
        let state = proplet.folder().join("state");
        Ok(proplet
            .args(["--id", id, "--heartbeat-seconds", "1"])
            .args(["--mqtt-broker", &format!("mqtt://{broker}")])
            .arg("--state-dir")
            .arg(state))
    }

    /// Starts a proplet, and makes the Proplet resource for it.
    ///
    /// # Errors
    /// When either fails.
    pub async fn start_proplet(&self, id: &str, labels: Value) -> Result<Service> {
        self.create_proplet(id, labels).await?;
        self.proplet(id).await?.start(PROPLET_READY).await
    }

    /// Makes the Proplet resource for a proplet.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_proplet(&self, id: &str, labels: Value) -> Result<()> {
        let proplet = json!({
            "apiVersion": "propeller.dev/v1alpha1", "kind": "Proplet",
            "metadata": {"name": id, "labels": labels},
            "spec": {"connectionConfig": {"clientId": id}},
        });
        self.proplets()
            .await?
            .create(&PostParams::default(), &serde_json::from_value(proplet)?)
            .await?;
        Ok(())
    }

    /// Publishes a guest, and returns its reference.
    ///
    /// # Errors
    /// When it doesn't build, or can't be pushed.
    pub async fn push(&self, guest: &str) -> Result<String> {
        let bytes = fs::read(cargo::guest(guest).await?).await?;
        self.push_bytes(guest, bytes).await
    }

    /// Publishes any bytes as a component, and returns the reference.
    ///
    /// # Errors
    /// When they can't be pushed.
    pub async fn push_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<String> {
        let reference = format!("{}/tests/{name}:1", self.registry.addr());
        push(&reference, bytes).await?;
        Ok(reference)
    }

    /// Creates a Task with that spec.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_task(&self, name: &str, spec: Value) -> Result<()> {
        let task = json!({
            "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": name}, "spec": spec,
        });
        let task: propeller_crd::Task = serde_json::from_value(task)?;
        self.tasks().await?.create(&PostParams::default(), &task).await?;
        Ok(())
    }

    /// Deletes a Task.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_task(&self, name: &str) -> Result<()> {
        self.tasks().await?.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Changes a Task's spec, by a merge patch.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn edit_task(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.tasks().await?.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until there is no Task of that name.
    ///
    /// # Errors
    /// When it stays.
    pub async fn wait_until_gone(&self, name: &str) -> Result<()> {
        let tasks = self.tasks().await?;
        wait_for(&format!("{name} to go"), PATIENCE, async || {
            ensure!(tasks.get_opt(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await
    }

    /// The task's status, once `wanted` accepts it.
    ///
    /// # Errors
    /// When that doesn't happen. Shows the last status.
    pub async fn wait_for_task(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&TaskStatus) -> bool,
    ) -> Result<TaskStatus> {
        let tasks = self.tasks().await?;
        wait_for(&format!("{name} {what}"), PATIENCE, async || {
            let status = tasks.get(name).await?.status.context("it has no status")?;
            if !wanted(&status) {
                bail!("{status:#?}");
            }
            Ok(status)
        })
        .await
    }

    /// The task's status once it has ended.
    ///
    /// # Errors
    /// When it doesn't end.
    pub async fn finished(&self, name: &str) -> Result<TaskStatus> {
        self.wait_for_task(name, "to end", |status| is_true(&status.conditions, types::FINISHED))
            .await
    }

    /// The results of the task once it has ended.
    ///
    /// # Errors
    /// When it doesn't end, or fails.
    pub async fn results(&self, name: &str) -> Result<Value> {
        let status = self.finished(name).await?;
        ensure!(status.phase == Phase::Completed, "{name} failed: {status:#?}");
        Ok(status.results.unwrap_or_default())
    }

    /// The task's condition of that type once it has that reason.
    ///
    /// # Errors
    /// When that doesn't happen. Shows the last status.
    pub async fn wait_for_reason(&self, name: &str, type_: &str, reason: &str) -> Result<Condition> {
        let has = |status: &TaskStatus| condition(&status.conditions, type_).is_some_and(|said| said.reason == reason);
        let status = self.wait_for_task(name, &format!("{type_} {reason}"), has).await?;
        condition(&status.conditions, type_)
            .cloned()
            .context("it had the condition")
    }

    /// Tasks of the namespace.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn tasks(&self) -> Result<Api<propeller_crd::Task>> {
        Ok(Api::namespaced(self.client().await?, &self.namespace))
    }

    /// Proplets of the namespace.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn proplets(&self) -> Result<Api<propeller_crd::Proplet>> {
        Ok(Api::namespaced(self.client().await?, &self.namespace))
    }

    /// A client with all rights.
    ///
    /// # Errors
    /// When the kubeconfig or the token can't be used.
    pub async fn client(&self) -> Result<kube::Client> {
        match &self.shell {
            Shell::Kubernetes(cluster) => cluster.client().await,
            Shell::Standalone(up) => up.client(),
        }
    }

    /// A witness of all that is said over the broker.
    ///
    /// # Errors
    /// When the broker isn't there.
    pub async fn spy(&self) -> Result<Spy> {
        Spy::connect(self.broker.addr(), "m/#").await
    }
}

/// What an operator says when it leads and listens to the broker.
pub const OPERATOR_READY: &str = "connected to the broker";
/// What a proplet says when it has connected.
pub const PROPLET_READY: &str = "connected";

/// Pushes as `oras push` does, which asks nothing: what `propeller push` refuses must get there too.
async fn push(reference: &str, bytes: Vec<u8>) -> Result<()> {
    // The first of all tests wins; it is the same for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    };
    let layer = ImageLayer::new(bytes, "application/wasm".to_owned(), None);
    let empty = Config::new(&b"{}"[..], "application/vnd.oci.empty.v1+json".to_owned(), None);
    let client = Client::try_from(config)?;
    client
        .push(&reference.parse()?, &[layer], empty, &RegistryAuth::Anonymous, None)
        .await?;
    Ok(())
}
