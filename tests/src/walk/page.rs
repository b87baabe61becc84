//! A Markdown file, by its blocks of code.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::cargo;

/// What is run, and what isn't. The others are data.
const RUN: &str = "console";
const NOT_RUN: &str = "sh";
const DATA: [&str; 6] = ["json", "rust", "text", "toml", "wit", "yaml"];

/// A document of the repository.
#[derive(Debug)]
pub struct Page {
    name: String,
    text: String,
}

/// Code between two fences, without the indentation that it has in a list.
#[derive(Debug, PartialEq)]
struct Block<'a> {
    language: &'a str,
    /// What is right above the block, but for blank lines.
    above: &'a str,
    /// Of the first line inside, from 1.
    line: usize,
    lines: Vec<&'a str>,
}

/// One command, and what the page shows below it.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// Where in the page.
    pub line: usize,
    pub command: String,
    pub shown: String,
}

impl Step {
    pub fn in_background(&self) -> bool {
        self.command.trim_end().ends_with('&')
    }
}

impl Page {
    /// The file of that name below the root of the repository.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(name: &str) -> Result<Self> {
        let text = fs::read_to_string(cargo::root().join(name)).with_context(|| format!("can't read {name}"))?;
        let name = name.to_owned();
        Ok(Self { name, text })
    }

    /// As messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every command that is run.
    ///
    /// # Errors
    /// When it can't be seen what is to be run.
    pub fn steps(&self) -> Result<Vec<Step>> {
        let blocks = blocks(&self.text)?;
        let run = blocks.iter().filter(|block| block.language == RUN);
        let steps: Result<Vec<_>> = run.map(Block::steps).collect();
        let steps = steps.with_context(|| self.name.clone())?;
        Ok(steps.into_iter().flatten().collect())
    }

    /// Each block is run, or says why it isn't, or is data. The parts of the page are what is below each `## ` heading.
    ///
    /// # Errors
    /// When one doesn't, and when a part has no block of the first two kinds.
    pub fn is_run_or_says_why_not(&self, every_part: bool) -> Result<()> {
        for block in blocks(&self.text)? {
            let place = format!("{}:{}", self.name, block.line);
            match block.language {
                RUN => {}
                NOT_RUN => ensure!(
                    says_why(block.above),
                    "{place}: a block that isn't run says why right above: <!-- not run: … -->"
                ),
                data => ensure!(DATA.contains(&data), "{place}: what is a block of {data:?}?"),
            }
        }
        for part in self.text.split("\n## ").skip(1).filter(|_| every_part) {
            let heading = part.lines().next().unwrap_or_default();
            let is_run = blocks(part)?.iter().any(|block| block.language == RUN);
            ensure!(
                is_run || part.lines().any(says_why),
                "{}: nothing below {heading:?} is run, and it doesn't say why",
                self.name
            );
        }
        Ok(())
    }
}

fn says_why(line: &str) -> bool {
    let reason = line.trim().strip_prefix("<!-- not run: ");
    reason.is_some_and(|reason| reason.ends_with(" -->") && reason.len() > " -->".len())
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>> {
    let (mut blocks, mut above) = (vec![], "");
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let bare = line.trim_start();
        let Some(language) = bare.strip_prefix("```") else {
            above = if bare.is_empty() { above } else { bare };
            continue;
        };
        let mut block = Block {
            language,
            above,
            line: number + 1,
            lines: vec![],
        };
        loop {
            let (_, inside) = lines
                .next()
                .with_context(|| format!("the block in line {number} has no end"))?;
            if inside.trim() == "```" {
                break;
            }
            block.lines.push(without_indent(inside, line.len() - bare.len()));
        }
        blocks.push(block);
        above = "";
    }
    Ok(blocks)
}

fn without_indent(line: &str, indent: usize) -> &str {
    match line.split_at_checked(indent) {
        Some((spaces, rest)) if spaces.trim().is_empty() => rest,
        _ => line.trim_start(),
    }
}

impl Block<'_> {
    fn steps(&self) -> Result<Vec<Step>> {
        let mut steps = Vec::<Step>::new();
        let mut goes_on = false;
        for (line, text) in (self.line..).zip(&self.lines) {
            match (text.strip_prefix("$ "), steps.last_mut()) {
                (_, Some(step)) if goes_on => {
                    step.command += &format!("\n{text}");
                    goes_on = text.ends_with('\\');
                }
                (Some(command), _) => {
                    steps.push(Step {
                        line,
                        command: command.to_owned(),
                        shown: String::new(),
                    });
                    goes_on = text.ends_with('\\');
                }
                (None, Some(step)) => step.shown += &format!("{text}\n"),
                (None, None) => anyhow::bail!("line {line}: the block begins with no `$ ` command"),
            }
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Page\n\n## One\n\n1. Type:\n\n   ```console\n   $ echo a \\\n       b\n   a b\n   $ true &\n   ```\n\n## Two\n\n\
                        <!-- not run: it's slow -->\n```sh\nmake\n```\n\n```json\n{}\n```\n";

    fn page(text: &str) -> Page {
        Page {
            name: "page.md".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn commands_are_found_with_what_is_shown() -> Result<()> {
        let steps = page(TEXT).steps()?;
        let [echo, sleep] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(
            (echo.command.as_str(), echo.shown.as_str()),
            ("echo a \\\n    b", "a b\n")
        );
        assert_eq!((echo.line, echo.in_background()), (8, false));
        assert_eq!((sleep.shown.as_str(), sleep.in_background()), ("", true));
        Ok(())
    }

    #[test]
    fn what_is_not_run_says_why() -> Result<()> {
        page(TEXT).is_run_or_says_why_not(true)?;
        let check = |text: &str, complaint: &str| {
            let error = page(text).is_run_or_says_why_not(true).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        };
        check(
            &TEXT.replace("<!-- not run: it's slow -->", "<!-- -->"),
            "page.md:18: a block that isn't run",
        );
        check(&TEXT.replace("```json", "```shell"), "what is a block of \"shell\"");
        check(&format!("{TEXT}\n## Three\n\nWords.\n"), "nothing below \"Three\"");
        Ok(())
    }
}
