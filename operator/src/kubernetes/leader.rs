//! Who of several replicas works: the holder of a Lease.
//!
//! The Lease is also the identity of the control plane. Its uid is given by the cluster, is the same for every replica and after every
//! restart, and is another one in another cluster; it lasts as long as the Lease is kept. Attempts carry it, so that two control planes on
//! one broker leave each other's tasks alone.
//!
//! A leader that can't reach the API server keeps leading until somebody else does: it can write nothing, and so starts nothing. Whoever
//! takes the lease then takes the MQTT session over too, and so the old leader learns of it: when its connection breaks it must see the lease
//! in its own name, or go. (Mosquitto 2.0 closes a session that is taken over without the reason that MQTT 5 has for it.)

use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use backon::{ExponentialBuilder, Retryable};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError, LeaseParams};
use propeller_protocol::ControllerId;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

/// How long giving the lease back may take. It runs out by itself otherwise.
const RELEASE: Duration = Duration::from_secs(5);
/// Between two tries to read the lease.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// The longest pause between two tries to stand for the lease.
const STAND_AGAIN: Duration = Duration::from_secs(10);

/// What is stood for.
#[derive(Clone, Copy)]
pub(super) struct Stand<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    /// How long a lease lasts that isn't renewed.
    pub(super) seconds: u32,
}

/// A replica, whether or not it leads.
pub(super) struct Leadership {
    leases: Api<Lease>,
    name: String,
    lasts: Duration,
    identity: String,
    controller: ControllerId,
    leads: watch::Receiver<bool>,
    manager: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
}

impl Leadership {
    /// Makes the Lease if there is none, and competes for it from now on. Waits for an API server that is away.
    ///
    /// # Errors
    ///
    /// When the API server refuses, as it does where rights are missing.
    pub(super) async fn stand(client: Client, stand: Stand<'_>) -> Result<Self> {
        let forever = ExponentialBuilder::default()
            .with_jitter()
            .with_max_delay(STAND_AGAIN)
            .without_max_times();
        (|| Self::try_to_stand(client.clone(), stand))
            .retry(forever)
            .when(is_passing)
            .notify(|error, pause| {
                let error: &dyn std::error::Error = error.as_ref();
                tracing::warn!(error, ?pause, "waiting for the API server");
            })
            .await
    }

    async fn try_to_stand(client: Client, stand: Stand<'_>) -> Result<Self> {
        let Stand {
            name,
            namespace,
            seconds,
        } = stand;
        let lease = || format!("the lease {namespace}/{name} can't be used");
        let identity = format!("propeller-operator-{}", Uuid::new_v4());
        // Renewed after two thirds of its time: a third is left for a slow API server.
        let parameters = LeaseParams::new(&identity, seconds.into(), (seconds / 3).max(1).into());
        let manager = LeaseManagerBuilder::new(client.clone(), name)
            .with_namespace(namespace)
            .with_parameters(parameters)
            .build()
            .await
            .with_context(lease)?;
        let leases = Api::<Lease>::namespaced(client, namespace);
        let uid = leases
            .get(name)
            .await
            .with_context(lease)?
            .metadata
            .uid
            .unwrap_or_default();
        let controller = uid.parse().with_context(lease)?;
        let (leads, manager) = manager.watch().await;
        Ok(Self {
            leases,
            name: name.to_owned(),
            lasts: Duration::from_secs(seconds.into()),
            identity,
            controller,
            leads,
            manager,
        })
    }

    /// This replica.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// The control plane that this is a replica of.
    pub(super) fn controller(&self) -> &ControllerId {
        &self.controller
    }

    /// Waits until this replica leads.
    pub(super) async fn won(&mut self) -> Result<()> {
        let won = self.leads.wait_for(|leads| *leads).await;
        won.map(drop)
            .map_err(|_| anyhow!("nobody looks after the lease any more"))
    }

    /// Waits until this replica doesn't lead any more.
    pub(super) async fn lost(&mut self) {
        // An error says that nobody looks after the lease any more, so it is as good as lost.
        let _ = self.leads.wait_for(|leads| !leads).await;
    }

    /// Reads the lease until it says who leads, for as long as a lease lasts.
    ///
    /// # Errors
    ///
    /// When it isn't this replica, or nobody can say.
    pub(super) async fn confirm(&self) -> Result<()> {
        let holder = timeout(self.lasts, self.holder()).await;
        let holder = holder.map_err(|_| {
            anyhow!("the broker's connection broke, and the lease can't be read: another replica may lead")
        })?;
        if holder.as_deref() == Some(&self.identity) {
            Ok(())
        } else {
            bail!("the MQTT session is taken over, and the lease is lost: another replica leads now")
        }
    }

    async fn holder(&self) -> Option<String> {
        loop {
            match self.leases.get(&self.name).await {
                Ok(lease) => return lease.spec.and_then(|spec| spec.holder_identity),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the lease can't be read now"),
            }
            sleep(READ_AGAIN).await;
        }
    }

    /// Goes without a word: the lease may be another replica's by now. Giving it back doesn't ask whose it is, and would take it from whoever leads.
    pub(super) fn leave(self) {
        self.manager.abort();
    }

    /// Gives the lease back, so that another replica takes it when it looks next.
    pub(super) async fn release(self) -> Result<()> {
        drop(self.leads);
        let released = timeout(RELEASE, self.manager).await;
        released.context("giving the lease back took too long")???;
        Ok(())
    }
}

/// Whether trying again may help: nobody answers, or the server is busy, or another replica was faster to make the lease.
fn is_passing(error: &Error) -> bool {
    error.chain().any(|cause| {
        let kube = cause.downcast_ref::<kube::Error>();
        let lease = cause.downcast_ref::<LeaseManagerError>();
        match kube {
            Some(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
            Some(kube::Error::Service(_) | kube::Error::HyperError(_)) => true,
            _ => matches!(lease, Some(LeaseManagerError::LeaseAlreadyExists(_))),
        }
    })
}
