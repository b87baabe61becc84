//! The same on Kubernetes: an API server, Mosquitto, docker-registry, the operator and a proplet.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use propeller_api::{TaskStatus, is_true, types};
use propeller_tests::{ControlPlane, Mosquitto, Program, Registry, Service, cargo, mosquitto, registry, wait_for};
use tokio::process::Command;

use crate::{REGISTRY, REPOSITORY, Story};

pub async fn demo(story: &Story) -> Result<()> {
    let component = crate::build(story).await?;

    story.step("Start a registry, a broker and a Kubernetes API server");
    let mut registry = Registry::start(registry::Access::Anyone).await?;
    story.tell(&format!("docker-registry on {}", registry.addr()));
    let mut broker = Mosquitto::start(mosquitto::Access::Anyone).await?;
    story.tell(&format!("mosquitto on {}", broker.addr()));
    let cluster = ControlPlane::start().await?;
    story.tell("kube-apiserver with etcd, and the kinds Task and Proplet");

    story.step("Start the operator and one proplet");
    let begin = Instant::now();
    let mut operator = start_operator(&cluster, &broker, &registry).await?;
    story.tell(&format!(
        "propeller-operator leads, and listens to the broker, after {:.1?}",
        begin.elapsed()
    ));
    let begin = Instant::now();
    let mut proplet = start_proplet(&broker, &registry).await?;
    story.tell(&format!("proplet edge-1 is connected, after {:.1?}", begin.elapsed()));

    story.step("Publish the component");
    story.run(&[
        "propeller",
        "push",
        "addition.wasm",
        &format!("{}/{REPOSITORY}", registry.addr()),
    ]);
    story.tell(push(&component, &registry).await?.trim());

    story.step("Apply the Proplet and the Task");
    for file in ["examples/addition/proplet.yaml", "examples/addition/task.yaml"] {
        story.run(&["kubectl", "apply", "--filename", file]);
        let path = cargo::root().join(file).display().to_string();
        story.tell(cluster.kubectl(&["apply", "--filename", &path]).await?.trim());
    }

    story.step("Watch it");
    let status = watch(&cluster, story).await?;
    story.run(&["kubectl", "get", "task", "addition"]);
    story.tell(cluster.kubectl(&["get", "task", "addition"]).await?.trim_end());
    let results = status
        .results
        .context("the task has no results: see the conditions above")?;
    println!("\nresults: {results}");
    ensure!(results == 42, "20 + 22 should be 42");

    story.step("Stop everything");
    for service in [&mut proplet, &mut operator] {
        service.stop().await?;
    }
    registry.stop().await?;
    broker.stop().await?;
    cluster.stop().await?;
    story.tell("proplet, operator, registry, broker and API server have ended");
    Ok(())
}

/// `localhost:5000` in the examples is whatever registry there is: for operator and proplet, a mirror.
fn mirrors(registry: &Registry) -> String {
    format!("[registries.\"{REGISTRY}\"]\nmirrors = [\"{}\"]\n", registry.addr())
}

async fn start_operator(cluster: &ControlPlane, broker: &Mosquitto, registry: &Registry) -> Result<Service> {
    let operator = Program::new("propeller-operator").await?;
    let config = operator.file("operator.toml", mirrors(registry))?;
    let (cache, logs) = (operator.folder().join("cache"), operator.folder().join("logs"));
    let operator = operator
        .env("KUBECONFIG", cluster.kubeconfig())
        .arg("--config")
        .arg(config)
        .args([
            "--mqtt-broker",
            &format!("mqtt://{}", broker.addr()),
            "--listen",
            "127.0.0.1:0",
        ])
        .arg("--artifacts-cache-dir")
        .arg(cache)
        .args(["--logs-listen", "127.0.0.1:0", "--logs-directory"])
        .arg(logs);
    operator.start(propeller_tests::world::OPERATOR_READY).await
}

async fn start_proplet(broker: &Mosquitto, registry: &Registry) -> Result<Service> {
    let proplet = Program::new("proplet").await?;
    let config = proplet.file("proplet.toml", mirrors(registry))?;
    let state = proplet.folder().join("state");
    let proplet = proplet
        .arg("--config")
        .arg(config)
        .args(["--id", "edge-1", "--mqtt-broker", &format!("mqtt://{}", broker.addr())])
        .arg("--state-dir")
        .arg(state);
    proplet.start(propeller_tests::world::PROPLET_READY).await
}

async fn push(component: &Path, registry: &Registry) -> Result<String> {
    let reference = format!("{}/{REPOSITORY}", registry.addr());
    let propeller = cargo::binary("propeller").await?;
    let done = Command::new(propeller)
        .arg("push")
        .arg(component)
        .arg(reference)
        .output()
        .await?;
    ensure!(
        done.status.success(),
        "propeller push: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Tells each condition as it comes true, until the task has ended.
async fn watch(cluster: &ControlPlane, story: &Story) -> Result<TaskStatus> {
    let tasks: kube::Api<propeller_crd::Task> = kube::Api::default_namespaced(cluster.client().await?);
    let mut told = Vec::new();
    wait_for("the task to end", Duration::from_secs(60), async || {
        let status = tasks.get("addition").await?.status.context("it has no status")?;
        for condition in &status.conditions {
            let line = format!("{:<10} {:<10} {}", condition.type_, condition.reason, condition.message);
            if !told.contains(&line) {
                story.tell(&line);
                told.push(line);
            }
        }
        ensure!(
            is_true(&status.conditions, types::FINISHED),
            "its phase is {:?}",
            status.phase
        );
        Ok(status)
    })
    .await
}
