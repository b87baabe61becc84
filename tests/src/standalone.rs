//! `propeller up` on a state of its own, which lasts over its restarts.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use kube::{Client, Config};
use tempfile::TempDir;

use crate::{Program, port, scratch};

/// A state, and where its API is served while a `propeller up` runs on it.
#[derive(Debug)]
pub struct Standalone {
    state: TempDir,
    port: u16,
    mqtt: u16,
    mqtts: u16,
    registry: u16,
}

impl Standalone {
    /// An empty state.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn new() -> Result<Self> {
        let port = || port::free().context("no free port on loopback");
        Ok(Self {
            state: scratch::folder("up")?,
            port: port()?,
            mqtt: port()?,
            mqtts: port()?,
            registry: port()?,
        })
    }

    /// The state's directory.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Where the API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What references to components in its own registry begin with.
    pub fn registry(&self) -> String {
        format!("localhost:{}", self.registry)
    }

    /// `propeller up` about to be started, with every part of it.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn whole(&self) -> Result<Program> {
        let program = self.program().await?;
        let program = program.args(["--mqtt-listen", &format!("127.0.0.1:{}", self.mqtt)]);
        Ok(program.args(["--registry-listen", &format!("127.0.0.1:{}", self.registry)]))
    }

    /// The same, which devices may join.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn open_to_devices(&self) -> Result<Program> {
        let program = self.whole().await?.args(["--host", "localhost", "--mqtts-listen"]);
        Ok(program.arg(format!("127.0.0.1:{}", self.mqtts)))
    }

    /// `propeller up` about to be started. Which broker and registry it has is to be added.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn program(&self) -> Result<Program> {
        let program = Program::new("propeller").await?;
        let home = program.folder().to_owned();
        Ok(program
            .env("HOME", home)
            .args([
                "up",
                "-v",
                "--listen",
                &format!("127.0.0.1:{}", self.port),
                "--state-dir",
            ])
            .arg(self.state()))
    }

    /// The token that a `propeller up` made.
    ///
    /// # Errors
    /// When none ran yet.
    pub fn token(&self) -> Result<String> {
        fs::read_to_string(self.state().join("token")).context("no token")
    }

    /// A client that knows the token.
    ///
    /// # Errors
    /// When none ran yet.
    pub fn client(&self) -> Result<Client> {
        let mut config = Config::new(self.url().parse()?);
        config.auth_info.token = Some(self.token()?.into());
        Ok(Client::try_from(config)?)
    }
}
