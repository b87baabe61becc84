//! What isn't in a program: the arrows of docs/ARCHITECTURE.md, as they are in the binaries that Cargo builds of the whole workspace.

use anyhow::{Result, ensure};
use propeller_tests::cargo;

const KUBERNETES: [&str; 4] = ["k8s_openapi", "kube_client", "kube_core", "kube_runtime"];
const WASMTIME: [&str; 2] = ["cranelift_codegen", "wasmtime_environ"];

#[tokio::test]
async fn what_runs_components_has_no_kubernetes_in_it() -> Result<()> {
    check("proplet", &WASMTIME, &KUBERNETES).await
}

/// The command has both: it runs components here, and asks a control plane by the client that both kinds of it have in common.
#[tokio::test]
async fn the_command_speaks_to_control_planes_and_is_none() -> Result<()> {
    check(
        "propeller",
        &[WASMTIME.as_slice(), &["kube_client"]].concat(),
        &["propeller_operator", "kube_lease_manager"],
    )
    .await
}

#[tokio::test]
async fn the_operator_has_no_engine_in_it() -> Result<()> {
    check("propeller-operator", &KUBERNETES, &WASMTIME).await
}

/// The crates whose code is in the binary, by the names of its symbols. Those of `has` are looked for so that a stripped binary, in which
/// nothing is found, doesn't pass.
async fn check(program: &str, has: &[&str], lacks: &[&str]) -> Result<()> {
    let bytes = std::fs::read(cargo::binary(program).await?)?;
    let holds = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    for name in has {
        ensure!(holds(name), "{program} has nothing of {name}: has it no symbols?");
    }
    for name in lacks {
        ensure!(!holds(name), "{program} has code of {name} in it");
    }
    Ok(())
}
