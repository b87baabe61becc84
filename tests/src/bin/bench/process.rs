//! Whole processes: what somebody waits for who types a command.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use propeller_tests::{cargo, languages};
use tempfile::TempDir;

use crate::table::Table;

/// Processes of each kind per round.
const PROCESSES: usize = 10;

/// `propeller run` of a component that was compiled before, beside `wasmtime run` of the same with its own cache.
pub async fn measure(table: &mut Table, rounds: usize, wasmtime: PathBuf) -> Result<()> {
    let home = TempDir::new()?;
    let component = cargo::guest("addition").await?;
    let propeller = Program::new(cargo::binary("propeller").await?, home.path());
    let wasmtime = Program::new(wasmtime, home.path());
    let call = "add(20, 22)".as_ref();
    let ours: [&Path; 3] = ["run".as_ref(), &component, call];
    let theirs: [&Path; 4] = ["run".as_ref(), "--invoke".as_ref(), call, &component];
    // They compile it, and keep the code.
    for answer in [propeller.answers(&ours)?, wasmtime.answers(&theirs)?] {
        ensure!(answer == "42\n", "add(20, 22) gave {answer:?}");
    }
    let version: [&Path; 1] = ["--version".as_ref()];
    for (what, ours, theirs) in [
        ("a process: run, compiled before", &ours[..], &theirs[..]),
        ("a process: --version", &version, &version),
    ] {
        let (mut figures, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..rounds * PROCESSES {
            figures.push(propeller.millis(ours)?);
            floors.push(wasmtime.millis(theirs)?);
        }
        table.beside(what, "ms", figures, "the wasmtime command", floors);
    }
    // A core module, which the wasmtime command calls in another way.
    let go = languages::example("go").await?;
    let run: [&Path; 3] = ["run".as_ref(), &go, call];
    ensure!(propeller.answers(&run)? == "42\n", "the Go component adds otherwise");
    let figures = (0..rounds * PROCESSES).map(|_| propeller.millis(&run));
    table.add(
        "a process: run of Go's 1.8 MiB, compiled before",
        "ms",
        figures.collect::<Result<_>>()?,
    );
    Ok(())
}

/// A command with a home of its own, and nothing else of this process's environment.
struct Program {
    file: PathBuf,
    home: PathBuf,
}

impl Program {
    fn new(file: PathBuf, home: &Path) -> Self {
        let home = home.to_owned();
        Self { file, home }
    }

    fn answers(&self, arguments: &[&Path]) -> Result<String> {
        let mut command = Command::new(&self.file);
        command.args(arguments).env_clear().env("HOME", &self.home);
        let ended = command.stdin(Stdio::null()).output()?;
        let words = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "{} failed: {words}", self.file.display());
        Ok(String::from_utf8(ended.stdout)?)
    }

    fn millis(&self, arguments: &[&Path]) -> Result<f64> {
        let begin = Instant::now();
        self.answers(arguments)?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    }
}

/// The wasmtime command, where `make bench` put it.
pub fn wasmtime() -> Result<PathBuf> {
    let script = cargo::root().join("scripts/wasmtime");
    let found = Command::new(script).arg("--find").output();
    let found = found.context("can't run scripts/wasmtime")?;
    ensure!(
        found.status.success(),
        "there is no wasmtime command to compare with: `scripts/wasmtime` builds it"
    );
    let path = String::from_utf8(found.stdout).context("scripts/wasmtime prints no path")?;
    Ok(path.trim().into())
}
