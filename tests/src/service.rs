//! A program with a folder of its own, which can be stopped and started again on what it left there.

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::launch::Launch;
use crate::process::Process;

/// A running, or stopped, program. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    ready: String,
    /// None while it is stopped. Above the folder, so that it ends before the folder goes.
    process: Option<Process>,
    folder: TempDir,
}

impl Service {
    /// Starts it, and waits until a line of its log contains `ready`, its own words for "I serve now". Its log is asked, not its port, where another
    /// server could answer.
    ///
    /// # Errors
    /// When it doesn't get ready.
    pub async fn start(launch: Launch, ready: &str, folder: TempDir) -> Result<Self> {
        let mut service = Self {
            launch,
            ready: ready.to_owned(),
            process: None,
            folder,
        };
        service.start_again().await?;
        Ok(service)
    }

    /// Starts it again, with the arguments and the folder that it had.
    ///
    /// # Errors
    /// When it doesn't get ready.
    pub async fn start_again(&mut self) -> Result<()> {
        let mut process = self.launch.start(self.folder.path())?;
        let what = format!("line with {:?}", self.ready);
        process
            .wait_for_log(&what, |line| line.contains(&self.ready).then_some(()))
            .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Asks it to end (SIGTERM), so that it saves what it keeps, and waits for that.
    ///
    /// # Errors
    /// When it is stopped already, or doesn't end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let status = self.process()?.terminate().await?;
        self.process = None;
        Ok(status)
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// When it is stopped already.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Stops it in order and starts it again.
    ///
    /// # Errors
    /// When either fails.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// The process that runs now, to wait for a line of its log or for its end.
    ///
    /// # Errors
    /// When it is stopped.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .with_context(|| format!("{} is stopped", self.launch.name()))
    }

    /// What it wrote since it last started.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Its working directory, for what it reads and writes. Its log is there too, over all starts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
