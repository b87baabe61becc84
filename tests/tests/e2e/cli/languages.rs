//! The examples that aren't Rust: `inspect` shows what their authors wrote. Their READMEs are walked with all others, in `walks.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use propeller_tests::languages::example;
use tokio::time::timeout;

use super::Person;

/// How long one command may take. A compiler built without optimisation needs a CPU minute for CPython.
const COMPILES: Duration = Duration::from_secs(600);

#[tokio::test]
async fn c_functions() -> Result<()> {
    inspect_shows("c-numbers", &["gcd", "hypotenuse"]).await
}

#[tokio::test]
async fn a_c_program() -> Result<()> {
    inspect_shows("c-words", &[]).await
}

#[tokio::test]
async fn a_go_function() -> Result<()> {
    inspect_shows("go", &["add"]).await
}

#[tokio::test]
async fn a_javascript_component() -> Result<()> {
    inspect_shows("javascript", ROUNDS).await
}

#[tokio::test]
async fn a_python_component() -> Result<()> {
    inspect_shows("python", ROUNDS).await
}

/// It imports sockets, files and clocks, and needs no grant, since it uses none of them.
#[tokio::test]
async fn a_python_component_with_the_whole_of_wasi() -> Result<()> {
    inspect_shows("python-wasi", ROUNDS).await?;
    let (person, file) = (Person::new().await?, example("python-wasi").await?);
    let file = file.to_str().context("a path that isn't Unicode")?;
    let imports = person.types(&["inspect", file, "--output", "json"]).await?.json()?["imports"].to_string();
    ensure!(imports.contains("wasi:sockets/tcp@0.2"), "{imports}");
    let mut run = person.command(&["run", file, "parse-point(\"1,2\")"]);
    let run = timeout(COMPILES, run.output()).await.context("it doesn't end")??;
    let printed = String::from_utf8_lossy(&run.stdout);
    ensure!(
        printed.contains("x: 1"),
        "{printed}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(())
}

/// The functions of `wit/examples/typed.wit`.
const ROUNDS: &[&str] = &["plan", "summarise", "nearest", "parse-point", "odometer", "beacon"];

/// No function but the author's own counts as theirs, and nothing that a toolchain added is shown to people.
async fn inspect_shows(name: &str, functions: &[&str]) -> Result<()> {
    let (person, file) = (Person::new().await?, example(name).await?);
    let file = file.to_str().context("a path that isn't Unicode")?;
    let expected: BTreeSet<_> = functions.iter().copied().collect();

    let text = person.types(&["inspect", file]).await?;
    let (_, world) = text.printed()?.split_once("world root {").context("no world")?;
    let (world, _) = world.split_once("\n}").context("no end of the world")?;
    let shown = world.lines().filter_map(|line| line.split_once(": func("));
    let shown: BTreeSet<_> = shown
        .map(|(name, _)| name.trim().trim_start_matches("export "))
        .collect();
    assert_eq!(shown, expected, "{world}");

    let json = person.types(&["inspect", file, "--output", "json"]).await?.json()?;
    let exports = json["exports"].as_array().context("no exports")?;
    for export in exports.iter().filter(|export| export["origin"] == "toolchain") {
        let name = export["name"].as_str().context("an export without a name")?;
        ensure!(!world.contains(&format!("export {name}")), "{name} is shown:\n{world}");
    }
    let authors = exports.iter().filter(|export| export["origin"] == "author");
    let authors = authors.flat_map(|export| export["functions"].as_array().into_iter().flatten());
    let authors: BTreeSet<_> = authors.filter_map(|function| function["name"].as_str()).collect();
    assert_eq!(authors, expected, "{exports:?}");
    Ok(())
}
