//! The aggregation layer: who the API server is to those that it passes requests on to, and the way to an operator's API for lines of tasks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use super::ControlPlane;
use crate::cargo;
use crate::wait::{PATIENCE, wait_for};

pub(super) const CA: &str = "front-proxy-ca.crt";
const CA_KEY: &str = "front-proxy-ca.key";
pub(super) const CERTIFICATE: &str = "front-proxy.crt";
pub(super) const KEY: &str = "front-proxy.key";
/// Whose certificates count.
pub(super) const NAME: &str = "front-proxy-client";
/// operator/logs.yaml has it.
const API_SERVICE: &str = "v1alpha1.logs.propeller.dev";

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The API server passes requests for lines on to one operator while this lives. There is one such API in a cluster, so others wait for their turn.
#[derive(Debug)]
pub struct LogsRoute {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// Writes what the API server shows of itself, and who vouches for it.
pub(super) fn write(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    fs::write(folder.join(CA), ca()?.self_signed(&key)?.pem())?;
    fs::write(folder.join(CA_KEY), key.serialize_pem())?;
    let identity = sign(folder, NAME)?;
    fs::write(folder.join(CERTIFICATE), identity.certificate)?;
    fs::write(folder.join(KEY), identity.key)?;
    Ok(())
}

fn ca() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "front-proxy-ca");
    Ok(params)
}

/// A certificate of the front proxy's authority.
pub(super) fn sign(folder: &Path, name: &str) -> Result<Identity> {
    let issuer = Issuer::new(ca()?, KeyPair::from_pem(&fs::read_to_string(folder.join(CA_KEY))?)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(Identity {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

impl ControlPlane {
    /// Has the API server pass requests for lines on to the operator at that port of loopback, which works in that namespace. Returns when it does.
    ///
    /// No pod runs here that a Service could lead to, so that of operator/logs.yaml is exchanged for one that leads out of the cluster.
    ///
    /// # Errors
    /// When the API server doesn't reach it.
    pub async fn pass_logs_to(&self, port: u16, namespace: &str) -> Result<LogsRoute> {
        static TURN: Mutex<()> = Mutex::const_new(());
        self.servers()?;
        let route = LogsRoute {
            kubectl: self.kubectl.clone(),
            kubeconfig: self.kubeconfig.clone(),
            _turn: TURN.lock().await,
        };
        let manifest = cargo::root().join("operator/logs.yaml").display().to_string();
        self.kubectl(&["apply", "--filename", &manifest]).await?;
        let name = format!("logs-of-{namespace}");
        // The port may be another one than that of an earlier route.
        let gone = [
            "delete",
            "service",
            &name,
            "--namespace",
            "propeller-system",
            "--ignore-not-found",
        ];
        self.kubectl(&gone).await?;
        let external = ["--external-name", "localhost", "--namespace", "propeller-system"];
        self.kubectl(&[["create", "service", "externalname", &name].as_slice(), &external].concat())
            .await?;
        let patch = json!({"spec": {"service": {"name": name, "port": port}}}).to_string();
        self.kubectl(&["patch", "apiservice", API_SERVICE, "--type", "merge", "--patch", &patch])
            .await?;
        let path = format!("/apis/logs.propeller.dev/v1alpha1/namespaces/{namespace}/tasks/nobody/log");
        wait_for("the API server to pass requests on", PATIENCE, async || {
            let answer = self.kubectl(&["get", "--raw", &path]).await;
            let answer = answer.err().context("there is a task of that name")?.to_string();
            ensure!(answer.contains("tasks.propeller.dev \"nobody\" not found"), "{answer}");
            Ok(())
        })
        .await?;
        Ok(route)
    }

    /// A certificate of the authority of the API server's front proxy. Of a name, since only that of `front-proxy-client` counts.
    ///
    /// # Errors
    /// When it can't be made, or the cluster is the environment's.
    pub fn front_proxy(&self, name: &str) -> Result<Identity> {
        sign(self.servers()?.folder(), name)
    }
}

impl Drop for LogsRoute {
    /// An API that nobody serves would hold up the deletion of namespaces.
    fn drop(&mut self) {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command.args(["delete", "apiservice", API_SERVICE, "--ignore-not-found"]);
        // Where the API server has ended there is nothing to hold up.
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
