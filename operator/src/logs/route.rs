//! Leads the Service to the replica that leads.
//!
//! Only the leader hears what tasks write, and a Service that selects pods would lead to any of them. So this one selects nothing: the leader writes
//! its own address into the EndpointSlice that comes with it. Who leads next writes another one there; until then a request ends at a standby, which
//! says so, or at nobody.

use std::{net::IpAddr, time::Duration};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::sleep;

/// The Service. operator/logs.yaml makes it, and a slice for each family of addresses.
pub(super) const SERVICE: &str = "propeller-logs";
/// What somebody else changed is mended after that: the manifest may be applied later than we lead. A write that changes nothing costs etcd nothing.
const AGAIN: Duration = Duration::from_secs(15);

/// Keeps the Service leading to that address, for as long as this replica leads.
pub(crate) async fn publish(client: Client, namespace: String, address: IpAddr, port: u16) {
    let slices = Api::<EndpointSlice>::namespaced(client, &namespace);
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let name = format!("{SERVICE}-{family}");
    let patch = Patch::Merge(json!({
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }));
    let mut is_told = false;
    loop {
        match slices.patch(&name, &PatchParams::default(), &patch).await {
            Ok(_) if is_told => is_told = false,
            Ok(_) => {}
            Err(error) if !is_told => {
                is_told = true;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the Service for lines of tasks can't be led here: see that operator/rbac.yaml and operator/logs.yaml are applied"
                );
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}
