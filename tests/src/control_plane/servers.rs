//! etcd, kube-apiserver and, when asked for, kube-controller-manager: started, reachable, stopped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use rcgen::generate_simple_self_signed;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use super::{client, front};
use crate::launch::Launch;
use crate::process::Process;
use crate::{port, scratch};

/// In the order in which they are dropped: whoever needs another goes first, and the folder last.
#[derive(Debug)]
pub(super) struct Servers {
    controller_manager: OnceCell<Process>,
    /// Behind a lock, since whoever shares the control plane may end it and start it again.
    apiserver: Mutex<Process>,
    port: u16,
    etcd: Process,
    programs: PathBuf,
    folder: TempDir,
}

const KUBECONFIG: &str = "kubeconfig";
/// The server's certificate, which is its own authority. Its key signs the tokens of service accounts too.
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const TOKENS: &str = "tokens.csv";

impl Servers {
    /// `programs` is the folder that has them.
    pub(super) async fn start(programs: PathBuf) -> Result<Self> {
        let folder = scratch::folder("control-plane")?;
        let etcd = start_etcd(&programs, folder.path()).await?;
        let token = Uuid::new_v4().to_string();
        let certificate = write_credentials(folder.path(), &token)?;
        let apiserver = port::with_free(async |port| {
            write_kubeconfig(folder.path(), port, &certificate, &token)?;
            Ok((start_apiserver(&programs, folder.path(), port).await?, port))
        });
        let (apiserver, port) = apiserver.await?;
        Ok(Self {
            controller_manager: OnceCell::new(),
            apiserver: Mutex::new(apiserver),
            port,
            etcd,
            programs,
            folder,
        })
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join(KUBECONFIG)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) async fn with_controller_manager(&self) -> Result<()> {
        let start = || start_controller_manager(&self.programs, self.folder.path());
        self.controller_manager.get_or_try_init(start).await?;
        Ok(())
    }

    pub(super) async fn kill_apiserver(&self) -> Result<()> {
        self.apiserver.lock().await.kill()
    }

    pub(super) async fn start_apiserver_again(&self) -> Result<()> {
        let mut apiserver = self.apiserver.lock().await;
        *apiserver = start_apiserver(&self.programs, self.folder.path(), self.port).await?;
        Ok(())
    }

    pub(super) async fn signal_apiserver(&self, signal: Signal) -> Result<()> {
        self.apiserver.lock().await.signal(signal)
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(controller_manager) = self.controller_manager.get_mut() {
            controller_manager.terminate().await?;
        }
        self.apiserver.get_mut().terminate().await?;
        self.etcd.terminate().await?;
        Ok(())
    }
}

async fn start_etcd(programs: &Path, folder: &Path) -> Result<Process> {
    let launch = Launch::new("etcd", programs.join("etcd")).args([
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        // Only our API server can reach a socket in our folder, and it needs no port.
        &format!("--listen-client-urls=unix://{}", etcd_socket(folder).display()),
        // These two aren't used by a cluster of one, but must be there, and have ports.
        "--advertise-client-urls=http://127.0.0.1:0",
        "--listen-peer-urls=http://127.0.0.1:0",
    ]);
    let mut etcd = launch.start(folder)?;
    etcd.wait_for_log("sign of being ready", |line| {
        line.contains("ready to serve client requests").then_some(())
    })
    .await?;
    Ok(etcd)
}

fn etcd_socket(folder: &Path) -> PathBuf {
    folder.join("etcd.sock")
}

async fn start_apiserver(programs: &Path, folder: &Path, port: u16) -> Result<Process> {
    let launch = Launch::new("kube-apiserver", programs.join("kube-apiserver")).args([
        format!("--etcd-servers=unix://{}", etcd_socket(folder).display()),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--tls-cert-file={CERTIFICATE}"),
        format!("--tls-private-key-file={KEY}"),
        format!("--token-auth-file={TOKENS}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-signing-key-file={KEY}"),
        format!("--service-account-key-file={CERTIFICATE}"),
        // Who it is to the APIs that it passes requests on to.
        format!("--requestheader-client-ca-file={}", front::CA),
        format!("--requestheader-allowed-names={}", front::NAME),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", front::CERTIFICATE),
        format!("--proxy-client-key-file={}", front::KEY),
        // It would refuse pods in namespaces that the controller manager, mostly absent, gave no account.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]);
    let mut apiserver = launch.start(folder)?;
    let client = client(&folder.join(KUBECONFIG)).await?;
    // Its certificate was made for it alone, so nobody else can answer in its place.
    let ready = async |_: &str| Ok(client.request_text(http_get("/readyz")?).await?);
    apiserver.wait_until("sign of being ready", ready).await?;
    Ok(apiserver)
}

async fn start_controller_manager(programs: &Path, folder: &Path) -> Result<Process> {
    let launch = Launch::new("kube-controller-manager", programs.join("kube-controller-manager")).args([
        format!("--kubeconfig={KUBECONFIG}"),
        format!("--service-account-private-key-file={KEY}"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ]);
    let mut controller_manager = launch.start(folder)?;
    let accounts = Api::<ServiceAccount>::namespaced(client(&folder.join(KUBECONFIG)).await?, "default");
    // Every namespace gets this account, by one of its controllers.
    let at_work = async |_: &str| Ok(accounts.get("default").await?);
    controller_manager.wait_until("account `default`", at_work).await?;
    Ok(controller_manager)
}

/// Returns the certificate.
fn write_credentials(folder: &Path, token: &str) -> Result<String> {
    let server = generate_simple_self_signed(["127.0.0.1".to_owned()]).context("can't make a certificate")?;
    let certificate = server.cert.pem();
    fs::write(folder.join(CERTIFICATE), &certificate)?;
    fs::write(folder.join(KEY), server.signing_key.serialize_pem())?;
    fs::write(folder.join(TOKENS), format!("{token},tests,tests,system:masters\n"))?;
    front::write(folder)?;
    Ok(certificate)
}

fn write_kubeconfig(folder: &Path, port: u16, certificate: &str, token: &str) -> Result<()> {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "clusters": [{"name": "tests", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": BASE64_STANDARD.encode(certificate),
        }}],
        "users": [{"name": "tests", "user": {"token": token}}],
    });
    // A kubeconfig is YAML, of which JSON is a part.
    Ok(fs::write(folder.join(KUBECONFIG), kubeconfig.to_string())?)
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}
