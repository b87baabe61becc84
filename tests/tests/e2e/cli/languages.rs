//! The examples that aren't Rust: what their READMEs show is what happens, and `inspect` shows what their authors wrote.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use propeller_tests::cargo;
use propeller_tests::languages::example;
use tokio::process::Command;
use tokio::time::timeout;

use super::Person;

/// How long one command may take. A compiler built without optimisation needs a CPU minute for CPython.
const COMPILES: Duration = Duration::from_secs(600);

/// What each of them imports of WASI needs no grant: none of the commands gives one.
#[tokio::test]
async fn c_functions() -> Result<()> {
    inspect_shows("c-numbers", &["gcd", "hypotenuse"]).await?;
    readme_is_true("c", "c-numbers").await
}

#[tokio::test]
async fn a_c_program() -> Result<()> {
    inspect_shows("c-words", &[]).await?;
    readme_is_true("c", "c-words").await
}

#[tokio::test]
async fn a_go_function() -> Result<()> {
    inspect_shows("go", &["add"]).await?;
    readme_is_true("go", "go").await
}

#[tokio::test]
async fn a_javascript_component() -> Result<()> {
    inspect_shows("javascript", ROUNDS).await?;
    readme_is_true("javascript", "javascript").await
}

#[tokio::test]
async fn a_python_component() -> Result<()> {
    inspect_shows("python", ROUNDS).await?;
    readme_is_true("python", "python").await
}

/// It imports sockets, files and clocks, and needs no grant, since it uses none of them.
#[tokio::test]
async fn a_python_component_with_the_whole_of_wasi() -> Result<()> {
    inspect_shows("python-wasi", ROUNDS).await?;
    let (person, file) = (Person::new().await?, example("python-wasi").await?);
    let file = file.to_str().context("a path that isn't Unicode")?;
    let imports = person.types(&["inspect", file, "--output", "json"]).await?.json()?["imports"].to_string();
    ensure!(imports.contains("wasi:sockets/tcp@0.2"), "{imports}");
    let call = format!("propeller run {file} 'parse-point(\"1,2\")'");
    ensure!(prints(&person, &call).await?.contains("x: 1"), "{call}");
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

/// Each command that `examples/{folder}/README.md` shows for the example prints what is shown below it.
async fn readme_is_true(folder: &str, name: &str) -> Result<()> {
    let (person, file) = (Person::new().await?, format!("target/guests/{name}.wasm"));
    example(name).await?;
    let readme = std::fs::read_to_string(cargo::root().join("examples").join(folder).join("README.md"))?;
    let commands = commands(&readme);
    let commands: Vec<_> = commands.iter().filter(|(command, _)| command.contains(&file)).collect();
    ensure!(!commands.is_empty(), "the README shows no command for {name}");
    for (command, expected) in commands {
        let printed = prints(&person, command).await?;
        assert_eq!(&printed, expected, "{command}");
    }
    Ok(())
}

/// The commands in the `console` blocks of a text, each with the lines that it prints.
fn commands(text: &str) -> Vec<(&str, String)> {
    let mut commands = Vec::<(&str, String)>::new();
    let blocks = text
        .split("```console\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, String::new())),
            (None, Some((_, printed))) => *printed += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    commands
}

/// What a shell prints on standard output that runs the command where the README says, with `propeller` on its path.
async fn prints(person: &Person, command: &str) -> Result<String> {
    let folder = person.binary.parent().context("a binary without a folder")?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env_clear()
        .env("HOME", person.home())
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .current_dir(cargo::root())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(COMPILES, shell.output()).await;
    let output = output.with_context(|| format!("{command} doesn't end"))??;
    let printed = String::from_utf8(output.stdout)?;
    // Shown when an assertion about what was printed fails.
    eprint!("$ {command}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}
