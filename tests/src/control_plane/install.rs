//! Our CRDs, put into an API server. They come from the Rust types; that the committed files are the same, a test of theirs shows.

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};

use crate::wait::{PATIENCE, wait_for};

/// Returns when the API server serves them.
pub(super) async fn crds(client: Client) -> Result<()> {
    let api = Api::all(client);
    for crd in propeller_crd::all() {
        install(&api, &crd)
            .await
            .with_context(|| format!("can't install {}", crd.name_any()))?;
    }
    Ok(())
}

async fn install(api: &Api<CustomResourceDefinition>, crd: &CustomResourceDefinition) -> Result<()> {
    let name = crd.name_any();
    api.patch(
        &name,
        &PatchParams::apply("propeller-tests").force(),
        &Patch::Apply(crd),
    )
    .await?;
    wait_for("the CRD to be established", PATIENCE, async || {
        let status = api.get(&name).await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let established = conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True");
        ensure!(established, "its conditions are {conditions:?}");
        Ok(())
    })
    .await
}
