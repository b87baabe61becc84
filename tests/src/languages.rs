//! The examples that aren't Rust, as `examples/Makefile` builds them. Nothing is built or downloaded here: that takes each language's own tools.

use std::{path::PathBuf, process::Output};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::cargo;

/// The WebAssembly of one of the examples in other languages, by its name in `target/guests/`, such as `go`.
///
/// # Errors
/// When it isn't built, or is older than its sources.
pub async fn example(name: &str) -> Result<PathBuf> {
    let file = format!("../target/guests/{name}.wasm");
    let (folder, asked) = make(&["--question", &file]).await?;
    ensure!(
        asked.status.success(),
        "{name} isn't built from the sources as they are: run `make languages`\n{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    Ok(folder.join(file))
}

/// Where npm and pip have installed what the examples are built with: a `node_modules`, and a virtual environment.
///
/// # Errors
/// When make doesn't know.
pub async fn tools() -> Result<[PathBuf; 2]> {
    let (_, told) = make(&["--silent", "tools"]).await?;
    let told = String::from_utf8(told.stdout)?;
    let mut lines = told.lines().map(PathBuf::from);
    let tools = lines
        .next()
        .zip(lines.next())
        .context("make doesn't say where they are")?;
    Ok(tools.into())
}

/// What make says in the folder of the examples, and the folder.
async fn make(args: &[&str]) -> Result<(PathBuf, Output)> {
    let mut make = Command::new("make");
    // The one that runs these tests, if it is one, would speak to this one through them.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
        make.env_remove(variable);
    }
    let folder = cargo::root().join("examples");
    let said = make.args(args).current_dir(&folder).output().await;
    Ok((folder, said.context("can't run make")?))
}
