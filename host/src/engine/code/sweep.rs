//! Files of the cache, put in place whole and removed when there are too many. Several processes may do so at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use uuid::Uuid;

/// When a file that is neither code nor key was left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Writes a file that others see whole or not at all. Returns it, to be read.
pub(super) fn put(path: &Path, parts: &[&[u8]]) -> io::Result<File> {
    let temporary = path.with_extension(format!("{}.tmp", Uuid::new_v4().simple()));
    let written = write(&temporary, parts).and_then(|file| fs::rename(&temporary, path).map(|()| file));
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(path: &Path, parts: &[&[u8]]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    drop(file);
    // What is open for writing can't be mapped as code by everyone's rules, so it's opened again.
    File::open(path)
}

struct Old {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Removes code until `max_bytes` are left, from what was used least recently, and what was abandoned. `newest` stays. A process that has
/// mapped a file keeps it until it ends.
pub(super) fn sweep(directory: &Path, max_bytes: u64, newest: &Path) -> io::Result<()> {
    let mut code = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Another process may have been faster.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let (bytes, used) = (metadata.len(), metadata.modified()?);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("cwasm") => code.push(Old { path, bytes, used }),
            Some("tmp" | "lock") if used.elapsed().is_ok_and(|age| age > ABANDONED) => remove(&path),
            _ => {}
        }
    }
    code.sort_by_key(|old| (old.path == newest, old.used));
    let mut total: u64 = code.iter().map(|old| old.bytes).sum();
    for old in code {
        if total <= max_bytes {
            break;
        }
        remove(&old.path);
        total -= old.bytes;
    }
    Ok(())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => tracing::debug!(path = %path.display(), "compiled code makes room"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove compiled code"),
    }
}
