//! Our own programs, run as people run them: the real binary, in its own process.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::launch::Launch;
use crate::service::Service;
use crate::{cargo, scratch};

/// One of our programs about to be started, with a folder for its configuration and its state.
#[derive(Debug)]
pub struct Program {
    launch: Launch,
    folder: TempDir,
}

impl Program {
    /// The binary of that name, such as `proplet` or `propeller-operator`, built from its sources. Nothing but what is added here configures it.
    ///
    /// # Errors
    /// When it doesn't build.
    pub async fn new(binary: &str) -> Result<Self> {
        let launch = Launch::new(binary, cargo::binary(binary).await?);
        Ok(Self {
            launch,
            folder: scratch::folder(binary)?,
        })
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.launch = self.launch.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.launch = self.launch.args(args);
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.launch = self.launch.env(name, value);
        self
    }

    /// A file in its folder, such as a configuration or a password. Returns its path.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }

    /// Its folder, which is its working directory too and lasts over restarts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it, and waits until a line of its log contains `ready`.
    ///
    /// # Errors
    /// When it doesn't get ready.
    pub async fn start(self, ready: &str) -> Result<Service> {
        Service::start(self.launch, ready, self.folder).await
    }
}
