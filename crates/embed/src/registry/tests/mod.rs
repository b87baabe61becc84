//! The registry through our own client, and over bare HTTP for what that never does.

mod access;
mod artifacts;
mod disk;
mod uploads;

use std::{net::SocketAddr, path::Path, sync::Once, time::Duration};

use bytes::Bytes;
use propeller_artifact::{Client, ClientConfig, ComponentInfo, Progress, Publication, Pushed, Reference};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use super::{Registry, RegistryConfig};

/// Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    registry: Registry,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut RegistryConfig)) -> Self {
        provide_tls();
        let directory = tempfile::tempdir().unwrap();
        let mut config = RegistryConfig::new(directory.path().join("registry"));
        adjust(&mut config);
        let registry = Registry::start(config).unwrap();
        Self { registry, directory }
    }

    /// Stops the registry, and starts another one at the same address with the same state.
    async fn restart(self) -> Self {
        let Self { registry, directory } = self;
        let config = RegistryConfig {
            bind: registry.address(),
            ..RegistryConfig::new(directory.path().join("registry"))
        };
        in_time(registry.stop()).await.unwrap();
        let registry = Registry::start(config).unwrap();
        Self { registry, directory }
    }

    fn reference(&self, name: &str) -> Reference {
        reference(self.registry.address(), name)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.registry.address())
    }
}

fn reference(registry: SocketAddr, name: &str) -> Reference {
    format!("{registry}/{name}").parse().unwrap()
}

/// A client with a cache of its own, so that what it fetches comes from the registry. `settings` is what a configuration file has below
/// `[registries]`.
fn client_with(settings: &str) -> (Client, TempDir) {
    provide_tls();
    let cache = tempfile::tempdir().unwrap();
    let config = ClientConfig {
        registries: toml::from_str(settings).unwrap(),
        ..ClientConfig::new(cache.path())
    };
    (Client::new(config).unwrap(), cache)
}

/// The HTTP clients want it, although nothing here speaks TLS.
fn provide_tls() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn client() -> (Client, TempDir) {
    client_with("")
}

/// An empty component, and a custom section named `x` that makes it another.
fn publication(content: &[u8]) -> Publication {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    let mut length = content.len() + 2;
    component.push(0);
    while length > 127 {
        component.push(u8::try_from(length & 127).unwrap() | 128);
        length >>= 7;
    }
    component.push(u8::try_from(length).unwrap());
    component.extend(b"\x01x");
    component.extend(content);
    Publication {
        component: component.into(),
        info: ComponentInfo {
            imports: Vec::new(),
            exports: vec!["propeller:examples/math@1.0.0".into()],
            target: None,
        },
        author: None,
        created: None,
        annotations: [("org.opencontainers.image.title".to_owned(), "addition".to_owned())].into(),
    }
}

async fn push(name: &Reference, content: &[u8]) -> Pushed {
    let (client, _cache) = client();
    in_time(client.push(name, &publication(content), &Progress::none()))
        .await
        .unwrap()
}

/// What somebody gets who never had it.
async fn pull(name: &Reference) -> Result<Bytes, propeller_artifact::Error> {
    let (client, _cache) = client();
    in_time(client.pull(name, &Progress::none()))
        .await
        .map(|artifact| artifact.bytes)
}

/// The answer's status, and the code of its error in the form that the distribution spec gives it.
async fn error(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    let code = body["errors"][0]["code"].as_str().unwrap_or_else(|| panic!("{body}"));
    assert!(body["errors"][0]["message"].is_string(), "{body}");
    (status, code.to_owned())
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in vain")
}

fn digest(bytes: &[u8]) -> String {
    propeller_artifact::digest_of(bytes).to_string()
}

/// The error with all its causes, as a person gets to see it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn refused(directory: &Path, adjust: impl FnOnce(&mut RegistryConfig)) -> String {
    let mut config = RegistryConfig::new(directory);
    adjust(&mut config);
    told(&Registry::start(config).expect_err("it started"))
}
