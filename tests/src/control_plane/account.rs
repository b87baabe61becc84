//! The ServiceAccount that operator/rbac.yaml makes. Operators run as it, so that one that needs another right fails a test.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ControlPlane;
use crate::{cargo, scratch};

const NAME: &str = "propeller-operator";
const NAMESPACE: &str = "propeller-system";

/// The operator's account.
#[derive(Debug)]
pub struct Account {
    folder: TempDir,
}

impl Account {
    pub(super) async fn create(cluster: &ControlPlane) -> Result<Self> {
        let rules = cargo::root().join("operator/rbac.yaml").display().to_string();
        cluster.kubectl(&["apply", "--filename", &rules]).await?;
        let token = cluster
            .kubectl(&["create", "token", NAME, "--namespace", NAMESPACE, "--duration", "24h"])
            .await?;
        let mut kubeconfig: Value = serde_saphyr::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
        let account = Self {
            folder: scratch::folder("operator-account")?,
        };
        fs::write(account.folder.path().join("kubeconfig"), kubeconfig.to_string())?;
        Ok(account)
    }

    /// How the operator reaches the cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Lets it hold its Lease in that namespace too, with the rights that it has for that in its own.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn may_lead_in(&self, cluster: &ControlPlane, namespace: &str) -> Result<()> {
        let client = cluster.client().await?;
        let roles = Api::<Role>::namespaced(client.clone(), NAMESPACE);
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        };
        let role = Role {
            metadata: metadata.clone(),
            ..roles.get(NAME).await.context("the operator's role")?
        };
        let bindings = Api::<RoleBinding>::namespaced(client.clone(), NAMESPACE);
        let binding = RoleBinding {
            metadata,
            ..bindings.get(NAME).await.context("the operator's role binding")?
        };
        let params = PostParams::default();
        Api::namespaced(client.clone(), namespace)
            .create(&params, &role)
            .await?;
        Api::namespaced(client, namespace).create(&params, &binding).await?;
        Ok(())
    }
}
