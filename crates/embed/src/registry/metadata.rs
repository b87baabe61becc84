//! The file of manifests and tags, before the registry opens it.
//!
//! The registry writes it whole with every push: to another file, to disk, then over the old one. What it can't read when it starts it
//! takes for nothing, and its next write would make that so. Hence this look before.

use std::{collections::BTreeMap, fs, io, path::Path};

use ferro_blob_store::Digest;
use ferro_oci_server::METADATA_FILE_NAME;
use serde::Deserialize;

use super::RegistryError;
use crate::Cause;

/// What the registry wants of its file.
#[derive(Deserialize)]
struct Metadata {
    manifests: BTreeMap<String, BTreeMap<String, Manifest>>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(rename = "referrers")]
    _referrers: BTreeMap<String, BTreeMap<String, Vec<serde_json::Value>>>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "media_type")]
    _media_type: String,
    body_hex: String,
}

/// A file that isn't there is a registry's beginning.
pub(super) fn check(directory: &Path) -> Result<(), RegistryError> {
    let path = directory.join(METADATA_FILE_NAME);
    let damaged = |source| RegistryError::Damaged {
        path: path.clone(),
        source,
    };
    match fs::read(&path) {
        Ok(bytes) => understand(&bytes).map_err(damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(damaged(error.into())),
    }
}

fn understand(bytes: &[u8]) -> Result<(), Cause> {
    let Metadata { manifests, tags, .. } = serde_json::from_slice(bytes)?;
    for (digest, manifest) in manifests.values().flatten() {
        let body = from_hex(&manifest.body_hex).ok_or_else(|| format!("{digest} isn't hexadecimal"))?;
        if Digest::sha256_of(&body).to_string() != *digest {
            return Err(format!("what is kept as {digest} is something else").into());
        }
    }
    for (name, tags) in tags {
        let held = manifests.get(&name);
        let is_held = |digest| held.is_some_and(|held| held.contains_key(digest));
        if let Some((tag, digest)) = tags.iter().find(|(_, digest)| !is_held(*digest)) {
            return Err(format!("{name}:{tag} is {digest}, which isn't there").into());
        }
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let whole = text.len().is_multiple_of(2);
    whole.then(|| digits.map(byte).collect())?
}

/// Removes what writes that were cut off left behind: the registry refuses to write where one of these is.
pub(super) fn tidy(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let unfinished = |name: &str| name.starts_with(METADATA_FILE_NAME) && name.ends_with(".tmp");
        if name.to_str().is_some_and(unfinished) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
