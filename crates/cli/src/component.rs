//! A component's bytes from a file or a registry, and what they say.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use propeller_api::Digest;
use propeller_artifact::{Reference, digest_of};
use propeller_types::Contract;
use serde::{Serialize, Serializer};

use crate::{
    args::RegistryArgs,
    failure::Failure,
    progress::Transfer,
    settings::{Environment, read_file},
    source::Source,
};

/// A component, looked at but not compiled.
#[derive(Debug)]
pub struct Component {
    pub origin: Origin,
    pub bytes: Bytes,
    pub digest: Digest,
    pub contract: Contract,
}

/// A component's bytes, in which nobody has looked for its types yet: that takes longer than running it does, if it's large and compiled
/// already.
#[derive(Debug)]
pub struct Unread {
    pub origin: Origin,
    pub bytes: Bytes,
    pub digest: Digest,
}

/// Where a component came from.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Origin {
    File {
        #[serde(serialize_with = "path_text")]
        file: PathBuf,
    },
    Registry(Box<Location>),
}

/// Where an artifact is.
#[derive(Debug, Serialize)]
pub struct Location {
    /// As it was asked for. A tag may move.
    pub reference: Reference,
    /// What it means now, by a reference that can't move.
    pub pinned: Reference,
    /// Digest of the manifest.
    pub manifest: Digest,
}

/// What it takes to reach registries.
pub struct Access<'a> {
    pub environment: &'a Environment,
    pub args: &'a RegistryArgs,
    /// Whether a person wants to see progress.
    pub bars: bool,
}

impl Component {
    /// The component of a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Unread::read(path)?.try_into()
    }

    /// The component of a file or, pulled if it isn't cached, of an artifact.
    pub async fn load(source: &Source, access: &Access<'_>) -> Result<Self, Failure> {
        Unread::load(source, access).await?.try_into()
    }
}

impl TryFrom<Unread> for Component {
    type Error = Failure;

    fn try_from(unread: Unread) -> Result<Self, Failure> {
        let contract = unread.contract()?;
        let Unread { origin, bytes, digest } = unread;
        Ok(Self {
            origin,
            bytes,
            digest,
            contract,
        })
    }
}

impl Unread {
    /// The bytes of a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_file(path)?;
        Ok(Self::new(Origin::File { file: path.to_owned() }, bytes.into()))
    }

    /// The bytes of a file or, pulled if it isn't cached, of an artifact.
    pub async fn load(source: &Source, access: &Access<'_>) -> Result<Self, Failure> {
        let reference = match source {
            Source::File(path) => return Self::read(path),
            Source::Reference(reference) => reference,
        };
        let client = access.environment.client(access.args, reference)?;
        let transfer = Transfer::new("pulling", access.bars);
        let artifact = client.pull(reference, &transfer.progress()).await?;
        let location = Location::new(reference.clone(), artifact.manifest);
        Ok(Self::new(Origin::Registry(Box::new(location)), artifact.bytes))
    }

    /// What a registry's client has verified is hashed once more: so digest and bytes can't disagree behind this.
    pub fn new(origin: Origin, bytes: Bytes) -> Self {
        let digest = digest_of(&bytes);
        Self { origin, bytes, digest }
    }

    /// The types that the bytes have.
    pub fn contract(&self) -> Result<Contract, Failure> {
        Contract::read(&self.bytes).map_err(|source| Failure::NotAComponent {
            name: self.origin.to_string(),
            source,
        })
    }
}

impl Origin {
    /// A name for a Task: the file's or the repository's last part, as a label of the domain name system.
    pub fn short_name(&self) -> String {
        let name = match self {
            Self::File { file } => file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            Self::Registry(location) => last_part(&location.reference).to_owned(),
        };
        let label: String = name
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(63)
            .collect();
        match label.trim_matches('-') {
            "" => "task".to_owned(),
            label => label.to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file } => file.display().fmt(f),
            Self::Registry(location) => location.reference.fmt(f),
        }
    }
}

impl Location {
    pub fn new(reference: Reference, manifest: Digest) -> Self {
        let pinned = reference.pinned(&manifest);
        Self {
            reference,
            pinned,
            manifest,
        }
    }
}

/// A path as people see it. Serde's own form fails for a path that isn't Unicode.
pub fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The last part of a reference's repository: what people call the component.
pub fn last_part(reference: &Reference) -> &str {
    let repository = reference.repository();
    repository.rsplit_once('/').map_or(repository, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tasks_are_dns_labels() {
        let check = |file: &str, expected: &str| assert_eq!(Origin::File { file: file.into() }.short_name(), expected);
        check("target/release/task_context.wasm", "task-context");
        check("Addition.v2.wasm", "addition-v2");
        check("_.wasm", "task");
        check(&format!("{}.wasm", "a".repeat(100)), &"a".repeat(63));
        let reference = "localhost:5000/examples/addition:1.0.0".parse().unwrap();
        let location = Location::new(reference, digest_of(b""));
        assert_eq!(Origin::Registry(Box::new(location)).short_name(), "addition");
    }
}
