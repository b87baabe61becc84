//! `propeller` as people and scripts run it: the real binary, its output, its exit codes.

mod access;
mod fleet;
mod languages;
mod logs;
mod new;
pub(crate) mod program;
mod registry;
mod run;
pub(crate) mod serve;
mod show;
mod verbs;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use propeller_tests::{PATIENCE, cargo, scratch};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// A person with a home of their own, which is the working directory too.
pub(crate) struct Person {
    binary: PathBuf,
    home: TempDir,
}

/// How one command ended.
struct Ended {
    what: String,
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Person {
    pub(crate) async fn new() -> Result<Self> {
        let (binary, home) = (cargo::binary("propeller").await?, scratch::folder("propeller")?);
        Ok(Self { binary, home })
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Puts a file into the home.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.home().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, contents)?;
        Ok(path)
    }

    /// `propeller` about to be started, with nothing in its environment but the home.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.at_home(Command::new(&self.binary), args)
    }

    /// `propeller` in a process that may have 4 GiB of addresses: too few for a pool of one instance.
    fn confined(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "ulimit -v 4194304; exec \"$0\" \"$@\""])
            .arg(&self.binary);
        self.at_home(command, args)
    }

    fn at_home(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home())
            .current_dir(self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `propeller` to its end.
    async fn types(&self, args: &[&str]) -> Result<Ended> {
        let output = tokio::time::timeout(PATIENCE, self.command(args).output()).await;
        Ok(Ended::new(
            args,
            output.with_context(|| format!("propeller {args:?} doesn't end"))??,
        ))
    }
}

impl Ended {
    fn new(args: &[&str], output: Output) -> Self {
        Self {
            what: format!("propeller {}", args.join(" ")),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output of a success, without the last line break.
    fn printed(&self) -> Result<&str> {
        ensure!(self.code == Some(0), "{}: {:?}\n{}", self.what, self.code, self.stderr);
        Ok(std::str::from_utf8(&self.stdout)?.trim_end_matches('\n'))
    }

    /// Standard output of a success as JSON.
    fn json(&self) -> Result<Value> {
        let printed = self.printed()?;
        serde_json::from_str(printed).with_context(|| format!("{} printed {printed}", self.what))
    }

    /// Standard error of a failure with this exit code, which prints nothing on standard output.
    fn failed(&self, code: i32) -> Result<&str> {
        ensure!(
            self.code == Some(code),
            "{}: {:?} instead of {code}\n{}",
            self.what,
            self.code,
            self.stderr
        );
        ensure!(
            self.stdout.is_empty(),
            "{} printed {:?}",
            self.what,
            String::from_utf8_lossy(&self.stdout)
        );
        Ok(&self.stderr)
    }

    /// The `error` of a failure that is told as JSON, on the last line of standard error.
    fn error(&self, code: i32) -> Result<Value> {
        let last = self.failed(code)?.lines().last().context("nothing on standard error")?;
        let told: Value = serde_json::from_str(last).with_context(|| format!("{} told {last}", self.what))?;
        Ok(told["error"].clone())
    }
}

/// A guest's file, as an argument.
async fn guest(name: &str) -> Result<String> {
    let path = cargo::guest(name).await?;
    Ok(path.to_str().context("a path that isn't Unicode")?.to_owned())
}

/// A file of the repository, as an argument.
fn repository(path: &str) -> Result<String> {
    let path = cargo::root().join(path);
    Ok(path.to_str().context("a path that isn't Unicode")?.to_owned())
}
