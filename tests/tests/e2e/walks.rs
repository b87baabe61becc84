//! The documents that say what to type: each command is typed, and prints what is shown. `propeller_tests::walk` says how.

use std::{collections::BTreeSet, fs};

use anyhow::Result;
use propeller_tests::{
    cargo,
    languages::example,
    walk::{Page, walk},
};

/// The test of an example by its name, with what has to be built beforehand by other tools than ours.
macro_rules! examples {
    ($($(#[$comment:meta])* $test:ident $name:literal needs [$($built:literal),*],)+) => {
        /// The examples that are walked.
        const EXAMPLES: &[&str] = &[$($name),+];

        $($(#[$comment])* #[tokio::test]
        async fn $test() -> Result<()> {
            $(example($built).await?;)*
            // Built by the harness, so that nothing is replaced below other tests when the document says to build.
            cargo::guest("addition").await?;
            walk(&Page::read(&readme($name))?).await
        })+
    };
}

examples! {
    addition "addition" needs [],
    c "c" needs ["c-words", "c-numbers"],
    go "go" needs ["go"],
    http_service "http-service" needs [],
    javascript "javascript" needs ["javascript"],
    outgoing_http "outgoing-http" needs [],
    polyglot "polyglot" needs ["readings-summary"],
    python "python" needs ["python"],
    typed "typed" needs [],
    word_count "word-count" needs [],
}

fn readme(example: &str) -> String {
    format!("examples/{example}/README.md")
}

#[tokio::test]
async fn guide() -> Result<()> {
    walk(&Page::read(GUIDE)?).await
}

const GUIDE: &str = "docs/guide.md";

/// What isn't walked, wholly or in part, says why.
#[test]
fn nothing_is_left_out_quietly() -> Result<()> {
    let mut folders = BTreeSet::new();
    for entry in fs::read_dir(cargo::root().join("examples"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let walked: BTreeSet<_> = EXAMPLES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(folders, walked, "each folder of examples/ is walked");
    for name in EXAMPLES {
        Page::read(&readme(name))?.is_run_or_says_why_not(false)?;
    }
    Page::read(GUIDE)?.is_run_or_says_why_not(true)
}
