//! Folders for what servers and programs write, all inside one folder of this process.
//!
//! A [`TempDir`] goes with its handle. What lives in statics, like the shared control plane, is never dropped, and a test that is killed drops
//! nothing; so a small shell outside of this process removes the whole folder after it. The shell learns of our end, however it comes, by the end of
//! a pipe that only we hold open.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

/// A new folder whose name begins with `name`. It is removed with the handle, unless `PROPELLER_TEST_KEEP` is set.
///
/// # Errors
/// When the folder can't be made.
pub fn folder(name: &str) -> Result<TempDir> {
    let run = RUN
        .as_ref()
        .map_err(|error| anyhow!("no folder for the files of this run: {error}"))?;
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .disable_cleanup(keep())
        .tempdir_in(&run.folder)
        .with_context(|| format!("no folder for {name} in {}", run.folder.display()))
}

struct Run {
    folder: PathBuf,
    /// Holds the pipe. Nobody ever looks at it.
    _remover: Option<Child>,
}

static RUN: LazyLock<io::Result<Run>> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().prefix("propeller-").tempdir()?.keep();
    if keep() {
        eprintln!("PROPELLER_TEST_KEEP: logs and data stay in {}", folder.display());
        return Ok(Run { folder, _remover: None });
    }
    // The servers of this run are being killed at the same moment, so the first attempts may meet a file that is just being written.
    let script = r#"cat; for attempt in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done"#;
    let remover = Command::new("sh")
        .args(["-c", script, "remove-scratch"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Away from the terminal's Ctrl-C, which means us.
        .process_group(0)
        .spawn()?;
    Ok(Run {
        folder,
        _remover: Some(remover),
    })
});

fn keep() -> bool {
    std::env::var_os("PROPELLER_TEST_KEEP").is_some()
}
