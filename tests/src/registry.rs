//! A real OCI registry: Debian's docker-registry, over plain HTTP.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::launch::Launch;
use crate::service::Service;
use crate::{port, scratch};

/// The name of the only user of a registry with [`Access::Login`].
pub const USER: &str = "author";

/// The password of [`USER`].
pub const PASSWORD: &str = "open sesame";

/// [`PASSWORD`] as bcrypt, the only hash that the registry takes, of the lowest cost.
const PASSWORD_HASH: &str = "$2b$04$propellerpropellerpr.eE9yW3z6.amoaEOLQv0Iq19UdRwU8.3W";

/// A registry. Its [`Service`] stops it and starts it again; what was pushed lasts.
#[derive(Debug)]
pub struct Registry {
    service: Service,
    port: u16,
}

/// Who may push and pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Anyone,
    /// Only [`USER`] with [`PASSWORD`].
    Login,
}

impl Registry {
    /// Starts a registry.
    ///
    /// # Errors
    /// When docker-registry isn't installed or doesn't start.
    pub async fn start(access: Access) -> Result<Self> {
        port::with_free(async |port| {
            let folder = scratch::folder("registry")?;
            configure(folder.path(), port, access).context("can't configure the registry")?;
            let launch = Launch::new("docker-registry", "docker-registry").args(["serve", "config.yml"]);
            let service = Service::start(launch, "listening on", folder).await;
            Ok(Self {
                service: service.context("no registry; `make setup` installs docker-registry")?,
                port,
            })
        })
        .await
    }

    /// Where it listens; what a reference begins with. The same after every restart.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

impl Deref for Registry {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl DerefMut for Registry {
    fn deref_mut(&mut self) -> &mut Service {
        &mut self.service
    }
}

fn configure(folder: &Path, port: u16, access: Access) -> Result<()> {
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
        "http": {"addr": format!("127.0.0.1:{port}")},
    });
    if access == Access::Login {
        let passwords = folder.join("htpasswd");
        fs::write(&passwords, format!("{USER}:{PASSWORD_HASH}\n"))?;
        config["auth"] = json!({"htpasswd": {"realm": "propeller", "path": passwords}});
    }
    // The registry reads YAML, of which JSON is a part.
    Ok(fs::write(folder.join("config.yml"), config.to_string())?)
}
