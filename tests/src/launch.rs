//! How a program is started: with a clean environment, its output in a file, and so that it can't outlive the tests.
//!
//! If the test process is killed, the kernel kills its children (`PR_SET_PDEATHSIG`). Setting that from Rust takes unsafe code between fork and exec,
//! so `setpriv`, of an essential package of Debian, does it and then becomes the program.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;

use anyhow::{Context, Result};

use crate::process::Process;

/// A program about to be started, once or again and again.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Launch {
    /// `program` is a path, or a name to be found on `PATH`. `name` is what failures call it, and names its log.
    ///
    /// Its environment is empty but for `PATH` and `RUST_BACKTRACE`: nothing of the person who runs the tests, such as `KUBECONFIG`, credentials or
    /// a docker configuration in `HOME`, decides a test.
    pub fn new(name: impl Into<String>, program: impl Into<OsString>) -> Self {
        let mut env = vec![("PATH".into(), search_path())];
        env.extend(std::env::var_os("RUST_BACKTRACE").map(|value| ("RUST_BACKTRACE".into(), value)));
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env,
        }
    }

    /// What failures call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One more argument.
    #[must_use]
    pub fn arg(self, arg: impl Into<OsString>) -> Self {
        self.args([arg])
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it with `folder` as working directory. Its output is appended to `folder/NAME.log`.
    ///
    /// # Errors
    /// When the log can't be opened or `setpriv` is missing. A missing program ends at once instead, and its log says so.
    pub fn start(&self, folder: &Path) -> Result<Process> {
        let log = folder.join(format!("{}.log", self.name));
        let file = open_log(&log).with_context(|| format!("can't write the log {}", log.display()))?;
        let begins = file.metadata()?.len();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C in the terminal is for us, who stop things in order.
            .process_group(0);
        let child = spawn(command).with_context(|| format!("can't start {} (is setpriv installed?)", self.name))?;
        Ok(Process::new(self.name.clone(), child, log, begins))
    }
}

/// Debian keeps servers in a folder that is only on root's path.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a program from a thread that lives as long as this process. The kernel's "when the parent dies" means the parent's *thread*, and each
/// test has its own: what one test started for all of them would end with that test.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Whoever ordered it waits for the answer below.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    SPAWNER.send((command, answer)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
