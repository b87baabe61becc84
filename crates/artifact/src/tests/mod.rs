//! The crate through its public interface, against a real registry, and against a fake one for what a real one won't do on demand.

mod auth;
mod cache;
mod distribution;
mod fake;
mod faults;
mod hostile;
mod mirrors;
mod publish;

use std::{sync::Once, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;

use crate::{Client, ClientConfig, Error, Patience, Publication, Reference};

/// An empty component: the magic, the version, and the layer that makes it no core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A client with a cache of its own.
struct Bench {
    client: Client,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with("", |_| {})
    }

    /// `registries` is what a configuration file says below `[registries]`.
    fn with(registries: &str, adjust: impl FnOnce(&mut ClientConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let client = Client::new(config(&directory, registries, adjust)).unwrap();
        Self { client, directory }
    }
}

fn config(directory: &TempDir, registries: &str, adjust: impl FnOnce(&mut ClientConfig)) -> ClientConfig {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    let mut config = ClientConfig {
        registries: toml::from_str(registries).unwrap(),
        patience: Patience {
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(5),
            ..Patience::default()
        },
        ..ClientConfig::new(directory.path().join("cache"))
    };
    adjust(&mut config);
    config
}

fn publication(component: &'static [u8]) -> Publication {
    Publication {
        component: Bytes::from_static(component),
        info: crate::ComponentInfo {
            imports: vec!["wasi:cli/environment@0.2.0".into()],
            exports: vec!["propeller:examples/math@1.0.0".into()],
            target: None,
        },
        author: None,
        created: None,
        annotations: [("org.opencontainers.image.title".to_owned(), "addition".to_owned())].into(),
    }
}

fn reference(text: impl AsRef<str>) -> Reference {
    text.as_ref().parse().unwrap()
}

/// The error with all its causes, as a person gets to see it.
fn told(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
