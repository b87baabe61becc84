//! A program in the background: its log, the waits for what it does, and its certain end. Dropping a [`Process`] kills it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{PATIENCE, wait_for};

/// How much of a log a failure shows.
const TAIL_LINES: usize = 40;

/// A program in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where in the log file this process begins; before it is what an earlier one wrote.
    begins: u64,
    /// Somebody ended it on purpose.
    stopped: bool,
}

impl Process {
    pub(crate) fn new(name: String, child: Child, log: PathBuf, begins: u64) -> Self {
        Self {
            name,
            child,
            log,
            begins,
            stopped: false,
        }
    }

    /// The operating system's id for it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it has at the moment (`VmRSS`).
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = kibibytes.with_context(|| format!("{} has ended", self.name))?.parse()?;
        Ok(kibibytes << 10)
    }

    /// All that it wrote so far, to standard output and standard error.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let begins = usize::try_from(self.begins).unwrap_or(usize::MAX);
        String::from_utf8_lossy(bytes.get(begins..).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the log in which `find` finds something.
    ///
    /// # Errors
    /// When [`PATIENCE`] passes or the process ends first. Shows the end of the log.
    pub async fn wait_for_log<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.wait_until(what, async |log| {
            log.lines().find_map(&find).context("no such line in its log")
        })
        .await
    }

    /// Like [`wait_for`], with a check that is given the log, and that gives up as soon as the process has ended.
    ///
    /// # Errors
    /// When [`PATIENCE`] passes or the process ends first. Shows the end of the log.
    pub async fn wait_until<T>(&mut self, what: &str, check: impl AsyncFn(&str) -> Result<T>) -> Result<T> {
        let outcome = wait_for(what, PATIENCE, async || {
            // Asked before the log is read: what a process wrote before it ended is there by then.
            let ended = self.child.try_wait()?;
            match (check(&self.log()).await, ended) {
                (Ok(value), _) => Ok(Ok(value)),
                (Err(_), Some(status)) => Ok(Err(anyhow!("it ended early: {status}"))),
                (Err(state), None) => Err(state),
            }
        });
        let outcome = outcome.await.flatten();
        outcome.with_context(|| format!("{}: no {what}\n{}", self.name, self.tail()))
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it hasn't ended after [`PATIENCE`]; it is killed then.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let ended = self.wait_for_end(PATIENCE).await;
        if ended.is_err() {
            self.kill()?;
        }
        ended.with_context(|| format!("{} doesn't end when asked to\n{}", self.name, self.tail()))
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it hasn't ended after `limit`; it goes on then.
    pub async fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        let status = wait_for("its end", limit, async || child.try_wait()?.context("it runs")).await?;
        self.stopped = true;
        Ok(status)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the operating system can't say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.stopped |= status.is_some();
        Ok(status)
    }

    /// Ends it without asking (SIGKILL), as a power cut would.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.stopped = true;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // Until it is waited for, its id stays its own; `try_wait` waits for what has ended.
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended already: {status}\n{}", self.name, self.tail());
        }
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("can't signal {}", self.name))
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("--- the end of {}\n{tail}\n---", self.log.display())
    }
}

impl Drop for Process {
    /// Nobody ended it, so this may be a test that failed half-way: it says what it last wrote. The test runner shows that for tests that fail only.
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        eprintln!("{}", self.tail());
        if let Err(error) = self.kill() {
            eprintln!("can't kill {}: {error:#}", self.name);
        }
    }
}
