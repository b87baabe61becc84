//! The examples that aren't Rust, as `examples/Makefile` builds them. Nothing is built or downloaded here: that takes each language's own tools.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::cargo;

/// The WebAssembly of one of the examples in other languages, by its name in `target/guests/`, such as `go`.
///
/// # Errors
/// When it isn't built, or is older than its sources.
pub async fn example(name: &str) -> Result<PathBuf> {
    let file = format!("../target/guests/{name}.wasm");
    let mut make = Command::new("make");
    // The one that runs these tests, if it is one, would speak to this one through them.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
        make.env_remove(variable);
    }
    let folder = cargo::root().join("examples");
    let asked = make.arg("--question").arg(&file).current_dir(&folder).output().await;
    let asked = asked.context("can't run make")?;
    ensure!(
        asked.status.success(),
        "{name} isn't built from the sources as they are: run `make languages`\n{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    Ok(folder.join(file))
}
