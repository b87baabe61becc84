//! Documents whose commands are typed, one after the other, as a reader types them; what each prints must be what the document shows.
//!
//! ```text
//! README.md ── page ──► blocks and steps ── shell ──► what was printed ── pattern ──► as shown, or which line isn't
//! ```
//!
//! - A `console` block is run. A line that begins with `$ ` is a command, which goes on in the next line after a `\`; what follows is what the
//!   terminal shows, standard error too. `…` stands for anything there.
//! - A `sh` block isn't run, and says why: `<!-- not run: it installs packages -->` is right above it.
//! - Other blocks are data.
//!
//! All commands of a document share one shell, in the root of the repository, with a home of their own and our programs, built from source, on the
//! path. A command that ends in `&` goes on in the background until the end of the document; the next one is typed as soon as what is shown below it
//! was printed. A command that fails has to show something.

mod page;
mod pattern;
mod shell;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub use page::Page;

use crate::wait_for;
use page::Step;
use shell::Shell;

/// How long one command may take. A compiler built without optimisation needs a CPU minute for CPython.
const COMPILES: Duration = Duration::from_secs(600);

/// Types every command of a page.
///
/// # Errors
/// At the first one that prints something else than what is shown.
pub async fn walk(page: &Page) -> Result<()> {
    let steps = page.steps()?;
    ensure!(!steps.is_empty(), "{} shows no command", page.name());
    let mut shell = Shell::start().await?;
    for step in &steps {
        let place = || format!("{}:{}: $ {}", page.name(), step.line, step.command);
        take(&mut shell, step).await.with_context(place)?;
    }
    Ok(())
}

async fn take(shell: &mut Shell, step: &Step) -> Result<()> {
    let typed = shell.types(&step.command);
    let ran = tokio::time::timeout(COMPILES, typed)
        .await
        .context("it doesn't end")??;
    let shown = step.shown.trim_end();
    if step.in_background() {
        // What it says later isn't shown.
        let begins = format!("{shown}…");
        wait_for("what is shown", COMPILES, async || as_shown(&begins, &ran.printed()?)).await
    } else {
        as_shown(shown, &ran.printed()?)?;
        ensure!(
            ran.code == 0 || !shown.is_empty(),
            "it ends with {} and shows nothing",
            ran.code
        );
        Ok(())
    }
}

fn as_shown(shown: &str, printed: &str) -> Result<()> {
    let printed = printed.trim_end();
    ensure!(
        pattern::covers(shown, printed),
        "--- shown\n{shown}\n--- printed\n{printed}\n---"
    );
    Ok(())
}
