//! What isn't in a program: the arrows of docs/ARCHITECTURE.md, as they are in the binaries that Cargo builds of the whole workspace.

use std::path::Path;

use anyhow::{Result, ensure};
use propeller_tests::cargo;
use tokio::process::Command;

const KUBERNETES: [&str; 4] = ["k8s_openapi", "kube_client", "kube_core", "kube_runtime"];
const WASMTIME: [&str; 2] = ["cranelift_codegen", "wasmtime_environ"];
const SERVERS: [&str; 3] = ["mqtt5", "ferro_oci_server", "rusqlite"];

#[tokio::test]
async fn what_runs_components_has_no_control_plane_in_it() -> Result<()> {
    let control = [KUBERNETES.as_slice(), &SERVERS, &["propeller_control"]].concat();
    check("proplet", &WASMTIME, &control).await
}

/// The command runs components here, is a control plane without a cluster, and asks one by the client that both kinds of it have in common.
#[tokio::test]
async fn the_command_has_no_operator_in_it() -> Result<()> {
    let has = [WASMTIME.as_slice(), &SERVERS, &["kube_client"]].concat();
    check("propeller", &has, &["propeller_operator", "kube_lease_manager"]).await
}

#[tokio::test]
async fn the_operator_has_no_engine_in_it() -> Result<()> {
    check(
        "propeller-operator",
        &KUBERNETES,
        &[WASMTIME.as_slice(), &SERVERS].concat(),
    )
    .await
}

/// The crates whose code is in the binary, by the names of its symbols. Those of `has` are looked for so that a stripped binary, in which
/// nothing is found, doesn't pass.
async fn check(program: &str, has: &[&str], lacks: &[&str]) -> Result<()> {
    let binary = cargo::binary(program).await?;
    for name in has {
        ensure!(
            holds(&binary, name).await?,
            "{program} has nothing of {name}: has it no symbols?"
        );
    }
    for name in lacks {
        ensure!(!holds(&binary, name).await?, "{program} has code of {name} in it");
    }
    Ok(())
}

/// A binary has hundreds of megabytes, in which a search of an unoptimised build would take a minute.
async fn holds(binary: &Path, name: &str) -> Result<bool> {
    let mut grep = Command::new("grep");
    let found = grep
        .args(["--quiet", "--fixed-strings", name])
        .arg(binary)
        .status()
        .await?;
    Ok(found.success())
}
