//! The shell that a document is typed into.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::PathBuf,
    process::{Command as Check, Stdio},
    sync::LazyLock,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex, MutexGuard},
};

use crate::{cargo, scratch};

/// Makes a network that nobody else is in, where the ports that documents name are free, and then becomes what is named.
const ALONE: [&str; 7] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "sh",
    "-c",
    "ip link set lo up && exec \"$@\"",
];

/// The machine's own ports belong to one shell at a time.
static PORTS: Mutex<()> = Mutex::const_new(());

/// Not every machine lets one make a network.
static HAS_NETWORKS: LazyLock<bool> = LazyLock::new(|| {
    let [program, args @ ..] = ALONE;
    let made = Check::new(program).args(args).args(["sh", "true"]).output();
    made.is_ok_and(|made| made.status.success())
});

/// A bash that reads commands from us. Dropping it kills it and all that it started.
pub struct Shell {
    child: Child,
    /// All that it started is in this group.
    group: Option<Pid>,
    input: ChildStdin,
    codes: Lines<BufReader<ChildStdout>>,
    typed: usize,
    folder: TempDir,
    _ports: Option<MutexGuard<'static, ()>>,
}

/// A command that has ended, or goes on in the background.
pub struct Ran {
    pub code: i32,
    output: PathBuf,
}

impl Ran {
    /// All that it wrote so far, to standard output and standard error.
    pub fn printed(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.output)?).into_owned())
    }
}

impl Shell {
    /// One in the root of the repository, with our programs and a home of its own.
    pub async fn start() -> Result<Self> {
        let (programs, folder) = (cargo::binary("propeller").await?, scratch::folder("walk")?);
        let home = folder.path().join("home");
        fs::create_dir(&home)?;
        let ports = match *HAS_NETWORKS {
            true => None,
            false => Some(PORTS.lock().await),
        };
        let bash = ["bash", "--noprofile", "--norc"];
        let line = ALONE.iter().chain(["sh"].iter()).filter(|_| ports.is_none());
        let line: Vec<_> = line.chain(&bash).collect();
        let mut command = Command::new(line[0]);
        command
            .args(&line[1..])
            .env_clear()
            .envs(cargo::environment())
            // What the workspace itself is built of is there, so nothing is asked of the network.
            .env("CARGO_NET_OFFLINE", "true")
            .env("HOME", &home)
            .env("LANG", "C.UTF-8")
            .env(
                "PATH",
                path(programs.parent().context("a program without a folder")?.as_os_str())?,
            )
            .current_dir(cargo::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().context("can't start bash")?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut input = child.stdin.take().context("no pipe to bash")?;
        let output = child.stdout.take().context("no pipe from bash")?;
        // If this process is killed, the pipe ends, and with it what runs in the background.
        input
            .write_all(b"trap 'kill -KILL $(jobs -p) 2>/dev/null' EXIT\n")
            .await?;
        Ok(Self {
            child,
            group,
            input,
            codes: BufReader::new(output).lines(),
            typed: 0,
            folder,
            _ports: ports,
        })
    }

    /// Runs one command, in the shell itself, so that `cd` and `&` do what they do for a person.
    pub async fn types(&mut self, command: &str) -> Result<Ran> {
        self.typed += 1;
        let file = |extension| self.folder.path().join(format!("{}.{extension}", self.typed));
        let (script, output) = (file("sh"), file("out"));
        fs::write(&script, format!("{command}\n"))?;
        let line = format!(
            ". '{}' >'{}' 2>&1 </dev/null; echo $?\n",
            script.display(),
            output.display()
        );
        self.input.write_all(line.as_bytes()).await?;
        let code = self.codes.next_line().await?;
        let Some(code) = code else {
            let ended = self.child.wait().await?;
            anyhow::bail!("it ended the shell: {ended}");
        };
        let code = code.parse().with_context(|| format!("not an exit code: {code}"))?;
        Ok(Ran { code, output })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Our programs come first.
fn path(programs: &OsStr) -> Result<OsString> {
    let others = env::var_os("PATH").unwrap_or_default();
    let folders = [PathBuf::from(programs)].into_iter().chain(env::split_paths(&others));
    let path = env::join_paths(folders)?;
    ensure!(!path.is_empty(), "no path");
    Ok(path)
}
