//! Our own programs and the guests, built from their sources, once per test process. Cargo says where it put them, so no path is guessed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// One of our programs, such as `proplet`, in the profile that the tests themselves were built in.
///
/// # Errors
/// When it doesn't build, or there is none of that name.
pub async fn binary(name: &str) -> Result<PathBuf> {
    static BINARIES: OnceCell<Built> = OnceCell::const_new();
    // All at a time and of all default members, as `cargo test` selects them: the features of shared dependencies come out the same, so that nothing
    // of them is built twice.
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = BINARIES.get_or_try_init(async || build(&["build", "--bins", "--profile", profile]).await);
    find(built.await?, name)
}

/// The component of one of the guests in `components/` and `examples/`, by the name of its package, such as `addition`.
///
/// # Errors
/// When it doesn't build, or there is none of that name.
pub async fn guest(name: &str) -> Result<PathBuf> {
    static GUESTS: OnceCell<Built> = OnceCell::const_new();
    let built = GUESTS.get_or_try_init(async || build(&["guests"]).await);
    find(
        built
            .await
            .context("no guests; `make setup` installs their target, wasm32-wasip2")?,
        name,
    )
}

/// The top folder of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What cargo and rustc have to know to build as they did for these tests, for a program that else has an environment of its own.
///
/// Where these keep things is said in full, since their place is a matter of the home directory otherwise.
pub fn environment() -> Vec<(OsString, OsString)> {
    let is_theirs = |name: &OsString| {
        let begins = |prefix| name.as_encoded_bytes().starts_with(prefix);
        [&b"CARGO"[..], b"__CARGO", b"RUSTC", b"RUSTFLAGS", b"RUSTUP"]
            .into_iter()
            .any(begins)
            && !is_about_us(name)
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| is_theirs(name)).collect();
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        if let (None, Some(home)) = (std::env::var_os(name), std::env::var_os("HOME")) {
            variables.push((name.into(), Path::new(&home).join(folder).into()));
        }
    }
    variables
}

/// Cargo tells the programs that it runs about their own package. Passed on, that would reach the build scripts, of which one (ring's) takes it for
/// news and has half of the tree built again, now and in the next ordinary build.
fn is_about_us(name: &OsString) -> bool {
    let begins = |prefix| name.as_encoded_bytes().starts_with(prefix);
    begins(b"CARGO_PKG_") || begins(b"CARGO_MANIFEST_")
}

/// File by name of the cargo target that it was made of.
type Built = BTreeMap<String, PathBuf>;

/// The lines of `cargo --message-format json` that are of interest here. The others have no `target`, or neither of the two kinds of files.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

async fn build(arguments: &[&str]) -> Result<Built> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .args(["--locked", "--message-format", "json-render-diagnostics"])
        .current_dir(root());
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_us(name)) {
        command.env_remove(name);
    }
    let done = command.kill_on_drop(true).output().await.context("can't run cargo")?;
    ensure!(
        done.status.success(),
        "cargo {}:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr)
    );
    let messages = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages = messages
        .map(serde_json::from_slice::<Message>)
        .collect::<Result<Vec<_>, _>>();
    Ok(messages
        .context("cargo's messages aren't what they used to be")?
        .into_iter()
        .filter_map(Message::into_built)
        .collect())
}

impl Message {
    fn into_built(self) -> Option<(String, PathBuf)> {
        let is_component = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        let file = self
            .executable
            .or_else(|| self.filenames.into_iter().find(is_component))?;
        // Cargo calls a library by its crate's name, where an underscore stands for the dash of the package.
        Some((self.target?.name.replace('_', "-"), file))
    }
}

fn find(built: &Built, name: &str) -> Result<PathBuf> {
    let names = || built.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    built
        .get(name)
        .cloned()
        .with_context(|| format!("cargo built no {name}, but {}", names()))
}
