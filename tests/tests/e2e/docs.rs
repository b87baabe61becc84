//! The documentation knows what the programs say.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use propeller_tests::cargo::root;

/// What gives reasons to conditions, reports and rejections. The command's own reasons are never in a Task.
const SOURCES: [&str; 5] = [
    "crates/types/src",
    "crates/artifact/src",
    "crates/delivery/src",
    "host/src",
    "operator/src",
];

/// Behind each of these the sources have a reason as text, or a body with several.
const MARKS: [&str; 4] = ["permanent(", "unfit(", "Readiness::no(", "_REFUSED: &str ="];

#[test]
fn every_reason_is_in_the_troubleshooting_guide() -> Result<()> {
    let guide = fs::read_to_string(root().join("docs/troubleshooting.md"))?;
    let mut reasons = refusals()?;
    for source in SOURCES {
        for file in sources(&root().join(source))? {
            reasons.extend(reasons_in(&file)?);
        }
    }
    ensure!(
        reasons.len() > 60,
        "the sources aren't read as they are written: {reasons:?}"
    );
    let is_missing = |reason: &&String| !guide.contains(&format!("`{reason}`"));
    let missing: Vec<_> = reasons.iter().filter(is_missing).collect();
    ensure!(
        missing.is_empty(),
        "docs/troubleshooting.md doesn't explain {missing:?}"
    );
    Ok(())
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("tests") {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn reasons_in(file: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(file)?;
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    if file.ends_with("delivery/src/reason.rs") {
        return Ok(words(text).collect());
    }
    let bodies = text.split("fn reason(&self)").skip(1);
    let mut reasons: BTreeSet<_> = bodies
        .flat_map(|body| words(body.split("\n    }\n").next().unwrap_or_default()))
        .collect();
    for mark in MARKS {
        let given = text.split(mark).skip(1);
        reasons.extend(given.filter_map(|given| words(given.split([',', ';', ')']).next()?).next()));
    }
    Ok(reasons)
}

/// The variants of the enum: their names are what a rejection says.
fn refusals() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(root().join("crates/protocol/src/proplet.rs"))?;
    let body = text
        .split("pub enum Refusal {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next());
    let lines = body.unwrap_or_default().lines().map(str::trim);
    let variants = lines.filter_map(|line| line.strip_suffix(','));
    Ok(variants.map(str::to_owned).collect())
}

/// Quoted words in CamelCase.
fn words(text: &str) -> impl Iterator<Item = String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let is_word = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    quoted.filter(is_word).map(str::to_owned)
}
