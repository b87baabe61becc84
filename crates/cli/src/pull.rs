//! `propeller pull`: a component from a registry into a file.

use std::{
    fmt, fs, io,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use propeller_api::Digest;
use propeller_artifact::{Artifact, Error, Reference};
use serde::Serialize;

use crate::{
    args::Pull,
    component::{Access, Location, last_part, path_text},
    failure::Failure,
    output::Output,
    progress::Transfer,
};

/// Before the umask takes its part, as for every new file.
const MODE: u32 = 0o666;

/// Where a component is now.
#[derive(Debug, Serialize)]
pub struct Pulled {
    #[serde(serialize_with = "path_text")]
    file: PathBuf,
    #[serde(flatten)]
    location: Location,
    /// Digest of the component itself.
    component: Digest,
    /// Of the component, in bytes.
    size: usize,
}

/// Pulls a component and tells where it is, or writes it to standard output and tells nothing.
pub async fn pull(args: &Pull, access: &Access<'_>, output: &Output) -> Result<(), Failure> {
    let reference: Reference = args.reference.parse().map_err(Error::from)?;
    if args.file.as_deref() == Some(Path::new("-")) {
        return output.bytes(&fetch(&reference, access).await?.bytes);
    }
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| format!("{}.wasm", last_part(&reference)).into());
    if !args.force && path.exists() {
        return Err(Failure::FileExists(path));
    }
    let artifact = fetch(&reference, access).await?;
    write(&path, &artifact.bytes, args.force)?;
    output.report(&Pulled::new(path, reference, artifact))
}

async fn fetch(reference: &Reference, access: &Access<'_>) -> Result<Artifact, Failure> {
    let client = access.environment.client(access.args, reference)?;
    let transfer = Transfer::new("pulling", access.bars);
    Ok(client.pull(reference, &transfer.progress()).await?)
}

/// The file appears whole or not at all. Without `replace`, one that appeared during the download is left alone too.
fn write(path: &Path, bytes: &[u8], replace: bool) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let write = || {
        let mut builder = tempfile::Builder::new();
        let mut file = builder
            .permissions(fs::Permissions::from_mode(MODE))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        let persisted = if replace {
            file.persist(path)
        } else {
            file.persist_noclobber(path)
        };
        persisted.map_err(|error| error.error)
    };
    match write() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::FileExists(path.to_owned())),
        Err(source) => Err(Failure::WriteFile {
            path: path.to_owned(),
            source,
        }),
    }
}

impl Pulled {
    fn new(file: PathBuf, reference: Reference, artifact: Artifact) -> Self {
        Self {
            file,
            location: Location::new(reference, artifact.manifest),
            component: artifact.component,
            size: artifact.bytes.len(),
        }
    }
}

/// The file alone, for the next command.
impl fmt::Display for Pulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_on_demand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        write(&path, b"one", false).unwrap();
        assert!(matches!(write(&path, b"two", false), Err(Failure::FileExists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"three", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        let beside = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(beside, 1, "nothing temporary is left");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let failure = write(Path::new("/no/such/folder/a.wasm"), b"", false).unwrap_err();
        assert_eq!(failure.to_string(), "can't write /no/such/folder/a.wasm");
    }
}
