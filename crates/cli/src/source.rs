//! What a person names to run or inspect: a file or a reference.

use std::path::{Path, PathBuf};

use propeller_artifact::{InvalidReference, Reference};

use crate::failure::Failure;

/// How names of files that we read end. A path in a registry may end like that too, but hardly ever does without a tag behind it.
const FILE_ENDINGS: [&str; 4] = [".wasm", ".yaml", ".yml", ".json"];
/// How names that can only be paths begin.
const PATH_BEGINNINGS: [&str; 3] = ["/", "./", "../"];

/// Where something is to be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file here, though it may turn out not to exist.
    File(PathBuf),
    /// An artifact in a registry.
    Reference(Reference),
}

impl Source {
    /// Looks at the text first and at the file system second: what is there or looks like a path is a file.
    ///
    /// # Errors
    ///
    /// [`Failure::UnknownSource`] for what is neither.
    pub fn find(text: &str) -> Result<Self, Failure> {
        Self::classify(text, Path::exists).map_err(|source| Failure::UnknownSource {
            text: text.to_owned(),
            source,
        })
    }

    fn classify(text: &str, exists: impl FnOnce(&Path) -> bool) -> Result<Self, InvalidReference> {
        let looks_like_a_path = PATH_BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
            || FILE_ENDINGS.iter().any(|ending| text.ends_with(ending));
        if looks_like_a_path || exists(Path::new(text)) {
            Ok(Self::File(text.into()))
        } else {
            text.parse().map(Self::Reference)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_references_are_told_apart() {
        let check = |text: &str, exists: bool, expected: &str| {
            let kind = match Source::classify(text, |_| exists) {
                Ok(Source::File(path)) => format!("file {}", path.display()),
                Ok(Source::Reference(reference)) => format!("reference {reference}"),
                Err(_) => "neither".to_owned(),
            };
            assert_eq!(kind, expected, "{text}");
        };
        check("a.wasm", false, "file a.wasm");
        check("task.yaml", false, "file task.yaml");
        check("task.yml", false, "file task.yml");
        check("./a", false, "file ./a");
        check("../a", false, "file ../a");
        check("/tmp/a", false, "file /tmp/a");
        check("component", true, "file component");
        check("localhost:5000/a", true, "file localhost:5000/a");
        check("localhost:5000/a:1.0.0", false, "reference localhost:5000/a:1.0.0");
        check("ghcr.io/you/a", false, "reference ghcr.io/you/a:latest");
        check("ghcr.io/you/a.wasm:1", false, "reference ghcr.io/you/a.wasm:1");
        check("component", false, "neither");
        check("https://ghcr.io/you/a", false, "neither");
        check("", false, "neither");
    }
}
