//! Names of artifacts, parsed once.

use std::{fmt, str::FromStr};

use propeller_api::Digest;
use serde::{Deserialize, Serialize};

/// The name of an artifact: `registry/repository:tag` may move, `registry/repository@sha256:…` may not.
///
/// Two rules are stricter than Docker's. The registry is always named, because a misspelt file name would otherwise become a
/// repository on Docker Hub. Digests are SHA-256. A reference with neither tag nor digest means the tag `latest`; where
/// both are given, the digest counts.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    inner: oci_client::Reference,
    digest: Option<Digest>,
}

/// The text doesn't name an artifact, or not in the form that is needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a usable reference: {problem}")]
pub struct InvalidReference {
    text: String,
    problem: String,
}

impl InvalidReference {
    pub(crate) fn new(text: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            text: text.to_string(),
            problem: problem.into(),
        }
    }
}

impl Reference {
    /// The registry's host, and its port if it has one.
    pub fn registry(&self) -> &str {
        self.inner.registry()
    }

    /// The path of the repository in its registry.
    pub fn repository(&self) -> &str {
        self.inner.repository()
    }

    /// The tag, which may point elsewhere tomorrow.
    pub fn tag(&self) -> Option<&str> {
        self.inner.tag()
    }

    /// The digest of the manifest (or of an index of manifests) that the reference is pinned to.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository, pinned to a manifest: what a task records once its reference is resolved.
    pub fn pinned(&self, manifest: &Digest) -> Self {
        Self {
            inner: self.inner.clone_with_digest(manifest.to_string()),
            digest: Some(manifest.clone()),
        }
    }

    /// The same artifact in another registry, under another path: a mirror's.
    pub(crate) fn at(&self, registry: String, repository: String) -> oci_client::Reference {
        match (self.digest(), self.tag()) {
            (Some(digest), _) => oci_client::Reference::with_digest(registry, repository, digest.to_string()),
            (None, tag) => oci_client::Reference::with_tag(registry, repository, tag.unwrap_or("latest").to_owned()),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |problem: String| InvalidReference::new(text, problem);
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(invalid(format!("leave out `{scheme}://`")));
        }
        let inner: oci_client::Reference = text.parse().map_err(|problem| invalid(explain(problem)))?;
        if !names_registry(text, inner.registry()) {
            return Err(invalid(
                "it names no registry, like `localhost:5000/` or `ghcr.io/`, before the repository".into(),
            ));
        }
        let digest = inner
            .digest()
            .map(str::parse)
            .transpose()
            .map_err(|problem| invalid(format!("{problem}")))?;
        Ok(Self { inner, digest })
    }
}

/// The parser fills in Docker Hub where the text names no registry, so only the text can tell whether that was meant.
fn names_registry(text: &str, registry: &str) -> bool {
    registry != "docker.io"
        || ["docker.io/", "index.docker.io/"]
            .iter()
            .any(|host| text.starts_with(host))
}

fn explain(problem: oci_client::ParseError) -> String {
    match problem {
        oci_client::ParseError::ReferenceInvalidFormat | oci_client::ParseError::NameEmpty => {
            "expected registry/repository:tag or registry/repository@sha256:…, the repository in lower case".into()
        }
        other => other.to_string(),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    #[test]
    fn names_are_read_and_written_back() {
        let check = |input: &str, expected: &str| {
            let reference: Reference = input.parse().unwrap();
            assert_eq!(reference.to_string(), expected, "{input}");
            assert_eq!(serde_json::to_value(&reference).unwrap(), expected);
            assert_eq!(serde_json::from_value::<Reference>(expected.into()).unwrap(), reference);
        };
        check(
            "localhost:5000/examples/addition:1.0.0",
            "localhost:5000/examples/addition:1.0.0",
        );
        check("ghcr.io/you/addition", "ghcr.io/you/addition:latest");
        check("docker.io/addition:1", "docker.io/library/addition:1");
        check("index.docker.io/you/addition:1", "docker.io/you/addition:1");
        check(
            &format!("ghcr.io/a/b@sha256:{HEX}"),
            &format!("ghcr.io/a/b@sha256:{HEX}"),
        );
        check(
            &format!("ghcr.io/a/b:1@sha256:{HEX}"),
            &format!("ghcr.io/a/b:1@sha256:{HEX}"),
        );
    }

    #[test]
    fn other_texts_are_refused_with_what_to_change() {
        let check = |input: &str, expected: &str| {
            let error = input.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(expected), "{input}: {error}");
        };
        check("", "expected registry/repository:tag");
        check("addition.wasm", "names no registry");
        check("examples/addition:1.0.0", "names no registry");
        check("https://ghcr.io/a/b:1", "leave out `https://`");
        check("ghcr.io/A/b:1", "lower case");
        check("ghcr.io/a/b:", "expected registry/repository:tag");
        check("ghcr.io/a/b@sha256:ffffffffffffffffffffffffffffffff", "length");
        check(&format!("ghcr.io/a/b@sha256:{}", HEX.to_uppercase()), "not a digest");
        check(&format!("ghcr.io/a/b@sha512:{HEX}{HEX}"), "not a digest");
    }

    #[test]
    fn pinning_replaces_the_tag() {
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        let pinned = "ghcr.io/a/b:1".parse::<Reference>().unwrap().pinned(&digest);
        assert_eq!(pinned.to_string(), format!("ghcr.io/a/b@sha256:{HEX}"));
        assert_eq!((pinned.tag(), pinned.digest()), (None, Some(&digest)));
    }
}
