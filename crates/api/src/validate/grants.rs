//! The rules for grants. Hosts and networks are checked where they are read: [`crate::HttpTarget`], [`crate::NetTarget`].

use std::collections::HashSet;

use super::{Invalid, MAX_VALUE, count, invalid, length, text, together};
use crate::{Bucket, Directory, EnvVar, Grants};

/// What a path is, for people.
pub(crate) const PATH: &str =
    "write an absolute path such as /data, without `.`, `..` and `//` in it, and without a `/` at its end";

impl Grants {
    /// Checks every rule that needs nothing but the grants themselves. Fields are named from here on, as in `env[2].name`.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), Invalid> {
        env(&self.env)?;
        directories(&self.directories)?;
        count("http", self.http.len(), 64)?;
        count("net", self.net.len(), 64)?;
        count("config", self.config.len(), 256)?;
        for (key, value) in &self.config {
            text("config", key, 1..=256)?;
            length(&format!("config.{key}"), value, 0..=MAX_VALUE)?;
        }
        together(
            "config",
            self.config.iter().flat_map(|(key, value)| [key.as_str(), value]),
        )?;
        buckets(&self.keyvalue)
    }
}

fn env(env: &[EnvVar]) -> Result<(), Invalid> {
    count("env", env.len(), 256)?;
    for (index, variable) in env.iter().enumerate() {
        let field = format!("env[{index}].name");
        text(&field, &variable.name, 1..=256)?;
        if variable.name.contains('=') {
            return invalid(&field, "has a `=` in it: what is after it belongs in `value`");
        }
        text(&format!("env[{index}].value"), &variable.value, 0..=MAX_VALUE)?;
    }
    unique("env", "name", env.iter().map(|variable| variable.name.as_str()))?;
    together(
        "env",
        env.iter()
            .flat_map(|variable| [variable.name.as_str(), &variable.value]),
    )
}

fn directories(directories: &[Directory]) -> Result<(), Invalid> {
    count("directories", directories.len(), 32)?;
    for (index, directory) in directories.iter().enumerate() {
        path(&format!("directories[{index}].hostPath"), &directory.host_path)?;
        path(&format!("directories[{index}].guestPath"), &directory.guest_path)?;
    }
    let guest_paths = directories.iter().map(|directory| directory.guest_path.as_str());
    unique("directories", "guestPath", guest_paths)
}

/// A path in its one way of writing, so that equal paths are equal text, and what a policy allows can't be left by `..`.
fn path(field: &str, path: &str) -> Result<(), Invalid> {
    length(field, path, 1..=4096)?;
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    let inner = path.strip_prefix('/');
    if inner.is_some_and(|inner| inner.is_empty() || inner.split('/').all(is_part)) {
        return Ok(());
    }
    invalid(field, PATH)
}

fn buckets(buckets: &[Bucket]) -> Result<(), Invalid> {
    count("keyvalue", buckets.len(), 16)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    for (index, Bucket { bucket, .. }) in buckets.iter().enumerate() {
        let field = format!("keyvalue[{index}].bucket");
        length(&field, bucket, 1..=63)?;
        if bucket.starts_with('.') || !bucket.bytes().all(fits) {
            return invalid(&field, "write letters, digits, `_` and `-`, and `.` but as the first");
        }
    }
    unique(
        "keyvalue",
        "bucket",
        buckets.iter().map(|bucket| bucket.bucket.as_str()),
    )
}

fn unique<'a>(field: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return invalid(field, format!("has two entries with {key} `{name}`"));
        }
    }
    Ok(())
}
