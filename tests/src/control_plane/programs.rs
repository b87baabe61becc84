//! Where a control plane comes from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo;

/// What the tests use.
pub(super) enum Found {
    /// A cluster that runs, by its kubeconfig.
    Cluster(PathBuf),
    /// A folder with kube-apiserver, etcd and kubectl to run. The one that we build has kube-controller-manager too.
    Programs(PathBuf),
}

/// Plain `KUBECONFIG` isn't enough: often it is somebody's live cluster.
pub(super) fn find() -> Result<Found> {
    if let Some(kubeconfig) = variable("PROPELLER_TEST_KUBECONFIG") {
        return Ok(Found::Cluster(kubeconfig.into()));
    }
    if variable("USE_EXISTING_CLUSTER").is_some_and(|value| value == "true") {
        let kubeconfig = variable("KUBECONFIG").context("USE_EXISTING_CLUSTER=true needs KUBECONFIG")?;
        return Ok(Found::Cluster(kubeconfig.into()));
    }
    if let Some(assets) = variable("KUBEBUILDER_ASSETS") {
        return Ok(Found::Programs(assets.into()));
    }
    built().map(Found::Programs)
}

fn built() -> Result<PathBuf> {
    let found = Command::new(cargo::root().join("scripts/control-plane"))
        .arg("--find")
        .output();
    let found = found.context("can't run scripts/control-plane")?;
    let reason = String::from_utf8_lossy(&found.stderr);
    ensure!(
        found.status.success(),
        "there is no Kubernetes API server to test with: run `make control-plane`, which builds one ({})",
        reason.trim()
    );
    let folder = String::from_utf8(found.stdout).context("scripts/control-plane prints no path")?;
    Ok(Path::new(folder.trim()).to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
