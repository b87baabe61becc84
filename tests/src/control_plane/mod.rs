//! A real Kubernetes API server with our CRDs, and nothing that would run a pod.
//!
//! It takes seconds and hundreds of megabytes, so the tests of one binary share one ([`ControlPlane::shared`]) and each has a namespace in it.

mod account;
mod front;
mod install;
mod programs;
mod servers;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::OnceCell;

pub use account::Account;
pub use front::{Identity, LogsRoute};
use programs::Found;
use servers::Servers;

/// An API server: one of our own, or the cluster that the environment names.
///
/// `PROPELLER_TEST_KUBECONFIG`, or `KUBECONFIG` together with `USE_EXISTING_CLUSTER=true`, names a cluster to use; our CRDs are put there, and
/// namespaces that nobody removes. Otherwise the programs in `KUBEBUILDER_ASSETS` are run, or those that `make control-plane` builds.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    /// None where the environment named a cluster.
    servers: Option<Servers>,
    account: OnceCell<Account>,
}

impl ControlPlane {
    /// The one of this process, started when the first test asks. It ends with the process.
    ///
    /// # Errors
    /// When it doesn't start. The next call tries again.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts one of its own, with our CRDs. It ends with the handle.
    ///
    /// # Errors
    /// When there is nothing to start, with the command that helps; or when it doesn't start.
    pub async fn start() -> Result<Self> {
        let control_plane = match programs::find()? {
            Found::Cluster(kubeconfig) => Self {
                kubeconfig,
                kubectl: "kubectl".into(),
                servers: None,
                account: OnceCell::new(),
            },
            Found::Programs(folder) => {
                let kubectl = folder.join("kubectl");
                let servers = Servers::start(folder).await.context("no control plane")?;
                Self {
                    kubeconfig: servers.kubeconfig(),
                    kubectl,
                    servers: Some(servers),
                    account: OnceCell::new(),
                }
            }
        };
        install::crds(control_plane.client().await?).await?;
        Ok(control_plane)
    }

    /// How to reach it, with all rights: a file for programs to read.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The rights of the operator, and a file for it to reach the cluster with no others.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn operator(&self) -> Result<&Account> {
        self.account.get_or_try_init(|| Account::create(self)).await
    }

    /// A client with all rights. It belongs to the async runtime that asks, so it isn't shared between tests.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig).await
    }

    /// A new namespace, for the objects of one test.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self) -> Result<String> {
        let metadata = ObjectMeta {
            generate_name: Some("test-".to_owned()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let namespaces = Api::<Namespace>::all(self.client().await?);
        let created = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .context("can't create a namespace")?;
        created.metadata.name.context("the API server gave a namespace no name")
    }

    /// Makes sure that there is a controller manager: without one a deleted namespace stays, owners' objects outlive them, and Deployments make no pods.
    ///
    /// # Errors
    /// When it isn't there or doesn't start.
    pub async fn with_controller_manager(&self) -> Result<()> {
        match &self.servers {
            Some(servers) => servers.with_controller_manager().await,
            None => Ok(()),
        }
    }

    /// Kills the API server. What it was told is in etcd, which goes on.
    ///
    /// # Errors
    /// When the cluster is the environment's.
    pub async fn kill_api_server(&self) -> Result<()> {
        self.servers()?.kill_apiserver().await
    }

    /// Starts a killed API server again, where it was.
    ///
    /// # Errors
    /// When it doesn't get ready, or the cluster is the environment's.
    pub async fn start_api_server_again(&self) -> Result<()> {
        self.servers()?.start_apiserver_again().await
    }

    /// Sends a signal to the API server, such as the one that holds it up.
    ///
    /// # Errors
    /// When it has ended, or the cluster is the environment's.
    pub async fn signal_api_server(&self, signal: Signal) -> Result<()> {
        self.servers()?.signal_apiserver(signal).await
    }

    fn servers(&self) -> Result<&Servers> {
        self.servers
            .as_ref()
            .context("the cluster is the environment's, which isn't ours to disturb")
    }

    /// Runs kubectl with all rights, and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(args)
            .kill_on_drop(true);
        let done = command
            .output()
            .await
            .with_context(|| format!("can't run {}", self.kubectl.display()))?;
        ensure!(
            done.status.success(),
            "kubectl {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Stops what was started, in order. Dropping it does so too, at once.
    ///
    /// # Errors
    /// When a server doesn't end.
    pub async fn stop(self) -> Result<()> {
        match self.servers {
            Some(servers) => servers.stop().await,
            None => Ok(()),
        }
    }
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Ok(Client::try_from(
        config.with_context(|| format!("can't use {}", kubeconfig.display()))?,
    )?)
}
