//! `propeller new` and `propeller build`: from a name to a component that runs.

use std::{env, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context, Result, ensure};
use propeller_tests::{cargo, languages};
use tokio::time::{Duration, timeout};

use super::{Ended, Person};

/// Compiling wit-bindgen and all that it is made of.
const COMPILING: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_new_component_in_rust_is_built_and_run() -> Result<()> {
    let person = Person::new().await?;
    let made = person.types(&["new", "greeter", "--lang", "rust"]).await?;
    assert!(made.printed()?.contains("src/lib.rs"), "{}", made.printed()?);
    let again = person.types(&["new", "greeter"]).await?;
    assert!(again.failed(2)?.contains("greeter exists"), "{}", again.stderr);

    // What the workspace itself is built of is there, so nothing is asked of the network.
    let line = ["build", "greeter"];
    let mut command = person.command(&line);
    for name in ["PATH", "CARGO_HOME", "RUSTUP_HOME"] {
        command.envs(env::var_os(name).map(|value| (name, value)));
    }
    let home = env::var_os("HOME").map(PathBuf::from).context("no home")?;
    if env::var_os("CARGO_HOME").is_none() {
        command.env("CARGO_HOME", home.join(".cargo"));
    }
    if env::var_os("RUSTUP_HOME").is_none() {
        command.env("RUSTUP_HOME", home.join(".rustup"));
    }
    std::fs::copy(
        cargo::root().join("Cargo.lock"),
        person.home().join("greeter/Cargo.lock"),
    )?;
    command.env("CARGO_NET_OFFLINE", "true");
    let built = Ended::new(&line, timeout(COMPILING, command.output()).await??);
    let file = built.printed()?;
    assert!(file.ends_with("wasm32-wasip2/release/greeter.wasm"), "{file}");
    let greeted = person.types(&["run", file, "greet(\"you\")"]).await?;
    assert_eq!(greeted.printed()?, "\"Hello, you!\"");
    Ok(())
}

/// With what the examples are built with.
#[tokio::test]
async fn new_components_in_javascript_and_python_are_built() -> Result<()> {
    let person = Person::new().await?;
    let [node_modules, venv] = languages::tools().await?;
    for (name, language, tools, place) in [
        ("hello-js", "javascript", node_modules, "node_modules"),
        ("hello-py", "python", venv, ".venv"),
    ] {
        person.types(&["new", name, "--lang", language]).await?.printed()?;
        symlink(tools, person.home().join(name).join(place))?;
        let line = ["build", name];
        let mut command = person.command(&line);
        command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
        let built = Ended::new(&line, timeout(COMPILING, command.output()).await??);
        let inspected = person.types(&["inspect", built.printed()?]).await?;
        let world = inspected.printed()?;
        ensure!(
            world.contains("greet: func(name: string) -> string"),
            "{language}: {world}"
        );
    }
    let greeted = person
        .types(&["run", "hello-js/target/hello-js.wasm", "greet(\"you\")"])
        .await?;
    assert_eq!(greeted.printed()?, "\"Hello, you!\"");
    Ok(())
}

#[tokio::test]
async fn a_missing_tool_is_named_with_what_installs_it() -> Result<()> {
    let person = Person::new().await?;
    let check = async |name: &str, language: &str, install: &str| -> Result<()> {
        person.types(&["new", name, "--lang", language]).await?.printed()?;
        let missing = person.types(&["build", name]).await?;
        assert!(
            missing.failed(1)?.contains(&format!("cd {name} && {install}")),
            "{}",
            missing.stderr
        );
        let missing = person.types(&["build", name, "--output", "json"]).await?;
        assert_eq!(missing.error(1)?["reason"], "ToolMissing");
        Ok(())
    };
    check("in-javascript", "javascript", "npm install").await?;
    check("in-python", "python", "python3 -m venv .venv").await?;
    person.types(&["new", "in-rust"]).await?.printed()?;
    let line = ["build", "in-rust"];
    let output = person.command(&line).env("PATH", person.home()).output().await?;
    let missing = Ended::new(&line, output);
    assert!(missing.failed(1)?.contains("https://rustup.rs"), "{}", missing.stderr);
    person.types(&["build"]).await?.failed(2)?;
    Ok(())
}
